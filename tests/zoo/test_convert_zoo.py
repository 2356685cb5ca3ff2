"""Folders of every architecture: each tensor and each setting comes out as GGUF has them."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hf_folders
import numpy as np
import pytest
import tokenizers
from zoo_folders import CONVERTED, checkpoint, write_checkpoint, write_shards

from homezoo.errors import CheckpointError, UnsupportedError
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.text.tokenizer import Tokenizer
from homezoo.zoo.convert import convert
from homezoo.zoo.quantize import quantize_file


def config_of(metadata: Mapping[str, Any], file: GGUFFile) -> ModelConfig:
    """The configuration, without what is rounded to float32 in a file."""
    found = ModelConfig.from_metadata(metadata, file.tensors)
    return dataclasses.replace(found, norm_eps=round(found.norm_eps, 9))


def values_of(file: GGUFFile, name: str) -> np.ndarray:
    tensor = file.tensors[name]
    return dequantize(tensor.type, tensor.data).reshape(tensor.shape)


@pytest.mark.parametrize("name", CONVERTED)
def test_tensors_settings_tokenizer_and_template(tmp_path: Path, name: str) -> None:
    model = write_checkpoint(name, tmp_path / "hf")
    convert(tmp_path / "hf", tmp_path / "out.gguf")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.tensors.keys() == model.arrays.keys()
        for key, values in model.arrays.items():
            # Gemma's norms are kept less 1, which rounds the last bit
            near = 1e-7 if "gemma" in name and "norm" in key else 0
            np.testing.assert_allclose(values_of(file, key), values, rtol=0, atol=near, err_msg=key)
        found, made_of = (config_of(m, file) for m in (file.metadata, model.metadata))
        assert dataclasses.replace(found, rope=made_of.rope) == made_of
        np.testing.assert_allclose(found.rope.frequencies(), made_of.rope.frequencies(), rtol=1e-9)
        assert found.rope.magnitude() == pytest.approx(made_of.rope.magnitude())
        assert file.metadata["tokenizer.chat_template"] == hf_folders.TEMPLATE
        mine = Tokenizer.from_metadata(file.metadata)
        library = tokenizers.Tokenizer.from_file(str(tmp_path / "hf" / "tokenizer.json"))
        for text in hf_folders.CORPUS:
            assert mine.encode(text) == library.encode(text, add_special_tokens=False).ids


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("gpt2", {"activation_function": "relu"}, "relu"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx"),
    ("gptneox", {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, "rope_type"),
    ("qwen3moe", {"norm_topk_prob": False}, "norm_topk_prob"),
    ("qwen3moe", {"mlp_only_layers": [0]}, "mlp_only_layers"),
    ("gemma2", {"layer_types": ["full_attention"] * 2}, "every 2th layer"),
    ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
    ("smollm3", {"no_rope_layers": [1, 1, 1, 1]}, "no_rope_layers"),
    ("gpt_oss", {"swiglu_limit": 9.0}, "swiglu_limit"),
    ("gpt_oss", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "truncate"),
    ("bert", {"position_embedding_type": "relative_key"}, "relative_key"),
    ("mixtral", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ("mixtral", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "llama3"),
]


@pytest.mark.parametrize(("name", "values", "said"), REFUSED)
def test_settings_that_gguf_cannot_say(
    tmp_path: Path, name: str, values: dict[str, Any], said: str
) -> None:
    write_checkpoint(name, tmp_path / "hf")
    change_config(tmp_path / "hf", **values)
    with pytest.raises(UnsupportedError, match=said):
        convert(tmp_path / "hf", tmp_path / "out.gguf")
    assert not list(tmp_path.glob("*gguf*"))


def test_a_missing_expert_and_one_twice(tmp_path: Path) -> None:
    write_checkpoint("qwen3moe", tmp_path / "hf")
    _, states = checkpoint("qwen3moe")
    lost = states.pop("model.layers.1.mlp.experts.2.up_proj.weight")
    write_shards(tmp_path / "hf", states)
    with pytest.raises(CheckpointError, match=r"ffn_up_exps.*\[0, 1, 3\]"):
        convert(tmp_path / "hf", tmp_path / "out.gguf")
    states["model.layers.1.mlp.experts.2.up_proj.weight"] = lost
    states["model.layers.1.mlp.experts.gate_up_proj"] = np.zeros((4, 192, 64), np.float32)
    write_shards(tmp_path / "hf", states)
    with pytest.raises(CheckpointError, match=r"are both blk\.1\.ffn_(gate|up)_exps"):
        convert(tmp_path / "hf", tmp_path / "out.gguf")


def test_old_names_and_masks(tmp_path: Path) -> None:
    """The first GPT-2 and Pythia files: no prefix, and tables that programs compute themselves."""
    write_checkpoint("gpt2", tmp_path / "gpt2")
    _, states = checkpoint("gpt2")
    mask = np.ones((1, 1, 8, 8), np.float32)
    states = {key.removeprefix("transformer."): values for key, values in states.items()}
    write_shards(tmp_path / "gpt2", states | {"h.0.attn.bias": mask})
    convert(tmp_path / "gpt2", tmp_path / "gpt2.gguf")
    write_checkpoint("gptneox", tmp_path / "neox")
    _, states = checkpoint("gptneox")
    states["embed_out.weight"] = states.pop("lm_head.weight")
    more = {"gpt_neox.layers.1.attention.rotary_emb.inv_freq": mask[0, 0, 0]}
    write_shards(tmp_path / "neox", states | more)
    old = {"rope_parameters": None, "rotary_pct": 0.5, "rotary_emb_base": 5000}
    change_config(tmp_path / "neox", **old, hidden_act="gelu_fast")
    made = convert(tmp_path / "neox", tmp_path / "neox.gguf")
    assert any("gelu_fast is computed as gelu" in note for note in made.notes)
    with GGUFFile.open(tmp_path / "neox.gguf") as file:
        assert file.metadata["gptneox.rope.dimension_count"] == 8
        assert file.metadata["gptneox.rope.freq_base"] == 5000.0


def test_gemma3_with_images_keeps_its_text(tmp_path: Path) -> None:
    model = write_checkpoint("gemma3", tmp_path / "hf")
    _, states = checkpoint("gemma3")
    inner = {key.replace("model.", "language_model.model.", 1): v for key, v in states.items()}
    inner["vision_tower.vision_model.embeddings.patch_embedding.bias"] = np.zeros(3, np.float32)
    inner["multi_modal_projector.mm_soft_emb_norm.weight"] = np.zeros(3, np.float32)
    write_shards(tmp_path / "hf", inner)
    text = json.loads((tmp_path / "hf" / "config.json").read_text())
    rope = text.pop("rope_parameters")  # as files before transformers 5 spell it
    text |= {"rope_theta": 1e6, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    text |= {"rope_local_base_freq": 10000.0, "sliding_window_pattern": 6}
    assert rope["full_attention"]["factor"] == 8.0
    whole = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": text}
    (tmp_path / "hf" / "config.json").write_text(json.dumps(whole))
    made = convert(tmp_path / "hf", tmp_path / "out.gguf")
    assert "images are not read" in made.notes[0]
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.tensors.keys() == model.arrays.keys()
        assert config_of(file.metadata, file) == config_of(model.metadata, file)
    change_config(tmp_path / "hf", text_config=text | {"query_pre_attn_scalar": 64})
    made = convert(tmp_path / "hf", tmp_path / "out.gguf")
    assert any("query_pre_attn_scalar is 64" in note for note in made.notes)
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.metadata["gemma3.attention.scale"] == pytest.approx(1 / 8)


def packed(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights [X, N, K] as a checkpoint's codes and scales, and as GGUF's bytes [X * N, ...]."""
    blocks = quantize(BlockType.MXFP4, rows.reshape(-1, rows.shape[-1]))
    split = blocks.reshape(*rows.shape[:2], -1, 17)
    codes = np.concatenate([split[..., 1:] & 15, split[..., 1:] >> 4], axis=-1)  # in order
    return codes[..., ::2] | codes[..., 1::2] << 4, split[..., 0], blocks


