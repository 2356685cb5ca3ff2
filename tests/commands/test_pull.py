"""`homezoo pull` against a hub on this machine: lists, fetches, refuses, resumes, stays offline."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from zoo.local_hub import COMMIT, Hub, serving

from homezoo.commands.main import main

CARD = b"---\nlicense: cc-by-nc-4.0\nbase_model: Qwen/Qwen2.5-0.5B\n---\n# Tiny\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stories_path: Path) -> Iterator[Hub]:
    stories = stories_path.read_bytes()
    files = {
        "README.md": CARD,
        "LICENSE": b"as it is",
        ".gitattributes": b"*",
        "tiny-Q4_K_M.gguf": stories[::-1],
        "tiny-F32.gguf": stories,
        "big/tiny-Q8_0-00001-of-00002.gguf": stories[:500_000],
        "big/tiny-Q8_0-00002-of-00002.gguf": stories[500_000:],
        "mmproj-F16.gguf": b"x" * 1000,
    }
    with serving(Hub({"zoo/tiny": files, "zoo/one": {"one.gguf": stories}})) as running:
        running.cards["zoo/tiny"] = {"license": "cc-by-nc-4.0", "base_model": "Qwen/Qwen2.5-0.5B"}
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield running


def folder(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub" / "models--zoo--tiny"


def test_what_there_is_is_shown_and_nothing_fetched(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", "zoo/tiny"]) == 0
    shown = capsys.readouterr()
    for word in ("Q4_K_M", "Q8_0", "F32", "mmproj-F16.gguf", "FITS THIS MACHINE", "yes"):
        assert word in shown.out
    assert "commercial no" in shown.err
    assert "homezoo pull zoo/tiny:" in shown.err
    assert hub.downloads() == []


def test_the_list_as_json(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "zoo/tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["commit"] == COMMIT
    assert found["licence"]["permits"]["commercial"] == "no"
    offers = {offer["name"]: offer for offer in found["offers"]}
    assert set(offers) == {"mmproj-F16.gguf", "Q4_K_M", "F32", "Q8_0"}
    assert [file["name"] for file in offers["Q8_0"]["files"]] == [
        "big/tiny-Q8_0-00001-of-00002.gguf",
        "big/tiny-Q8_0-00002-of-00002.gguf",
    ]
    assert offers["F32"]["fits_memory"] is True
    assert hub.downloads() == []


def test_a_quantisation_is_fetched_into_the_layout_of_the_hub(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], stories_path: Path
) -> None:
    assert main(["pull", "zoo/tiny:f32"]) == 0
    shown = capsys.readouterr()
    snapshot = folder(tmp_path) / "snapshots" / COMMIT
    assert shown.out == f"{snapshot / 'tiny-F32.gguf'}\n"
    assert shown.err.index("cc-by-nc-4.0") < shown.err.index("tiny-F32.gguf: 100%")
    assert (snapshot / "tiny-F32.gguf").read_bytes() == stories_path.read_bytes()
    assert (snapshot / "README.md").read_bytes() == CARD
    assert (folder(tmp_path) / "refs" / "main").read_text() == COMMIT
    names = sorted(path.name for path in (folder(tmp_path) / "blobs").iterdir())
    assert len(names) == 3 and not any(".part" in name for name in names)
    hub.requests.clear()
    assert main(["pull", "zoo/tiny:F32"]) == 0
    assert hub.downloads() == []


def test_the_hubs_own_client_finds_what_was_fetched(hub: Hub, tmp_path: Path) -> None:
    assert main(["pull", "zoo/tiny:F32"]) == 0
    code = (
        "from huggingface_hub import hf_hub_download as get;"
        "print(get('zoo/tiny', 'tiny-F32.gguf', local_files_only=True))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    expected = folder(tmp_path) / "snapshots" / COMMIT / "tiny-F32.gguf"
    assert result.stdout.strip() == str(expected)


def test_all_parts_of_a_split_file_come(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", "zoo/tiny:Q8_0", "--json"]) == 0
    paths = [Path(path) for path in json.loads(capsys.readouterr().out)["paths"]]
    assert [path.name for path in paths] == [
        "tiny-Q8_0-00001-of-00002.gguf",
        "tiny-Q8_0-00002-of-00002.gguf",
    ]
    assert all(path.is_file() for path in paths)
    del hub.repositories["zoo/tiny"]["big/tiny-Q8_0-00002-of-00002.gguf"]
    assert main(["pull", "zoo/tiny:Q8_0"]) == 1
    assert "lacks big/tiny-Q8_0-00002-of-00002.gguf" in capsys.readouterr().err


def test_the_only_model_of_a_repository_is_fetched(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", "zoo/one", "--list"]) == 0
    assert hub.downloads() == []
    assert main(["pull", "zoo/one"]) == 0
    assert capsys.readouterr().out.endswith("one.gguf\n")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zoo/nothing", "there is no repository"),
        ("zoo/tiny:Q9", "'Q9' is not in zoo/tiny, which has mmproj-F16.gguf, Q8_0, F32, Q4_K_M"),
        ("tiny", "expected owner/repo"),
        ("../etc/passwd", "expected owner/repo"),
    ],
)
def test_wrong_names_are_one_line(
    hub: Hub, name: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", name]) == 1
    shown = capsys.readouterr()
    assert expected in shown.err
    assert shown.err.count("\n") == 1


def test_a_renamed_repository_is_found(hub: Hub) -> None:
    assert main(["pull", "old/name:F32", "--list"]) == 0


def test_offline_uses_what_is_there(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", "zoo/one"]) == 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.requests.clear()
    assert main(["pull", "zoo/one"]) == 0
    assert main(["pull", "zoo/tiny:F32"]) == 1
    assert "HF_HUB_OFFLINE is set and zoo/tiny is not in" in capsys.readouterr().err
    assert hub.requests == []


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("homezoo.zoo.pull.free_disk", lambda folder: 300_000_000 - 32_000_000)
    assert main(["pull", "zoo/tiny:F32"]) == 1
    assert "268,000,000 are free" in capsys.readouterr().err
    assert hub.downloads() == []


def test_a_gated_repository_says_what_to_do(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults.gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    assert main(["pull", "zoo/tiny:F32"]) == 1
    shown = capsys.readouterr()
    assert "accept the conditions on its page with your account" in shown.err
    assert "hf_mine" not in shown.err + shown.out


def test_two_at_once_are_told_apart(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import hashlib

    from filelock import FileLock

    digest = hashlib.sha256(hub.repositories["zoo/tiny"]["tiny-F32.gguf"]).hexdigest()
    lock = tmp_path / "hf" / "hub" / ".locks" / "models--zoo--tiny" / f"{digest}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert main(["pull", "zoo/tiny:F32"]) == 1
    assert "another program is downloading tiny-F32.gguf" in capsys.readouterr().err


def test_names_that_lead_out_of_the_folder_are_refused(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("../../evil.gguf", "/etc/evil.gguf", "a//b.gguf", "a\\b.gguf"):
        hub.repositories["zoo/tiny"] = {name: b"x"}
        assert main(["pull", "zoo/tiny"]) == 1
        assert "not safe to write" in capsys.readouterr().err
