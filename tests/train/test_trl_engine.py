"""The engine of TRL: the same rows in its columns; and a run on a tiny model where TRL is there."""

import json
from pathlib import Path
from typing import Any

import hf_folders
import pytest

from homezoo.errors import DataError, OptionError
from homezoo.train.data_files import Data, PlacedRow
from homezoo.train.options import TrainingOptions
from homezoo.train.rows import Conversation, Instruction, Row, Text
from homezoo.train.trl_engine import make_columns, train_with_trl


def data_of(*rows: Row) -> Data:
    return Data("rows", [PlacedRow(f"line {n}", row) for n, row in enumerate(rows, 1)])


TURNS = Conversation(
    (
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    )
)


def test_columns_of_tasks_conversations_and_texts() -> None:
    columns, bad = make_columns(data_of(Instruction("i", "", "o"), TURNS), "alpaca")
    assert len(columns) == 1 and columns[0]["completion"] == "o"
    assert columns[0]["prompt"].endswith("### Response:")
    assert [row.place for row in bad] == ["line 2"]
    columns, bad = make_columns(data_of(Instruction("i", "", "o"), TURNS), "chat")
    assert [row["completion"][0]["content"] for row in columns] == ["o", "b", "d"] and not bad
    assert columns[2]["prompt"] == list(TURNS.messages[:3])
    assert make_columns(data_of(Text("t")), "raw") == ([{"text": "t"}], [])
    with pytest.raises(DataError, match="1 of 2 rows are plain text"):
        make_columns(data_of(Text("t"), TURNS), "chat")


@pytest.mark.parametrize(
    "settings, nf4, message",
    [
        ({"layers": 2}, False, "no counterpart of layers"),
        ({"full": True, "optimizer": "muon"}, False, "no counterpart of optimizer"),
        ({"full": True}, True, "cannot be taught as a whole"),
    ],
)
def test_what_trl_cannot_do(settings: dict[str, Any], nf4: bool, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        train_with_trl(Path(), data_of(), TrainingOptions(**settings), Path(), nf4)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random LLaMA of two layers and a vocabulary of words, made here; nothing is fetched."""
    pytest.importorskip("trl", reason="TRL, of the extra `gpu`, is not installed")
    torch = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(1)
    config = hf_folders.llama_config(model_type="llama")
    tokenizer = hf_folders.byte_level(hf_folders.LLAMA3, ignore_merges=True)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
    weights = hf_folders.llama_weights(config)
    folder = tmp_path / "tiny"
    return hf_folders.make_folder(folder, config, weights, tokenizer, settings=settings)


@pytest.mark.parametrize("full", [False, True])
def test_a_tiny_model_offline(tiny: Path, tmp_path: Path, full: bool) -> None:
    rows = [Instruction(f"who sees the {pet} ?", "", f"{name} sees the {pet} .")
            for name, pet in (("Tom", "cat"), ("Lily", "dog"))]  # fmt: skip
    options = TrainingOptions(steps=4, lr=1e-2, rank=4, batch=1, full=full, template="alpaca-lora")
    outcome, bad = train_with_trl(tiny, data_of(*rows), options, tmp_path / "out")
    assert outcome.steps == 4 and 0 < outcome.loss < 6.5 and not bad
    assert outcome.template == "alpaca-lora"
    names = {file.name for file in (tmp_path / "out").iterdir()}
    if full:
        assert "model.safetensors" in names and "adapter_config.json" not in names
        return
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["r"] == 4 and config["lora_alpha"] == 8
    assert len({name.rpartition(".")[2] for name in config["target_modules"]}) == 7


def test_the_adapter_comes_back_as_gguf(tiny: Path, tmp_path: Path) -> None:
    from homezoo.commands.main import main
    from homezoo.formats.adapter_file import read_adapter
    from homezoo.formats.adapter_origin import check_base, identify_base, read_settings
    from homezoo.formats.gguf_read import GGUFFile

    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "who has a cat ?", "completion": "Tom has a cat ."}', "utf-8")
    base, out = tmp_path / "base.gguf", tmp_path / "a.gguf"
    assert main(["convert", str(tiny), "-o", str(base), "--type", "F32"]) == 0
    words = ["train", str(tiny), str(data), "--engine", "trl", "--gguf", str(base), "-o", str(out)]
    assert main([*words, "--steps", "2", "--rank", "4", "--licence", "cc0-1.0"]) == 0
    adapter = read_adapter(out)
    assert len(adapter.deltas) == 14
    with GGUFFile.open(base) as file:
        assert check_base("a", adapter.metadata, identify_base(file.tensors)) is None
    settings = read_settings(adapter.metadata)
    assert settings["engine"] == "trl" and settings["rank"] == 4
    assert adapter.metadata["homezoo.data.licence"] == "cc0-1.0"
