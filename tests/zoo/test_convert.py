"""Conversion of whole Hugging Face folders, against an independent forward pass in HF's own way."""

import json
from pathlib import Path
from typing import Any

import gguf
import hf_folders
import numpy as np
import pytest

from homezoo.commands.main import main
from homezoo.errors import CheckpointError, OptionError, UnsupportedError
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.reference import compile_reference
from homezoo.text.tokenizer import Tokenizer
from homezoo.zoo.convert import convert

TOKENS = [5, 17, 250, 3, 99, 8, 41, 17]


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def rotate(x: np.ndarray, base: float) -> np.ndarray:
    """Hugging Face's rotate_half on [T, heads, E]."""
    tokens, _, width = x.shape
    angles = np.arange(tokens)[:, None] * base ** (-np.arange(0, width, 2) / width)  # [T, E/2]
    cos, sin = (np.tile(part(angles), 2)[:, None] for part in (np.cos, np.sin))
    halves = np.concatenate([-x[..., width // 2 :], x[..., : width // 2]], -1)
    return x * cos + halves * sin


def hf_logits(config: dict[str, Any], weights: dict[str, np.ndarray]) -> np.ndarray:
    """Logits of TOKENS computed from the names and layouts of Hugging Face, in float64: [T, V]."""
    w = {name: values.astype(np.float64) for name, values in weights.items()}
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    eps, count = config["rms_norm_eps"], len(TOKENS)
    x = w["model.embed_tokens.weight"][TOKENS]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        y = rms_norm(x, w[at + "input_layernorm.weight"], eps)
        q, k, v = (
            y @ w[f"{at}self_attn.{part}_proj.weight"].T
            + w.get(f"{at}self_attn.{part}_proj.bias", 0)
            for part in "qkv"
        )
        q, k, v = (
            q.reshape(count, heads, -1),
            k.reshape(count, groups, -1),
            v.reshape(count, groups, -1),
        )
        if at + "self_attn.q_norm.weight" in w:
            q = rms_norm(q, w[at + "self_attn.q_norm.weight"], eps)
            k = rms_norm(k, w[at + "self_attn.k_norm.weight"], eps)
        q, k = rotate(q, config["rope_theta"]), rotate(k, config["rope_theta"])
        k, v = (np.repeat(part, heads // groups, axis=1) for part in (k, v))
        scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(q.shape[-1])
        scores = np.where(np.tril(np.ones((count, count), bool)), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = np.einsum("hts,shd->thd", shares, v).reshape(count, -1)
        x = x + mixed @ w[at + "self_attn.o_proj.weight"].T
        y = rms_norm(x, w[at + "post_attention_layernorm.weight"], eps)
        gate, up = y @ w[at + "mlp.gate_proj.weight"].T, y @ w[at + "mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[at + "mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return np.asarray(rms_norm(x, w["model.norm.weight"], eps) @ head.T)


def our_logits(path: Path) -> np.ndarray:
    """Logits of TOKENS from a converted file in exact floats: [T, V]."""
    with GGUFFile.open(path) as file:
        model = load_model(file)
        cache = KVCache.for_model(model.config, 64, "f16")
        batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
        return compile_reference(model, cache, exact=True)(batch)


FUSED = ("q", "k", "v", "gate", "up")
CASES = {
    "LlamaForCausalLM": {},
    "MistralForCausalLM": {"sliding_window": None, "head_dim": 32},
    "Qwen2ForCausalLM": {"use_sliding_window": False, "tie_word_embeddings": True},
    "Qwen3ForCausalLM": {"head_dim": 32},
}


def test_phi3_keeps_its_fused_weights(tmp_path: Path) -> None:
    """Phi-3 is LLaMA with weights stacked: the same weights must give the same logits."""
    config = hf_folders.llama_config()
    weights = hf_folders.llama_weights(config)
    fused = {name: w for name, w in weights.items() if not any(f".{p}_proj" in name for p in FUSED)}
    for layer in range(2):
        for target, parts in (
            ("self_attn.qkv", ("self_attn.q", "self_attn.k", "self_attn.v")),
            ("mlp.gate_up", ("mlp.gate", "mlp.up")),
        ):
            stacked = [weights[f"model.layers.{layer}.{part}_proj.weight"] for part in parts]
            fused[f"model.layers.{layer}.{target}_proj.weight"] = np.concatenate(stacked)
    phi = config | {"architectures": ["Phi3ForCausalLM"], "sliding_window": 200}
    folder = hf_folders.make_folder(tmp_path / "hf", phi, fused, hf_folders.sentencepiece_like())
    assert convert(folder, tmp_path / "out.gguf").architecture == "phi3"
    found, wanted = our_logits(tmp_path / "out.gguf"), hf_logits(config, weights)
    assert np.abs(found - wanted).max() < 2e-3
    phi["rope_scaling"] = {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}
    (folder / "config.json").write_text(json.dumps(phi))
    with pytest.raises(UnsupportedError, match="longrope"):
        convert(folder, tmp_path / "out.gguf")


def tokenizer_of(architecture: str) -> Any:
    if architecture == "MistralForCausalLM":
        return hf_folders.sentencepiece_like()
    if architecture == "LlamaForCausalLM":
        return hf_folders.byte_level(hf_folders.LLAMA3, ignore_merges=True)
    return hf_folders.byte_level(hf_folders.QWEN2)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A folder of a LLaMA with a byte-level tokenizer."""
    config = hf_folders.llama_config()
    return hf_folders.make_folder(
        tmp_path / "Tiny-Llama",
        config,
        hf_folders.llama_weights(config),
        tokenizer_of("LlamaForCausalLM"),
        settings={"eos_token": "<|im_end|>", "chat_template": hf_folders.TEMPLATE},
    )


@pytest.mark.parametrize("architecture", CASES)
def test_logits_are_those_of_hugging_faces_layout(tmp_path: Path, architecture: str) -> None:
    config = hf_folders.llama_config(architecture, **CASES[architecture])
    weights = hf_folders.llama_weights(config)
    folder = hf_folders.make_folder(tmp_path / "hf", config, weights, tokenizer_of(architecture))
    made = convert(folder, tmp_path / "out.gguf")
    assert made.type == "BF16"  # what the weights are stored in
    found, wanted = our_logits(tmp_path / "out.gguf"), hf_logits(config, weights)
    assert np.abs(found - wanted).max() < 2e-3  # the cache keeps keys and values as float16


def test_values_in_each_type_and_in_the_gguf_package(llama: Path, tmp_path: Path) -> None:
    for type in ("F32", "F16", "BF16"):
        out = tmp_path / f"{type}.gguf"
        convert(llama, out, type)
        weights = hf_folders.llama_weights(hf_folders.llama_config())
        with GGUFFile.open(out) as file:
            down = file.tensors["blk.1.ffn_down.weight"]
            norm = file.tensors["blk.1.ffn_norm.weight"]
            assert (down.type.name, norm.type.name) == (type, "F32")
            values = dequantize(down.type, down.data)
        wanted = weights["model.layers.1.mlp.down_proj.weight"]
        assert np.array_equal(values, wanted.astype(np.float16) if type == "F16" else wanted)
        reader = gguf.GGUFReader(out)
        assert {t.name for t in reader.tensors} == {*GGUFFile.open(out).tensors}
        assert (
            reader.fields["general.file_type"].contents() == {"F32": 0, "F16": 1, "BF16": 32}[type]
        )


def test_sharded_folder_gives_the_same_file(llama: Path, tmp_path: Path) -> None:
    convert(llama, tmp_path / "one.gguf")
    weights = hf_folders.llama_weights(hf_folders.llama_config())
    names = sorted(weights)
    (llama / "model.safetensors").unlink()
    places = {}
    for number, part in enumerate((names[::2], names[1::2])):
        shard = f"model-0000{number + 1}-of-00002.safetensors"
        shared = {name: weights[name] for name in part}
        hf_folders.write_safetensors(llama / shard, shared, dict.fromkeys(part, "BF16"))
        places |= dict.fromkeys(part, shard)
    index = llama / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    convert(llama, tmp_path / "two.gguf")
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()


def test_licence_lineage_and_ends_are_kept(llama: Path, tmp_path: Path) -> None:
    (llama / "README.md").write_text(
        "---\nlicense: cc-by-nc-4.0\nbase_model:\n- meta/llama\ndatasets: [tatsu-lab/alpaca]\n"
        "tags: [chat]\nlanguage: en\n---\n# A model\n"
    )
    (llama / "generation_config.json").write_text(json.dumps({"eos_token_id": [299, 301]}))
    convert(llama, tmp_path / "out.gguf")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        keys = dict(file.metadata)
        tokenizer = Tokenizer.from_metadata(file.metadata)
    assert keys["general.name"] == "Tiny-Llama"
    assert keys["general.license"] == "cc-by-nc-4.0"
    assert keys["general.base_model.count"] == 1
    assert keys["general.base_model.0.repo_url"] == "https://huggingface.co/meta/llama"
    assert keys["general.dataset.0.name"] == "alpaca"
    assert list(keys["general.tags"]) == ["chat"] and list(keys["general.languages"]) == ["en"]
    assert keys["tokenizer.chat_template"] == hf_folders.TEMPLATE
    end = tokenizer.encode("<|im_end|>", special=True)[0]
    assert tokenizer.eos_id == end and {end, 299} <= tokenizer.end_ids


def test_llama3_rope_factors(tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    config = hf_folders.llama_config(rope_scaling=scaling)
    weights = hf_folders.llama_weights(config)
    tokenizer = tokenizer_of("LlamaForCausalLM")
    folder = hf_folders.make_folder(tmp_path / "hf", config, weights, tokenizer)
    convert(folder, tmp_path / "out.gguf")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        tensor = file.tensors["rope_freqs.weight"]
        factors = dequantize(tensor.type, tensor.data).reshape(-1)
    wavelengths = 2 * np.pi * 10000.0 ** (np.arange(0, 16, 2) / 16)
    assert factors[wavelengths < 64 / 4].tolist() == [1.0] * int((wavelengths < 16).sum())
    assert np.all(factors[wavelengths > 64] == 8.0)
    between = (wavelengths >= 16) & (wavelengths <= 64)
    assert between.any() and np.all((factors[between] > 1) & (factors[between] < 8))


@pytest.mark.parametrize(
    "change, error, said",
    [
        ({"architectures": ["FooForCausalLM"]}, UnsupportedError, "LlamaForCausalLM"),
        ({"hidden_act": "relu"}, UnsupportedError, "relu"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, UnsupportedError, "dynamic"),
        ({"num_hidden_layers": 3}, CheckpointError, "blk.2"),
        ({"num_hidden_layers": 1}, CheckpointError, "blk.1"),
        ({"num_hidden_layers": "two"}, CheckpointError, "'two'"),
        ({"quantization_config": {"bits": 4}}, UnsupportedError, "quantization_config"),
        ({"tie_word_embeddings": True, "vocab_size": 7}, CheckpointError, "vocab_size"),
    ],
)
def test_refusals_leave_no_file(
    llama: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception], said: str
) -> None:
    config = json.loads((llama / "config.json").read_text()) | change
    (llama / "config.json").write_text(json.dumps(config))
    with pytest.raises(error, match=said):
        convert(llama, tmp_path / "out.gguf")
    assert not list(tmp_path.glob("*.gguf*")) and not list(tmp_path.glob(".*gguf*"))


def test_unknown_tensor_wrong_type_and_overflow(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Q4_0"):
        convert(llama, tmp_path / "out.gguf", "Q4_0")
    weights = hf_folders.llama_weights(hf_folders.llama_config())
    weights["model.norm.weight"] *= 1
    weights["lm_head.weight"][3, 5] = 1e6
    hf_folders.write_safetensors(llama / "model.safetensors", weights)
    with pytest.raises(CheckpointError, match=r"output.weight.*row 3.*BF16 or F32"):
        convert(llama, tmp_path / "out.gguf", "F16")
    hf_folders.write_safetensors(
        llama / "model.safetensors", weights | {"odd": weights["lm_head.weight"]}
    )
    with pytest.raises(CheckpointError, match="odd"):
        convert(llama, tmp_path / "out.gguf")


def test_command_line(llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.gguf"
    assert main(["convert", str(llama), "-o", str(out), "--type", "F16", "--json"]) == 0
    said = capsys.readouterr()
    facts = json.loads(said.out)
    assert facts["type"] == "F16" and facts["bytes"] == out.stat().st_size
    assert "note: 96 rows of the embedding have no token" in said.err
    assert main(["convert", str(tmp_path / "nowhere"), "-o", str(out)]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err
