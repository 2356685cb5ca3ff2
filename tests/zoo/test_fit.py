"""Speed and choice foretold, on stand-ins and from a header alone; `homezoo fit`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from wide_model import write_wide_model
from zoo.local_hub import Hub, serving

from homezoo.commands.main import main
from homezoo.errors import GGUFError, HubError
from homezoo.formats.gguf_cursor import Budget
from homezoo.formats.gguf_outline import Beginning, make_outline, outline_header
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.footprint import CHUNK, footprint
from homezoo.models.sketch import sketch, stand_in_bytes
from homezoo.zoo.fit import Choice, best_choice, choices_of, forecast, standard_sizes
from homezoo.zoo.hub import Hub as HubClient
from homezoo.zoo.measured import CACHE_BYTES, Measured, Overheads, speeds_key
from homezoo.zoo.offers import offers_of
from homezoo.zoo.rehearse import Line, Speeds, rehearse
from homezoo.zoo.remote_header import read_remote_header


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are taken of a few passes only."""
    for name in ("SECONDS", "SPAN"):
        monkeypatch.setattr(f"homezoo.zoo.rehearse.{name}", 0.0)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, stories_path: Path) -> Path:
    return write_wide_model(tmp_path_factory.mktemp("wide") / "wide-F32.gguf", stories_path)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_sketch_computes_with_finite_numbers(wide: Path, layers: int) -> None:
    from homezoo.models.batch import build_batch
    from homezoo.models.cache import KVCache, Sequence
    from homezoo.ops.native import compile_native, make_threads

    with GGUFFile.open(wide) as file:
        model = sketch(
            file, layers, stand_in_bytes(max(t.data.nbytes for t in file.tensors.values()))
        )
        cache = KVCache.for_model(model.config, 64)
        compute = compile_native(model, cache, make_threads(1))
        logits = compute(build_batch([(Sequence(cache), [1, 2, 3])]))
    assert logits.shape == (1, 512)
    assert np.isfinite(logits).all()