def test_experts_in_mxfp4_are_handed_on_bit_for_bit(tmp_path: Path) -> None:
    write_checkpoint("gpt_oss", tmp_path / "hf")
    model, states = checkpoint("gpt_oss")
    wanted = {}
    for layer in range(2):
        place = f"model.layers.{layer}.mlp.experts."
        both = states.pop(place + "gate_up_proj").swapaxes(1, 2)  # [X, 2 F, D]
        down = states.pop(place + "down_proj").swapaxes(1, 2)  # [X, D, F]
        for name, rows in (("gate_up_proj", both), ("down_proj", down)):
            states[f"{place}{name}_blocks"], states[f"{place}{name}_scales"], _ = packed(rows)
        parts = {"gate": both[:, ::2], "up": both[:, 1::2], "down": down}
        wanted |= {f"blk.{layer}.ffn_{part}_exps.weight": w for part, w in parts.items()}
    write_shards(tmp_path / "hf", states)
    change_config(tmp_path / "hf", quantization_config={"quant_method": "mxfp4"})
    made = convert(tmp_path / "hf", tmp_path / "out.gguf")
    assert made.type == "MXFP4"
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.metadata["general.file_type"] == 38
        for name, rows in wanted.items():
            assert file.tensors[name].type is BlockType.MXFP4
            assert np.array_equal(file.tensors[name].data, packed(rows)[2]), name
        assert np.array_equal(values_of(file, "output.weight"), model.arrays["output.weight"])
        quantize_file(file, tmp_path / "all.gguf", "MXFP4")  # the experts stay, the others shrink
        with GGUFFile.open(tmp_path / "all.gguf") as smaller:
            assert smaller.tensors["output.weight"].type is BlockType.Q8_0
            for name in wanted:
                assert np.array_equal(smaller.tensors[name].data, file.tensors[name].data)
        with pytest.raises(UnsupportedError, match=r"exps\.weight is MXFP4.*harms twice"):
            quantize_file(file, tmp_path / "all.gguf", "Q4_0")
    convert(tmp_path / "hf", tmp_path / "f32.gguf", "F32")
    with GGUFFile.open(tmp_path / "f32.gguf") as file:
        for name, rows in wanted.items():
            expected = dequantize(BlockType.MXFP4, packed(rows)[2]).reshape(rows.shape)
            assert np.array_equal(values_of(file, name), expected), name
    change_config(tmp_path / "hf", quantization_config={"quant_method": "awq"})
    with pytest.raises(UnsupportedError, match="awq"):
        convert(tmp_path / "hf", tmp_path / "out.gguf")
    del states["model.layers.0.mlp.experts.down_proj_scales"]
    write_shards(tmp_path / "hf", states)
    change_config(tmp_path / "hf", quantization_config={"quant_method": "mxfp4"})
    with pytest.raises(CheckpointError, match="the scales are none"):
        convert(tmp_path / "hf", tmp_path / "out.gguf")


@pytest.mark.parametrize(
    ("mode", "number"), [("pooling_mode_mean_tokens", 1), ("pooling_mode_cls_token", 2)]
)
def test_pooling_of_sentence_transformers(tmp_path: Path, mode: str, number: int) -> None:
    write_checkpoint("bert", tmp_path / "hf")
    kinds = [("", "models.Transformer"), ("1_Pooling", "models.Pooling")]
    modules = [{"path": path, "type": f"sentence_transformers.{kind}"} for path, kind in kinds]
    (tmp_path / "hf" / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match=r"1_Pooling/config\.json is missing"):
        convert(tmp_path / "hf", tmp_path / "out.gguf")
    (tmp_path / "hf" / "1_Pooling").mkdir()
    settings = tmp_path / "hf" / "1_Pooling" / "config.json"
    settings.write_text(json.dumps({mode: True, "pooling_mode_max_tokens": False}))
    convert(tmp_path / "hf", tmp_path / "out.gguf")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.metadata["bert.pooling_type"] == number
    settings.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(UnsupportedError, match="pooling_mode_max_tokens"):
        convert(tmp_path / "hf", tmp_path / "out.gguf")
