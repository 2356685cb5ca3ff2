"""`homezoo list` and `homezoo licence`: models where other programs keep them, usable by name."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homezoo.commands.main import main
from homezoo.commands.model_path import find_model
from homezoo.errors import HomezooError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_write import GGUFWriter

COMMIT, OLD_COMMIT = "a" * 40, "b" * 40


def write(path: Path, metadata: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with GGUFWriter(path) as writer:
        for key, value in {"general.architecture": "llama", **metadata}.items():
            writer.add(key, value)
        writer.declare("odd.weight", BlockType.F32, (2, 4))
        writer.write("odd.weight", np.zeros((2, 4), np.float32))
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stories_path: Path) -> Path:
    """A home in which four programs keep models."""
    home = tmp_path / "home"
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    repository = home / ".cache/huggingface/hub/models--zoo--tiny"
    for commit in (COMMIT, OLD_COMMIT):
        folder = repository / "snapshots" / commit
        write(folder / "tiny-Q4_K_M.gguf", {"general.name": commit})
        write(folder / "tiny-Q8_0-00001-of-00002.gguf", {})
        (folder / "tiny-Q8_0-00002-of-00002.gguf").write_bytes(b"x" * 1000)
        (folder / "README.md").write_text("---\nlicense: llama2\ndatasets: tatsu-lab/alpaca\n---\n")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    write(
        home / ".lmstudio/models/lab/studio-GGUF/studio.gguf",
        {"general.license": "apache-2.0", "general.file_type": 15},
    )
    data = stories_path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    store = home / ".ollama/models"
    (store / "blobs").mkdir(parents=True)
    (store / "blobs" / f"sha256-{digest}").write_bytes(data)
    layers = [
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"},
        {"mediaType": "application/vnd.ollama.image.license", "digest": f"sha256:{'0' * 64}"},
    ]
    for name in ("registry.ollama.ai/library/tiny/latest", "hf.co/zoo/tale/Q4_0"):
        manifest = store / "manifests" / name
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"layers": layers}))
    return home


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["list", "--json"]) == 0
    return {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}


def test_models_of_all_programs_are_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    assert {name: model["place"] for name, model in found.items()} == {
        "zookeeper": "homezoo",
        "stories": "homezoo",
        "zoo/tiny:Q4_K_M": "hub",
        "zoo/tiny:Q8_0": "hub",
        "lab/studio-GGUF:studio.gguf": "lmstudio",
        "hf.co/zoo/tale:Q4_0": "ollama",
        "tiny:latest": "ollama",
    }
    assert COMMIT in found["zoo/tiny:Q4_K_M"]["path"]  # that of main, not the older one
    assert found["zoo/tiny:Q8_0"]["bytes"] > 1000  # both parts
    assert found["lab/studio-GGUF:studio.gguf"]["quantisation"] == "Q4_K_M"
    assert found["lab/studio-GGUF:studio.gguf"]["licence"] == "apache-2.0"
    assert found["zoo/tiny:Q4_K_M"]["licence"] == "llama2"
    assert found["zoo/tiny:Q4_K_M"]["commercial"] == "no"  # the card names Alpaca
    assert found["tiny:latest"]["architecture"] == "llama"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zoo/tiny:Q4_K_M", f"snapshots/{COMMIT}/tiny-Q4_K_M.gguf"),
        ("zoo/tiny:q4_k_m", f"snapshots/{COMMIT}/tiny-Q4_K_M.gguf"),
        ("zoo/tiny:tiny-Q4_K_M.gguf", f"snapshots/{COMMIT}/tiny-Q4_K_M.gguf"),
        ("lab/studio-GGUF", "lab/studio-GGUF/studio.gguf"),
        ("tiny", "blobs/sha256-"),
        ("tiny:latest", "blobs/sha256-"),
    ],
)
def test_names_are_models(home: Path, name: str, expected: str) -> None:
    assert expected in find_model(name).as_posix()


def test_every_listed_name_is_a_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, model in listed(capsys).items():
        assert str(find_model(name)) == model["path"]


def test_a_model_of_ollamas_store_runs_where_it_is(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(str(path) for path in home.rglob("*"))
    command = ["run", "tiny", "--raw", "Once", "--max-tokens", "3", "--temperature", "0"]
    assert main(command) == 0
    assert capsys.readouterr().out
    assert sorted(str(path) for path in home.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zoo/tiny", "several models on this machine; name one of zoo/tiny:Q4_K_M, zoo/tiny:Q8_0"),
        ("zoo/none:Q4_0", "is not on this machine; .* homezoo pull zoo/none:Q4_0"),
        ("tiny:lates", "did you mean tiny:latest"),
    ],
)
def test_names_of_no_model_say_what_to_do(home: Path, name: str, expected: str) -> None:
    with pytest.raises(HomezooError, match=expected):
        find_model(name)


def test_the_table_shows_names_and_damage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--paths"]) == 0
    shown = capsys.readouterr()
    assert "lab/studio-GGUF:studio.gguf" in shown.out
    assert str(home / ".lmstudio") in shown.out
    assert "warning: zoo/tiny:Q8_0" not in shown.err  # nothing says it is split: it is a model
    (home / ".lmstudio/models/lab/studio-GGUF/studio.gguf").write_bytes(b"GGUF" + bytes(9))
    assert main(["list"]) == 0
    assert "warning: lab/studio-GGUF:studio.gguf: " in capsys.readouterr().err


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"layers": [{"digest": 3}]}', "\udcff"])
def test_broken_manifests_are_passed_over(
    home: Path, manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".ollama/models/manifests/registry.ollama.ai/library/tiny/latest"
    path.write_bytes(manifest.encode("utf-8", "surrogateescape"))
    assert "tiny:latest" not in listed(capsys)


def test_manifests_cannot_name_files_elsewhere(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / ".ollama/models/manifests/registry.ollama.ai/library/tiny/latest"
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "../../../secret"}
    path.write_text(json.dumps({"layers": [layer]}))
    assert "tiny:latest" not in listed(capsys)


def test_places_can_be_moved(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.rename(home / ".ollama/models", tmp_path / "store")
    os.rename(home / ".cache/huggingface", tmp_path / "hf")
    assert set(listed(capsys)) == {"zookeeper", "stories", "lab/studio-GGUF:studio.gguf"}
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert {"tiny:latest", "zoo/tiny:Q4_K_M"} <= set(listed(capsys))


def test_licence_of_a_model_on_disk(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["licence", "zoo/tiny:Q4_K_M", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(link["role"], link["licence"]) for link in found["chain"]] == [
        ("data", "cc-by-nc-4.0"),
        ("model", "llama2"),
    ]
    assert found["permits"]["commercial"] == "no"
    assert main(["licence", "zoo/tiny:Q4_K_M"]) == 0
    shown = capsys.readouterr().out
    assert "the model card" in shown
    assert "Llama 2 Community License" in shown


def test_licence_of_a_file_that_states_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.gguf", {"general.name": "\x1b[2Jevil"})
    assert main(["licence", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "unknown" in shown
