"""The fetcher against a hub that cuts, lies, is busy, moves and changes."""

import dataclasses
import subprocess
import time
from pathlib import Path

import pytest
from zoo.fetching import FILE, MEGABYTE, QUICK, SMALL, address, bring, connect, source_of
from zoo.local_hub import Hub

from homezoo.errors import HubError
from homezoo.zoo.connection import Connection
from homezoo.zoo.digest import Digest
from homezoo.zoo.fetch import Settings, Source, fetch, fetched_bytes
from homezoo.zoo.identity import identify


def test_a_file_comes_in_segments_from_the_storage(
    hub: Hub, tmp_path: Path, weights: bytes
) -> None:
    seen: list[tuple[int, int]] = []
    source = source_of(hub)
    fetch(source, tmp_path / "f", connect(hub), SMALL, lambda *at: seen.append(at))
    assert (tmp_path / "f").read_bytes() == weights
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["f"]
    spans = sorted(span for r in hub.downloads() if (span := r.span))
    size = len(weights)
    assert spans == [
        (0, MEGABYTE),
        (MEGABYTE, 2 * MEGABYTE),
        (2 * MEGABYTE, 3 * MEGABYTE),
        (3 * MEGABYTE, size),
    ]
    assert {r.host for r in hub.downloads()} == {"localhost"}
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_cut_connections_continue_where_they_broke(
    hub: Hub, tmp_path: Path, weights: bytes
) -> None:
    hub.faults.cut_after = [300_000, 0, 70_000, 1, 500_000]
    bring(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == weights
    # what a cut loses is what had not filled the buffer of 256 KiB
    assert sum(r.sent for r in hub.downloads()) < len(weights) + 5 * (256 << 10)
    assert any(r.span and r.span[0] % MEGABYTE for r in hub.downloads())


def test_an_aborted_fetch_is_continued_by_the_next(
    hub: Hub, tmp_path: Path, weights: bytes
) -> None:
    one = Settings(segment=len(weights), parallel=1, checkpoint=0.0)
    hub.faults.cut_after = [2 * MEGABYTE, 0, 0, 0, 0]
    with pytest.raises(HubError, match="gave up after 4 tries, pull again to resume"):
        bring(hub, tmp_path / "f", one)
    assert not (tmp_path / "f").exists()
    assert fetched_bytes(source_of(hub), tmp_path / "f") == 2 * MEGABYTE
    hub.faults.cut_after = []
    hub.requests.clear()
    bring(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == weights
    assert sum(r.sent for r in hub.downloads()) == len(weights) - 2 * MEGABYTE
    assert hub.downloads()[0].headers["if-range"] == '"storage-1"'


@pytest.mark.parametrize("byte", [0, 1_500_000, -1])
def test_a_flipped_byte_is_refused(hub: Hub, tmp_path: Path, weights: bytes, byte: int) -> None:
    hub.faults.flip = byte % len(weights)
    with pytest.raises(HubError, match="came damaged: its SHA-256 is [0-9a-f]{64}, the hub states"):
        bring(hub, tmp_path / "f")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
    hub.faults.flip = None
    bring(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == weights


def test_a_part_that_rotted_on_the_disk_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.faults.cut_after = [MEGABYTE, 0, 0, 0]
    with pytest.raises(HubError):
        bring(hub, tmp_path / "f", Settings(1 << 30, 1, 0.0))
    with (tmp_path / "f.part").open("rb+") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 4]))
    with pytest.raises(HubError, match="came damaged"):
        bring(hub, tmp_path / "f")


