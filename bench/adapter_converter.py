"""Is our GGUF adapter what llama.cpp's own converter makes of the same PEFT folder?

    python bench/adapter_converter.py --llama-cpp CHECKOUT

For random models of LLaMA with grouped heads (permuted rows), BLOOM (heads in another order) and
Qwen2 (nothing moved), an adapter is written as PEFT folder, converted by CHECKOUT's
convert_lora_to_gguf.py, and compared tensor for tensor. Needs PyTorch and transformers.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.formats.adapter_file import Adapter, read_adapter
from homezoo.models.config import ModelConfig
from homezoo.models.kinds import KINDS
from homezoo.models.rope import RopeConfig
from homezoo.zoo.peft_names import PeftNames
from homezoo.zoo.peft_write import write_peft

WIDTH, INNER, HEADS, KV_HEADS, LAYERS, VOCABULARY, RANK = 64, 256, 4, 2, 2, 128, 4
# architecture: its name in config.json, key-value heads, names of the sizes that differ
MODELS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", KV_HEADS, {"rms_norm_eps": 1e-5}),
    "qwen2": ("Qwen2ForCausalLM", KV_HEADS, {"rms_norm_eps": 1e-6}),
    "bloom": ("BloomForCausalLM", HEADS, {"n_head": HEADS, "n_layer": LAYERS, "n_embed": WIDTH}),
}


def model_config(architecture: str, kv_heads: int) -> ModelConfig:
    return ModelConfig(
        architecture=architecture, layers=LAYERS, width=WIDTH, feed_forward=INNER, heads=HEADS,
        kv_heads=kv_heads, head_width=WIDTH // HEADS, vocab_size=VOCABULARY, context_length=256,
        norm_eps=1e-5, window=None, tied=True, kind=KINDS[architecture],
        rope=RopeConfig(dimensions=WIDTH // HEADS, base=10000.0),
    )  # fmt: skip


def rows_and_width(weight: str, kv_heads: int) -> tuple[int, int]:
    """[N, K] of a layer's weight by the last part of its name."""
    keys = WIDTH // HEADS * kv_heads
    rows = {"attn_k": keys, "attn_v": keys, "attn_qkv": 3 * WIDTH}
    part = weight.rpartition(".")[2]
    rows |= {"ffn_gate": INNER, "ffn_up": INNER}
    return rows.get(part, WIDTH), INNER if part == "ffn_down" else WIDTH


def random_adapter(config: ModelConfig) -> Adapter:
    random = np.random.default_rng(0)
    deltas = {}
    kinds = ["attn_output", "ffn_up", "ffn_down"]
    kinds += ["attn_qkv"] if config.architecture == "bloom" else ["attn_q", "attn_k", "attn_v"]
    for layer in range(LAYERS):
        for kind in kinds:
            rows, width = rows_and_width(kind, config.kv_heads)
            a = random.standard_normal((RANK, width)).astype(np.float32)
            b = random.standard_normal((rows, RANK)).astype(np.float32)
            deltas[f"blk.{layer}.{kind}"] = a, b
    assert all(PeftNames(config).of_weight(name) for name in deltas)
    return Adapter(config.architecture, 8.0, deltas)


def write_base(folder: Path, name: str, more: dict[str, Any], kv_heads: int) -> None:
    """A config.json alone: the converter reads no weights of the base."""
    folder.mkdir()
    sizes = {
        "architectures": [name], "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "vocab_size": VOCABULARY,
        "num_key_value_heads": kv_heads, "max_position_embeddings": 256, "hidden_act": "silu",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(sizes | more))


def check(architecture: str, checkout: Path, folder: Path) -> bool:
    """Prints a line; whether all tensors are equal, bit for bit."""
    name, kv_heads, more = MODELS[architecture]
    config = model_config(architecture, kv_heads)
    ours = random_adapter(config)
    write_base(folder / "base", name, more, kv_heads)
    write_peft(folder / "peft", ours, config, "owner/base")
    out = folder / "theirs.gguf"
    script = checkout / "convert_lora_to_gguf.py"
    subprocess.run(
        [sys.executable, str(script), "--base", str(folder / "base"), "--outfile", str(out),
         "--outtype", "f32", str(folder / "peft")],
        check=True, capture_output=True,
    )  # fmt: skip
    theirs = read_adapter(out)
    same = theirs.deltas.keys() == ours.deltas.keys() and theirs.alpha == ours.alpha
    equal = sum(
        np.array_equal(ours.deltas[weight][side], theirs.deltas[weight][side])
        for weight in ours.deltas
        if weight in theirs.deltas
        for side in (0, 1)
    )
    total = 2 * len(ours.deltas)
    print(f"{architecture:6} alpha {theirs.alpha:g}; {equal} of {total} tensors equal to the bit")
    return same and equal == total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--llama-cpp", type=Path, required=True, help="a checkout of llama.cpp")
    options = parser.parse_args()
    kept = []
    for architecture in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            kept.append(check(architecture, options.llama_cpp, Path(folder)))
    if not all(kept):
        raise SystemExit("not the same")


if __name__ == "__main__":
    main()