def test_a_rehearsal_foretells_longer_prompts_by_their_chunks(
    wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    with GGUFFile.open(wide) as file:
        speeds = rehearse(file, 600, threads=1)
    assert speeds.chunk == CHUNK
    assert speeds.prefill.depth == 600 - CHUNK and speeds.decode.depth == 599
    assert min(speeds.prefill.first, speeds.decode.first) > 0


def test_times_grow_along_a_line() -> None:
    speeds = Speeds(Line(1.0, 2.0, 1000), Line(0.1, 0.3, 1000), 500)
    assert speeds.decode_seconds(0) == 0.1
    assert speeds.decode_seconds(500) == pytest.approx(0.2)
    assert speeds.decode_seconds(2000) == pytest.approx(0.5)
    assert speeds.prefill_seconds(1250) == pytest.approx(1.0 + 1.5 + 2.0 / 2)
    assert Line(1.0, 0.9, 1000).at(500) == 1.0  # noise makes no pass quicker by what is before it
    told = forecast(speeds, 0.1, 500, 1001)
    assert told.decode == pytest.approx(5.0)
    assert told.decode_full == pytest.approx(2.5)
    assert told.prefill == pytest.approx(500 / 1.1)


def test_measured_figures_are_kept_by_machine_and_version(wide: Path, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "measured.json"
    speeds = Speeds(Line(1.0, 2.0, 1000), Line(0.1, 0.3, 1000), 500)
    kept = Measured("1.0", path)
    assert kept.overheads() is None and kept.speeds("a") is None
    kept.keep_overheads(Overheads(5, 0.5, 0.75))
    kept.keep_speeds("a", speeds)
    again = Measured("1.0", path)
    assert again.overheads() == Overheads(5, 0.5, 0.75)
    assert again.speeds("a") == speeds
    assert Measured("1.1", path).overheads() is None
    path.write_text('{"machine": []}')
    assert Measured("1.0", path).speeds("a") is None
    with GGUFFile.open(wide) as file:
        keys = {
            speeds_key(file, 512, "f16", 1),
            speeds_key(file, 512, "f16", 2),
            speeds_key(file, 513, "f16", 1),
            speeds_key(file, 512, "q8_0", 1),
        }
        assert len(keys) == 4
        assert speeds_key(file, 512, "f16", 1) in keys


def test_time_outside_of_passes_grows_as_they_empty_the_caches() -> None:
    overheads = Overheads(0, 1.0, 3.0)
    assert overheads.token_seconds_after(0) == 1.0
    assert overheads.token_seconds_after(CACHE_BYTES // 2) == 2.0
    assert overheads.token_seconds_after(9 * CACHE_BYTES) == 3.0


def choice(name: str, bits: float, longest: int, decode: float | None) -> Choice:
    return Choice(name, int(bits * 1e9), bits, int(bits * 2e9), longest, decode)


@pytest.mark.parametrize(
    ("fits", "speeds", "expected"),
    [
        ((100, 100, 100, 100), (50.0, 60.0, 70.0, 80.0), "Q8_0"),  # F16 would fit, for nothing
        ((0, 0, 100, 100), (50.0, 60.0, 70.0, 80.0), "Q4_K_M"),
        ((0, 0, 0, 100), (50.0, 60.0, 70.0, 80.0), "Q2_K"),
        ((0, 0, 0, 99), (50.0, 60.0, 70.0, 80.0), None),
        ((100, 100, 100, 100), (1.0, 3.0, 6.0, 9.0), "Q4_K_M"),  # Q8_0 is slower than reading
        ((100, 100, 100, 100), (0.1, 0.2, 0.3, 5.1), "Q4_K_M"),  # Q2_K would change answers
        ((100, 100, 100, 100), (None, None, None, None), "Q8_0"),
    ],
)
def test_the_quantisation_to_choose(
    fits: tuple[int, ...], speeds: tuple[float | None, ...], expected: str | None
) -> None:
    names, bits = ("F16", "Q8_0", "Q4_K_M", "Q2_K"), (16.0, 8.5, 4.8, 3.0)
    choices = [choice(*row) for row in zip(names, bits, fits, speeds, strict=True)]
    best, reason = best_choice(choices, 100)
    assert (best.name if best else None) == expected
    assert reason


def test_standard_sizes_are_those_that_quantize_writes(wide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    assert main(["quantize", str(wide), str(out), "--type", "Q4_K_M"]) == 0
    with GGUFFile.open(wide) as file, GGUFFile.open(out) as written:
        foretold = standard_sizes(file)
        assert foretold["Q4_K_M"] == sum(t.data.nbytes for t in written.tensors.values())
        plan = footprint(file, file.file_bytes, 512)
        rows = choices_of(foretold, file, plan, plan.total, 0.1)
    assert rows[0].name == "Q8_0"
    assert all(row.total - row.weights == plan.private for row in rows)


@pytest.fixture
def model_hub(wide: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with one model in two formats, and another split into parts."""
    whole = wide.read_bytes()
    files = {
        "README.md": b"",
        "wide-Q8_0.gguf": whole,
        "wide-F32.gguf": whole,
        "mmproj-F16.gguf": b"x",
    }
    with serving(Hub({"zoo/wide": files})) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield running


def test_a_header_is_read_and_nothing_of_the_weights(model_hub: Hub, wide: Path) -> None:
    client = HubClient()
    repository = client.repository("zoo/wide")
    offer = next(offer for offer in offers_of(repository) if offer.name == "Q8_0")
    outline = read_remote_header(client, repository, offer)
    assert sum(request.sent for request in model_hub.downloads()) <= 1 << 20
    with GGUFFile.open(wide) as file:
        assert list(outline.metadata) == list(file.metadata)
        assert outline.metadata["tokenizer.ggml.tokens"] == file.metadata["tokenizer.ggml.tokens"]
        assert footprint(outline, 5, 512) == footprint(file, 5, 512)
        assert speeds_key(outline, 512, "f16", 1) == speeds_key(file, 512, "f16", 1)


def test_a_long_header_comes_in_several_ranges(
    model_hub: Hub, wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homezoo.zoo.remote_header.FIRST_BYTES", 1000)
    model_hub.faults.cut_after = [400]
    client = HubClient()
    client.connection.patience = type(client.connection.patience)(tries=3, first_wait=0.0)
    repository = client.repository("zoo/wide")
    offer = next(offer for offer in offers_of(repository) if offer.name == "F32")
    outline = read_remote_header(client, repository, offer)
    with GGUFFile.open(wide) as file:
        assert list(outline.tensors) == list(file.tensors)
    sent = sum(request.sent for request in model_hub.downloads())
    assert 1000 < sent < 100_000


def test_what_is_no_model_is_refused_after_one_range(model_hub: Hub) -> None:
    client = HubClient()
    model_hub.repositories["zoo/wide"]["bad-Q4_0.gguf"] = b"<!doctype html>" * 200_000
    repository = client.repository("zoo/wide")
    offers = {offer.name: offer for offer in offers_of(repository)}
    with pytest.raises(GGUFError, match="is a web page"):
        read_remote_header(client, repository, offers["Q4_0"])
    assert len(model_hub.downloads()) == 1


def test_an_outline_needs_the_whole_header(wide: Path) -> None:
    data = wide.read_bytes()
    with GGUFFile.open(wide) as file:
        names = list(file.tensors)
    answers = [
        outline_header(Beginning("w", data[:size], len(data)), Budget()) is not None
        for size in (2, 100, 1000, 3000, 20_000)
    ]
    assert answers == [False, False, False, False, True]
    header = outline_header(Beginning("w", data[:20_000], len(data)), Budget())
    assert header is not None
    assert list(make_outline([header]).tensors) == names
    with pytest.raises(GGUFError, match="cut or damaged"):
        outline_header(Beginning("w", data[:20_000], 20_000), Budget())


def test_fit_of_a_repository_in_words_and_as_json(
    model_hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr("homezoo.commands.fit._overheads", lambda: Overheads(40 << 20, 1e-4, 2e-4))
    assert main(["fit", "zoo/wide:Q8_0", "--context", "256", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fits"] is True and found["context"] == 256
    memory = found["memory"]
    assert found["memory_bytes"] == memory["private_bytes"] + memory["weights_bytes"]
    assert found["prefill_tokens_per_second"] > 0 and found["decode_tokens_per_second"] > 0
    assert {row["name"] for row in found["quantisations"]} == {"Q8_0", "F32"}
    assert found["best_quantisation"] in ("Q8_0", "F32")
    assert main(["fit", "zoo/wide", "--context", "256", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    for word in ("at the peak", "mapped from the file", "when the context is full", "TOKENS/S"):
        assert word in shown
    assert "to fetch it: homezoo pull zoo/wide:" in shown
    assert sum(request.sent for request in model_hub.downloads()) < 20 << 20


def test_fit_says_what_does_not_fit(
    wide: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hurry(monkeypatch)
    monkeypatch.setattr("homezoo.commands.fit._overheads", lambda: Overheads(40 << 20, 1e-4, 2e-4))
    assert main(["fit", str(wide), "--memory", "0.05", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "does not fit" in shown and "none fits this machine" in shown


def test_names_of_nothing_are_one_line(
    model_hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("homezoo.commands.fit._overheads", lambda: Overheads(40 << 20, 1e-4, 2e-4))
    for name, expected in (
        ("zoo/nothing", "there is no repository"),
        ("zoo/wide:Q3_K", "'Q3_K' is not in zoo/wide"),
        ("no-such.gguf", "there is no file no-such.gguf"),
    ):
        assert main(["fit", name]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert expected in error
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["fit", "zoo/wide"]) == 1
    assert "is not on this machine" in capsys.readouterr().err


def test_a_missing_part_is_told(model_hub: Hub, wide: Path) -> None:
    model_hub.repositories["zoo/wide"]["s-Q4_0-00001-of-00002.gguf"] = wide.read_bytes()
    client = HubClient()
    repository = client.repository("zoo/wide")
    offers = {offer.name: offer for offer in offers_of(repository)}
    with pytest.raises(HubError, match="lacks s-Q4_0-00002-of-00002.gguf"):
        read_remote_header(client, repository, offers["Q4_0"])


def test_the_probe_measures_a_process_of_its_own() -> None:
    called = [sys.executable, "-m", "homezoo.commands.probe"]
    found = json.loads(subprocess.run(called, stdout=subprocess.PIPE, check=True).stdout)
    overheads = Overheads(**found)
    assert 10e6 < overheads.program_bytes < 200e6
    assert 0 < overheads.token_seconds <= overheads.cold_token_seconds < 1