def test_a_server_without_ranges_gives_the_file_in_one_stream(
    hub: Hub, tmp_path: Path, weights: bytes
) -> None:
    hub.faults.ranges = False
    bring(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == weights
    hub.faults.cut_after = [100_000, 0]
    bring(hub, tmp_path / "g")
    assert (tmp_path / "g").read_bytes() == weights


def test_a_changed_storage_of_the_same_file_is_used(
    hub: Hub, tmp_path: Path, weights: bytes
) -> None:
    hub.faults.cut_after = [MEGABYTE, 0, 0, 0]
    with pytest.raises(HubError):
        bring(hub, tmp_path / "f", Settings(1 << 30, 1, 0.0))
    hub.storage_tag = "storage-2"
    hub.requests.clear()
    bring(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == weights
    assert sum(r.sent for r in hub.downloads() if r.span) >= len(weights) - MEGABYTE


@pytest.mark.parametrize("storage", [True, False])
def test_a_file_that_changed_meanwhile_is_not_mixed(
    hub: Hub, tmp_path: Path, weights: bytes, storage: bool
) -> None:
    hub.storage = storage
    source = source_of(hub)
    hub.faults.cut_after = [MEGABYTE, 0, 0, 0]
    with pytest.raises(HubError):
        fetch(source, tmp_path / "f", connect(hub), Settings(1 << 30, 1, 0.0))
    hub.repositories["zoo/tiny"][FILE] = weights[::-1]
    hub.storage_tag = "storage-2"
    with pytest.raises(HubError, match="changed meanwhile; pull again"):
        fetch(source, tmp_path / "f", connect(hub), SMALL)
    bring(hub, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == weights[::-1]


def test_a_file_of_another_length_is_not_taken(hub: Hub, tmp_path: Path, weights: bytes) -> None:
    source = source_of(hub)
    longer = dataclasses.replace(source, size=source.size + 1)
    with pytest.raises(HubError, match="changed|the hub states|shorter"):
        fetch(longer, tmp_path / "f", connect(hub), SMALL)
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_busy_server_is_waited_for(hub: Hub, tmp_path: Path, weights: bytes, status: int) -> None:
    source = source_of(hub)
    hub.faults.statuses = [(status, {"Retry-After": "0.2"})] * 2
    start = time.monotonic()
    fetch(source, tmp_path / "f", connect(hub), Settings(1 << 30, 1, 0.0))
    assert time.monotonic() - start >= 0.4
    assert (tmp_path / "f").read_bytes() == weights


def test_a_server_that_asks_for_an_hour_is_told(hub: Hub, tmp_path: Path) -> None:
    source = source_of(hub)
    hub.faults.statuses = [(429, {"Retry-After": "3600"})] * 9
    with pytest.raises(HubError, match="too many requests .*pull again in 3600 seconds"):
        fetch(source, tmp_path / "f", connect(hub), SMALL)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "a token is needed and none is set"),
        (403, "accept the conditions on its page"),
        (404, "there is no repository at"),
        (410, "answers with status 410"),
    ],
)
def test_refusals_are_told_at_once(hub: Hub, tmp_path: Path, status: int, expected: str) -> None:
    source = source_of(hub)
    hub.faults.statuses = [(status, {})] * 9
    with pytest.raises(HubError, match=expected):
        fetch(source, tmp_path / "f", connect(hub), Settings(1 << 30, 1, 0.0))
    assert len(hub.faults.statuses) == 8


def test_a_full_disk_keeps_what_there_is(hub: Hub, tmp_path: Path, weights: bytes) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk of two megabytes cannot be mounted here")
    try:
        one = Settings(segment=MEGABYTE, parallel=1, checkpoint=0.0)  # a state after each piece
        with pytest.raises(OSError, match="No space left"):
            bring(hub, small / "f", one)
        assert not (small / "f").exists()
        subprocess.run(["mount", "-o", "remount,size=9m", str(small)], check=True)
        hub.requests.clear()
        bring(hub, small / "f")
        assert (small / "f").read_bytes() == weights
        assert sum(r.sent for r in hub.downloads()) < len(weights) - MEGABYTE // 2
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_token_stays_with_its_host(hub: Hub, tmp_path: Path, weights: bytes) -> None:
    token = "hf_" + "very" + "secret"
    hub.faults.token = token
    with pytest.raises(HubError, match="a token is needed"):
        identify(connect(hub), address(hub))
    connection = connect(hub, token)
    found = identify(connection, address(hub))
    fetch(Source(address(hub), found.size, found.digest), tmp_path / "f", connection, SMALL)
    assert (tmp_path / "f").read_bytes() == weights
    asked = {r.host: r.headers.get("authorization") for r in hub.requests if r.sent}
    assert asked == {"localhost": None}
    with pytest.raises(HubError, match="was not accepted") as raised:
        identify(connect(hub, token + "x"), address(hub))
    assert token not in str(raised.value)


def test_the_token_is_not_sent_unencrypted_to_another_machine(hub: Hub) -> None:
    assert Connection("http://hub.example", "hf_secret", QUICK).token is None
    assert Connection("https://hub.example", "hf_secret", QUICK).token == "hf_secret"


def test_messages_keep_signed_addresses_to_themselves(hub: Hub, tmp_path: Path) -> None:
    source = source_of(hub)
    hub.faults.cut_after = [0] * 20
    with pytest.raises(HubError) as raised:
        fetch(source, tmp_path / "f", connect(hub), SMALL)
    assert "secret-signature" not in str(raised.value)


def test_small_files_are_checked_by_the_hash_of_git(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["zoo/tiny"]["README.md"] = b"---\nlicense: mit\n---\n"
    found = identify(connect(hub), address(hub, "README.md"))
    assert found.digest.name == "git SHA-1"
    source = Source(address(hub, "README.md"), found.size, found.digest)
    fetch(source, tmp_path / "f", connect(hub), SMALL)
    assert (tmp_path / "f").read_bytes().startswith(b"---")
    hub.faults.flip = 3
    with pytest.raises(HubError, match="git SHA-1"):
        fetch(source, tmp_path / "g", connect(hub), SMALL)


def test_a_name_that_is_no_hash_is_refused() -> None:
    for etag in ('"../../etc/passwd"', "abc", ""):
        with pytest.raises(HubError, match="as hash"):
            Digest.from_etag(etag)


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    connection = Connection("http://127.0.0.1:9", None, QUICK)
    source = Source("http://127.0.0.1:9/a/b/resolve/main/f", 10, Digest("0" * 64))
    with pytest.raises(HubError, match=r"127\.0\.0\.1:9 cannot be reached"):
        fetch(source, tmp_path / "f", connection, SMALL)
