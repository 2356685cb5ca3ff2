"""Tiny models with random weights, made in memory, for tests that need no trained model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor
from homezoo.models.kinds import KINDS


def tensor_of(name: str, values: np.ndarray, type: BlockType = BlockType.F32) -> Tensor:
    """Float32 values of any shape as a tensor of blocks."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    data = rows.view(np.uint8) if type is BlockType.F32 else quantize(type, rows)
    return Tensor(name, type, values.shape, data)


@dataclass
class RandomModel:
    """Stands in for an open GGUF file; `arrays` are the weights before they were quantised."""

    metadata: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def random_model(
    architecture: str = "llama",
    *,
    layers: int = 2,
    width: int = 64,
    feed_forward: int = 96,
    heads: int = 4,
    kv_heads: int = 2,
    head_width: int = 16,
    vocab: int = 100,
    context: int = 512,
    tied: bool = False,
    biases: tuple[str, ...] = (),
    type: BlockType = BlockType.F32,
    rope_factors: np.ndarray | None = None,
    keys: dict[str, Any] | None = None,
    seed: int = 0,
) -> RandomModel:
    """A model of the architecture; `keys` are added to the metadata without their prefix."""
    assert architecture in KINDS
    sizes = {
        "context_length": context,
        "embedding_length": width,
        "block_count": layers,
        "feed_forward_length": feed_forward,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": head_width,
        "attention.value_length": head_width,
        "attention.layer_norm_rms_epsilon": 1e-5,
    } | (keys or {})
    metadata: dict[str, Any] = {f"{architecture}.{key}": value for key, value in sizes.items()}
    metadata["general.architecture"] = architecture
    shapes = _shapes(architecture, layers, width, feed_forward, heads, kv_heads, head_width)
    shapes["token_embd.weight"] = (vocab, width)
    if not tied:
        shapes["output.weight"] = (vocab, width)
    for name, shape in list(shapes.items()):
        if name.split(".")[-2] in biases:
            shapes[name.replace(".weight", ".bias")] = shape[:1]
    random = np.random.default_rng(seed)
    model = RandomModel(metadata)
    for name, shape in sorted(shapes.items()):
        values = random.standard_normal(shape, np.float32)
        if "norm" in name:
            values = 1 + values / 8
        elif name != "token_embd.weight":
            values = values / np.sqrt(np.float32(shape[-1]))
        model.arrays[name] = values
        model.tensors[name] = tensor_of(name, values, type if len(shape) == 2 else BlockType.F32)
    if rope_factors is not None:
        model.tensors["rope_freqs.weight"] = tensor_of("rope_freqs.weight", rope_factors)
    return model


def _shapes(
    architecture: str,
    layers: int,
    width: int,
    feed_forward: int,
    heads: int,
    kv_heads: int,
    head_width: int,
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"output_norm.weight": (width,)}
    for layer in range(layers):
        block: dict[str, tuple[int, ...]] = {
            "attn_norm": (width,),
            "attn_q": (heads * head_width, width),
            "attn_k": (kv_heads * head_width, width),
            "attn_v": (kv_heads * head_width, width),
            "attn_output": (width, heads * head_width),
            "ffn_norm": (width,),
            "ffn_gate": (feed_forward, width),
            "ffn_up": (feed_forward, width),
            "ffn_down": (width, feed_forward),
        }
        if architecture == "qwen3":
            block |= {"attn_q_norm": (head_width,), "attn_k_norm": (head_width,)}
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in block.items()}
    return shapes
