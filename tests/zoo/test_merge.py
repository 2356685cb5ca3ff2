"""Merging: the file computes what base and adapter compute, and says what it was made from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapters import random_adapter

from homezoo.errors import AdapterError, OptionError
from homezoo.formats.adapter_file import Adapter
from homezoo.formats.adapter_origin import Licences, origin_keys
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.models.load import load_model
from homezoo.run.model import Model
from homezoo.zoo.licence import combine, expression
from homezoo.zoo.licence_table import Answer
from homezoo.zoo.lineage import trace
from homezoo.zoo.merge import Part, merge_file
from homezoo.zoo.quantize import quantize_file


def lesson(path: Path, seed: int = 0, **options: Any) -> Adapter:
    """A small adapter for a model; the width of `ffn_down` fills no block of 32 here."""
    with GGUFFile.open(path) as file:
        return random_adapter(load_model(file), alpha=0.3, seed=seed, **options)


def merge(path: Path, out: Path, *parts: Part, type: BlockType | None = None) -> Any:
    with GGUFFile.open(path) as file:
        return merge_file(file, parts, out, type)


def test_floats_compute_what_base_and_adapters_compute(stories_path: Path, tmp_path: Path) -> None:
    one, two = lesson(stories_path, 1), lesson(stories_path, 2, ending="attn_v")
    parts = Part("one", one, 1.0), Part("two", two, -0.5)
    merged = merge(stories_path, tmp_path / "m.gguf", *parts)
    assert merged.changed == len(one.deltas) and merged.types == {"F32": len(one.deltas)}
    tokens = list(range(3, 60))
    with Model.open(stories_path) as base, Model.open(tmp_path / "m.gguf") as model:
        plain = base.logits(tokens)
        for part in parts:
            base.attach(part.adapter, part.strength, part.name)
        expected = base.logits(tokens)
        assert np.abs(expected - plain).max() > 0.5
        np.testing.assert_allclose(model.logits(tokens), expected, atol=0.02)
        assert list(model.metadata["homezoo.merged"]) == ["one:1", "two:-0.5"]


def test_each_changed_weight_is_rounded_once(stories_path: Path, tmp_path: Path) -> None:
    with GGUFFile.open(stories_path) as file:
        quantize_file(file, tmp_path / "base.gguf", "Q4_0")
    adapter = lesson(stories_path, ending="attn_q")
    kept = merge(tmp_path / "base.gguf", tmp_path / "own.gguf", Part("a", adapter, 2.0))
    wide = merge(
        tmp_path / "base.gguf", tmp_path / "q8.gguf", Part("a", adapter, 2.0), type=BlockType.Q8_0
    )
    assert (kept.types, wide.types) == ({"Q4_0": 5}, {"Q8_0": 5})
    worst = {}
    with GGUFFile.open(tmp_path / "base.gguf") as base:
        for name in ("own", "q8"):
            with GGUFFile.open(tmp_path / f"{name}.gguf") as file:
                for tensor in base.tensors.values():
                    if "attn_q" not in tensor.name:
                        assert file.tensors[tensor.name].type is tensor.type
                        np.testing.assert_array_equal(file.tensors[tensor.name].data, tensor.data)
                tensor, found = base.tensors["blk.2.attn_q.weight"], file.tensors
                a, b = adapter.deltas["blk.2.attn_q"]
                wanted = dequantize(tensor.type, tensor.data) + 2 * 0.1 * (b @ a)
                rounded = found["blk.2.attn_q.weight"]
                worst[name] = np.abs(dequantize(rounded.type, rounded.data) - wanted).max()
    assert worst["q8"] < worst["own"] / 4


def test_a_tied_output_becomes_a_weight_of_its_own(stories_path: Path, tmp_path: Path) -> None:
    with GGUFFile.open(stories_path) as file:
        rows, width = file.tensors["token_embd.weight"].shape
    random = np.random.default_rng(0)
    a = random.standard_normal((2, width), np.float32)
    b = random.standard_normal((rows, 2), np.float32) / 8
    adapter = Adapter("llama", 0.0, {"output": (a, b)})
    merge(stories_path, tmp_path / "m.gguf", Part("head", adapter, 1.0))
    with Model.open(stories_path) as base, Model.open(tmp_path / "m.gguf") as model:
        base.attach(adapter)
        tokens = [1, 5, 9]
        np.testing.assert_allclose(model.logits(tokens), base.logits(tokens), atol=1e-3)
        assert not model.config.tied


def test_the_chain_names_base_and_data(stories_path: Path, tmp_path: Path) -> None:
    adapter = lesson(stories_path)
    keys = {"general.dataset.0.name": "tatsu-lab/alpaca", "homezoo.data.licence": "cc-by-nc-4.0"}
    taught = Adapter("llama", 0.3, adapter.deltas, keys)
    merge(stories_path, tmp_path / "m.gguf", Part("lesson", taught, 1.0))
    with GGUFFile.open(tmp_path / "m.gguf") as file, GGUFFile.open(stories_path) as base:
        names = [link.name for link in trace(file.metadata, {}, "m")]
        assert base.metadata["general.name"] in names
        assert "tatsu-lab/alpaca" in names
        assert file.metadata["homezoo.data.licence"] == "cc-by-nc-4.0"
        assert file.metadata["general.license"] == "unknown"  # the adapter states none of its own
        assert file.metadata["homezoo.base.licence"] == expression(trace(base.metadata, {}, ""))
        assert file.metadata["general.name"].endswith("with lesson")


def test_the_licence_of_what_is_merged_is_of_all_that_is_in_it(
    stories_path: Path, tmp_path: Path
) -> None:
    licences = Licences("mit", "cc-by-nc-4.0", "mit AND cc-by-nc-4.0")
    keys = origin_keys(base_name="stories", data_name="alpaca_data.json", licences=licences)
    taught = Adapter("llama", 0.3, lesson(stories_path).deltas, keys)
    base = tmp_path / "base.gguf"
    with GGUFFile.open(stories_path) as file, GGUFWriter(base) as writer:
        skip = [key for key in file.metadata if key.startswith("general.license")]
        writer.copy_metadata(file.metadata, skip)
        writer.add("general.license", "other")
        writer.add("general.license.name", "apache-2.0")
        writer.write_tensors(file.tensors.values())
    merge(base, tmp_path / "m.gguf", Part("lesson", taught, 1.0))
    with GGUFFile.open(tmp_path / "m.gguf") as file:
        stated = str(file.metadata["general.license"])
        assert set(stated.split(" AND ")) == {"apache-2.0", "mit", "cc-by-nc-4.0"}
        assert file.metadata["homezoo.base.licence"] == "apache-2.0"
        assert "general.license.name" not in file.metadata
        assert combine(trace(file.metadata, {}, "m")).commercial is Answer.NO


def test_misfits_are_refused_and_leave_nothing(stories_path: Path, tmp_path: Path) -> None:
    adapter = lesson(stories_path)
    out = tmp_path / "m.gguf"
    other = Adapter("bloom", 1.0, adapter.deltas)
    with pytest.raises(AdapterError, match="for architecture bloom; this model is llama"):
        merge(stories_path, out, Part("a", other, 1.0))
    a, b = adapter.deltas["blk.0.ffn_up"]
    wrong = Adapter("llama", 1.0, {"blk.0.attn_q": (a, b)})
    with pytest.raises(AdapterError, match=r"a: this model has no weight blk.0.attn_q of \(172"):
        merge(stories_path, out, Part("a", wrong, 1.0))
    with pytest.raises(OptionError, match="Q8_0 needs rows of a multiple of 32; blk.0.ffn_down"):
        merge(stories_path, out, Part("a", adapter, 1.0), type=BlockType.Q8_0)
    huge = Adapter("llama", 0.0, {"blk.0.ffn_up": (a, b * np.float32(1e30))})
    with pytest.raises(AdapterError, match="blk.0.ffn_up.weight, rows from 0"):
        merge(stories_path, out, Part("a", huge, 1.0), type=BlockType.F16)
    assert not list(tmp_path.glob("*.gguf*")) and not list(tmp_path.glob(".*.part"))
    with pytest.raises(OptionError, match="is the base itself"):
        merge(stories_path, stories_path, Part("a", adapter, 1.0))
