"""Quantising files: which tensor gets what, the bytes, refusals, and rounding for the output."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from random_models import random_model

from homezoo.commands.main import main
from homezoo.errors import GGUFError, HomezooError, OptionError, UnsupportedError
from homezoo.formats.block_fit import fit
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.models.load import load_model
from homezoo.run.model import Model
from homezoo.zoo import calibrate
from homezoo.zoo.block_codes import LAYOUTS, grid, nearest, put_codes
from homezoo.zoo.calibrate import Grams, collect, groups
from homezoo.zoo.mixes import MIXES, ModelFacts, find_mix, tensor_type
from homezoo.zoo.quantize import quantize_file
from homezoo.zoo.report import measure
from homezoo.zoo.round_aware import Inputs, quantize_aware

FACTS = ModelFacts(layers=32, groups=4, experts=0, has_output=True)
ALL_MIXES = sorted(MIXES)


def write_random(path: Path, layers: int = 8, type: BlockType = BlockType.F32) -> Path:
    model = random_model(
        layers=layers, width=256, feed_forward=512, heads=4, kv_heads=2, head_width=64, type=type
    )
    with GGUFWriter(path) as writer:
        for key, value in model.metadata.items():
            writer.add(key, value)
        writer.write_tensors(list(model.tensors.values()))
    return path


def layers_with(mix: str, part: str, type: BlockType) -> list[int]:
    """Layers of 32 in which a part of the mix has the format."""
    shape = (4096, 4096)
    return [
        layer
        for layer in range(32)
        if tensor_type(mix, f"blk.{layer}.{part}.weight", shape, FACTS) is type
    ]


# llama.cpp's own Q4_K_M of 32 layers has Q6_K in these layers of attn_v and ffn_down.
MORE = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]


def test_mixes_follow_the_known_rules() -> None:
    for part in ("attn_v", "ffn_down"):
        assert layers_with("Q4_K_M", part, BlockType.Q6_K) == MORE
        assert layers_with("Q5_K_M", part, BlockType.Q6_K) == MORE
    assert layers_with("Q4_K_S", "attn_v", BlockType.Q5_K) == [0, 1, 2, 3]
    assert layers_with("Q4_K_S", "ffn_down", BlockType.Q5_K) == [0, 1, 2, 3]
    assert layers_with("Q3_K_M", "attn_v", BlockType.Q5_K) == [0, 1]
    assert layers_with("Q3_K_M", "ffn_down", BlockType.Q5_K) == [0, 1]
    assert len(layers_with("Q3_K_L", "attn_output", BlockType.Q5_K)) == 32
    assert len(layers_with("Q2_K", "ffn_down", BlockType.Q3_K)) == 32
    assert len(layers_with("Q4_K_M", "attn_q", BlockType.Q4_K)) == 32
    for mix, wanted in (("Q4_K_M", "Q6_K"), ("Q8_0", "Q8_0"), ("Q4_0", "Q6_K"), ("F16", "F16")):
        assert tensor_type(mix, "output.weight", (9, 4096), FACTS).name == wanted
        assert tensor_type(mix, "token_embd.weight", (9, 4096), FACTS) is MIXES[mix]


def test_rows_that_do_not_fit_fall_back() -> None:
    def found(mix: str, width: int) -> str:
        return tensor_type(mix, "blk.5.attn_q.weight", (8, width), FACTS).name

    assert [found("Q4_K_M", 96), found("Q5_K_M", 96), found("Q6_K", 96)] == ["Q5_0", "Q5_1", "Q8_0"]
    assert [found("Q2_K", 96), found("IQ4_XS", 96), found("Q4_0", 172)] == [
        "IQ4_NL",
        "IQ4_NL",
        "F16",
    ]
    assert find_mix("q4_k") == "Q4_K_M"
    with pytest.raises(OptionError, match="Q9_Z"):
        find_mix("Q9_Z")


@pytest.mark.parametrize("mix", ALL_MIXES)
def test_every_mix_is_read_by_the_gguf_package_and_by_us(tmp_path: Path, mix: str) -> None:
    out = tmp_path / "out.gguf"
    with GGUFFile.open(write_random(tmp_path / "in.gguf", layers=2)) as source:
        made = quantize_file(source, out, mix)
        with GGUFFile.open(out) as file:
            load_model(file)
            assert made.bytes == sum(t.data.nbytes for t in file.tensors.values())
            for name, tensor in file.tensors.items():
                floats = dequantize(source.tensors[name].type, source.tensors[name].data)
                assert np.array_equal(tensor.data, fit(tensor.type, floats)), name
        reader = gguf.GGUFReader(out)
        assert sum(made.types.values()) == len(reader.tensors)
        assert reader.fields["general.quantization_version"].contents() == 2


def test_refusals(tmp_path: Path) -> None:
    path = write_random(tmp_path / "in.gguf", layers=1, type=BlockType.Q8_0)
    with GGUFFile.open(path) as source:
        with pytest.raises(UnsupportedError, match=r"Q8_0.*harms twice"):
            quantize_file(source, tmp_path / "out.gguf", "Q4_0")
        with pytest.raises(OptionError, match="the source itself"):
            quantize_file(source, path, "Q4_0")
    assert sorted(p.name for p in tmp_path.glob("*.gguf")) == ["in.gguf"]


def test_a_weight_that_is_no_number_is_named(tmp_path: Path) -> None:
    model = random_model(layers=1)
    model.tensors["blk.0.ffn_up.weight"].data.view(np.float32)[3, 5] = np.nan
    with GGUFWriter(tmp_path / "in.gguf") as writer:
        for key, value in model.metadata.items():
            writer.add(key, value)
        writer.write_tensors(list(model.tensors.values()))
    with (
        GGUFFile.open(tmp_path / "in.gguf") as source,
        pytest.raises(HomezooError, match=r"blk\.0\.ffn_up\.weight.*row 3 holds nan"),
    ):
        quantize_file(source, tmp_path / "out.gguf", "Q4_0")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("type", LAYOUTS)
def test_codes_are_exchanged_and_scales_stay(type: BlockType) -> None:
    random = np.random.default_rng(1)
    blocks = quantize(type, random.standard_normal((50, type.block_size)).astype(np.float32))
    values = np.asarray(LAYOUTS[type].values, np.float32)
    codes = random.integers(0, len(values), (50, type.block_size)).astype(np.uint8)
    step, offset = grid(type, blocks)
    found = dequantize(type, put_codes(type, blocks, codes))
    assert np.allclose(found, step * values[codes] + offset, atol=1e-6)
    again = nearest(LAYOUTS[type], values)
    assert np.array_equal(values[again], values)


@pytest.mark.parametrize("type", LAYOUTS)
def test_rounding_for_the_output_lowers_its_error(type: BlockType) -> None:
    """Correlated inputs, as activations are: 64 directions of unequal strength, and noise."""
    random = np.random.default_rng(2)
    directions = random.standard_normal((64, 512)) * np.exp(random.standard_normal((64, 1)))
    x = random.standard_normal((2000, 64)) @ directions + 2 * random.standard_normal((2000, 512))
    gram = x.T @ x
    weight = random.standard_normal((24, 512)).astype(np.float32)
    inputs = Inputs.from_gram(gram)
    assert inputs is not None
    aware = quantize_aware(type, weight, inputs)

    def error(rows: np.ndarray) -> float:
        change = weight - dequantize(type, rows)
        return float(((change @ gram) * change).sum())

    assert error(aware) < 0.5 * error(quantize(type, weight))


def test_inputs_that_say_nothing() -> None:
    assert Inputs.from_gram(np.zeros((8, 8))) is None
    assert Inputs.from_gram(np.full((8, 8), np.nan)) is None
    inputs = Inputs.from_gram(np.eye(32))
    assert inputs is not None
    with pytest.raises(GGUFError, match="row 0 holds nan"):
        quantize_aware(BlockType.Q4_0, np.full((1, 32), np.nan, np.float32), inputs)


def test_sums_of_inputs(stories_path: Path) -> None:
    names = [f"blk.0.attn_{part}.weight" for part in "qk"] + ["blk.4.ffn_down.weight", "odd"]
    with GGUFFile.open(stories_path) as file:
        *_, (count, grams) = collect(file, [[1, 400, 300], [1, 5]], names)
    assert count == 2 and grams.of("odd") is None
    shared, down = grams.of(names[0]), grams.of(names[2])
    assert shared is grams.of(names[1])  # queries and keys see the same
    assert shared is not None and down is not None and down.shape == (172, 172)
    assert np.linalg.matrix_rank(shared, tol=1e-3) == 4  # five tokens, of which two are alike
    assert Grams([]).of("x") is None


def test_groups_fit_the_budget() -> None:
    widths = {"a": 10, "b": 10, "c": 100, "d": 1}
    assert list(groups(widths, 1600)) == [["a", "b"], ["c"], ["d"]]
    assert list(groups({}, 1)) == []


def test_quality_of_known_logits() -> None:
    half, sure = np.log([[0.5, 0.5]] * 3), np.log([[0.75, 0.25]] * 3)
    found = measure(lambda _: [half], lambda _: [sure[:1], sure[1:]], [[0, 0, 1]])
    assert found.tokens == 2
    assert found.mean_kl == pytest.approx(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    assert found.source_perplexity == pytest.approx(2)
    assert found.perplexity == pytest.approx((0.75 * 0.25) ** -0.5)


STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside. "


def test_command_line(
    stories_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "out.gguf"
    text.write_text(STORY * 20)
    line = ["quantize", str(stories_path), str(out), "--type", "Q4_K_M"]
    assert main([*line, "--calibration", str(text), "--report", str(text), "--json"]) == 0
    said = capsys.readouterr()
    facts = json.loads(said.out)
    assert facts["types"] == {"F16": 5, "F32": 11, "Q5_0": 28, "Q8_0": 3} and facts["aware"] == 28
    assert 0 < facts["report"]["mean_kl"] < 0.1 and facts["report"]["tokens"] > 300
    assert "5 tensors with rows of 172 as F16" in said.err
    assert main([*line, "--report", str(text)]) == 0
    assert "mean KL" in capsys.readouterr().out
    text.write_text("too short")
    assert main([*line, "--calibration", str(text)]) == 1
    assert "at least 256" in capsys.readouterr().err


@pytest.mark.slow
def test_calibration_lowers_divergence_on_other_text(stories_path: Path, tmp_path: Path) -> None:
    """The model's own stories, half to calibrate and half to measure, at least 15 % better."""
    with Model.open(stories_path) as model:
        stories = [
            model.generate("", temperature=1.0, max_tokens=200, seed=seed).text
            for seed in range(60)
        ]
    (tmp_path / "held.txt").write_text("\n".join(stories[40:]))
    (tmp_path / "calibration.txt").write_text("\n".join(stories[:40]))
    found = []
    for more in ([], ["--calibration", str(tmp_path / "calibration.txt")]):
        out = tmp_path / "out.gguf"
        held = str(tmp_path / "held.txt")
        assert main(["quantize", str(stories_path), str(out), "--type", "Q4_0", *more]) == 0
        with GGUFFile.open(stories_path) as file:
            windows = calibrate.windows(file, Path(held).read_text())
        with Model.open(stories_path) as source, Model.open(out) as made:
            found.append(measure(source.engine.logits, made.engine.logits, windows).mean_kl)
    assert found[1] < 0.85 * found[0], found
