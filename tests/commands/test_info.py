"""`homezoo info` on the bundled model, on others, and on names that would move a terminal."""

import json
from pathlib import Path

import numpy as np
import pytest

from homezoo.commands.main import main
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_write import GGUFWriter


def facts(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["info", *arguments, "--json"]) == 0
    described: dict[str, object] = json.loads(capsys.readouterr().out)
    return described


def test_facts_of_the_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(capsys, "stories", "--context", "500")
    assert found["architecture"] == "llama"
    assert found["parameters"] == 260032
    assert found["tensor_bytes"] == 4 * 260032
    assert found["bits_per_weight"] == 32.0
    assert found["quantisation"] == {"F32": {"tensors": 47, "bytes": 1040128}}
    assert found["context"] == 512
    assert found["vocabulary"] == 512
    assert found["chat_template"] is False
    assert found["licence"] == "mit"
    assert found["runs"] is True
    # keys and values, 5 layers, 4 heads, 512 positions (8 blocks of 64), 8 values of 2 bytes
    memory = found["memory"]
    assert isinstance(memory, dict)
    cache = 2 * 5 * 4 * 512 * 8 * 2
    assert (memory["context"], memory["cache_f16_bytes"]) == (500, cache)
    assert memory["cache_q8_0_bytes"] is None
    assert memory["total_bytes"] == memory["beside_cache_bytes"] + cache
    assert 30e6 < memory["total_bytes"] < 60e6  # nearly all of it Python and libraries


def test_the_table_says_it_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "stories"]) == 0
    shown = capsys.readouterr().out
    for line in ("parameters      260,032", "context         512 tokens", "runs            yes"):
        assert line in shown


def write(path: Path, **metadata: str) -> Path:
    with GGUFWriter(path) as writer:
        for key, value in metadata.items():
            writer.add(key.replace("__", "."), value)
        writer.declare("odd.weight", BlockType.F32, (2, 4))
        writer.write("odd.weight", np.zeros((2, 4), np.float32))
    return path


def test_a_model_of_another_architecture_is_described_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.gguf", general__architecture="mamba")
    found = facts(capsys, str(path))
    assert found["runs"] is False
    assert "general.architecture is 'mamba'; supported: llama" in str(found["reason"])
    assert found["memory"] is None
    assert main(["info", str(path)]) == 0
    assert "no: general.architecture is 'mamba'" in capsys.readouterr().out


def test_names_from_the_file_cannot_move_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "\x1b[2Jevil\r\n[red]"
    path = write(tmp_path / "m.gguf", general__architecture="llama", general__name=name)
    assert main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\N{REPLACEMENT CHARACTER}[2Jevil" in shown
