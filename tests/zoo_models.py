"""Tiny random models of every architecture beside LLaMA's family, with the names of real files."""

from typing import Any

import numpy as np
from random_models import RandomModel, tensor_of

from homezoo.formats.block_types import BlockType

D, F, H, G, E, V, CONTEXT = 64, 96, 4, 2, 16, 100, 512  # sizes; letters as in ops/protocol.py
EXPERTS, USED = 4, 2
Q, K = H * E, G * E
Shapes = dict[str, tuple[int, ...]]
GATED: Shapes = {"ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}
PLAIN: Shapes = {"ffn_up": (F, D), "ffn_down": (D, F)}
SPLIT: Shapes = {"attn_q": (Q, D), "attn_k": (K, D), "attn_v": (K, D), "attn_output": (D, Q)}
WHOLE: Shapes = SPLIT | {"attn_k": (Q, D), "attn_v": (Q, D)}
FUSED: Shapes = {"attn_qkv": (3 * Q, D), "attn_output": (D, Q)}
NORMS: Shapes = {"attn_norm": (D,), "ffn_norm": (D,)}
HEAD_NORMS: Shapes = {"attn_q_norm": (E,), "attn_k_norm": (E,)}
AFTER: Shapes = {"post_attention_norm": (D,), "post_ffw_norm": (D,)}
MIXED: Shapes = {
    "ffn_gate_inp": (EXPERTS, D),
    "ffn_gate_exps": (EXPERTS, F, D),
    "ffn_up_exps": (EXPERTS, F, D),
    "ffn_down_exps": (EXPERTS, D, F),
}
LAST_NORMS: Shapes = {"attn_output_norm": (D,), "layer_output_norm": (D,)}
PHI: Shapes = {"attn_qkv": (Q + 2 * K, D), "attn_output": (D, Q), "ffn_up": (2 * F, D)}
# architecture: the tensors of a layer
LAYERS: dict[str, Shapes] = {
    "llama": SPLIT | MIXED | NORMS,
    "qwen3moe": SPLIT | MIXED | NORMS | HEAD_NORMS,
    "bloom": FUSED | PLAIN | NORMS,
    "gpt2": FUSED | PLAIN | NORMS,
    "gptj": WHOLE | PLAIN | {"attn_norm": (D,)},
    "gptneox": FUSED | PLAIN | NORMS,
    "gemma2": SPLIT | GATED | NORMS | AFTER,
    "gemma3": SPLIT | GATED | NORMS | AFTER | HEAD_NORMS,
    "phi3": PHI | {"ffn_down": (D, F)} | NORMS,
    "smollm3": SPLIT | GATED | NORMS,
    "gpt-oss": SPLIT | MIXED | {"attn_norm": (D,), "post_attention_norm": (D,), "attn_sinks": (H,)},
    "bert": WHOLE | PLAIN | LAST_NORMS,
}
# and those beside the layers; "output" where the files of the architecture have it
OUTSIDE: dict[str, Shapes] = {
    "bloom": {"token_embd_norm": (D,)},
    "gpt2": {"position_embd": (CONTEXT, D)},
    "bert": {"token_embd_norm": (D,), "token_types": (2, D), "position_embd": (CONTEXT, D)},
}
TIED = ("bloom", "gpt2", "gemma2", "gemma3", "smollm3", "bert")
EXPERT_BIASES = ("ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
MATRICES = ("attn_qkv", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down")
ALL_NORMS = ("token_embd_norm", "output_norm", *NORMS, *LAST_NORMS)
BIASED: dict[str, tuple[str, ...]] = {
    "bloom": (*MATRICES, *ALL_NORMS),
    "gpt2": (*MATRICES, *ALL_NORMS),
    "gptneox": (*MATRICES, *ALL_NORMS),
    "bert": (*MATRICES, *ALL_NORMS),
    "gptj": ("ffn_up", "ffn_down", "output", *ALL_NORMS),
    "gpt-oss": ("attn_q", "attn_k", "attn_v", "attn_output", *EXPERT_BIASES),
}
LAYER_NORMED = ("bloom", "gpt2", "gptj", "gptneox", "bert")


def zoo_model(
    architecture: str,
    layers: int = 2,
    keys: dict[str, Any] | None = None,
    type: BlockType = BlockType.F32,
    seed: int = 0,
) -> RandomModel:
    """A random model; `keys` are added to the metadata without their prefix."""
    grouped = "attn_k" in LAYERS[architecture] and LAYERS[architecture]["attn_k"][0] == K
    sizes: dict[str, Any] = {
        "context_length": CONTEXT,
        "embedding_length": D,
        "block_count": layers,
        "feed_forward_length": F,
        "attention.head_count": H,
        "attention.head_count_kv": G if grouped or architecture == "phi3" else H,
    }
    norm = "layer_norm" if architecture in LAYER_NORMED else "layer_norm_rms"
    sizes[f"attention.{norm}_epsilon"] = 1e-5
    if "ffn_gate_inp" in LAYERS[architecture]:
        sizes |= {"expert_count": EXPERTS, "expert_used_count": USED}
    metadata = {f"{architecture}.{key}": value for key, value in (sizes | (keys or {})).items()}
    metadata["general.architecture"] = architecture
    random = np.random.default_rng(seed)
    model = RandomModel(metadata)
    for name, shape in sorted(_shapes(architecture, layers).items()):
        values = random.standard_normal(shape, np.float32)
        if "norm" in name and name.endswith("weight"):
            values = 1 + values / 8
        elif name == "token_embd.weight":
            values = values / 8 if architecture in TIED else values  # so that logits are near 5
        elif "sinks" not in name:
            values = values / np.sqrt(np.float32(shape[-1]))
        model.arrays[name] = values
        matrix = len(shape) > 1 and name.endswith("weight")
        model.tensors[name] = tensor_of(name, values, type if matrix else BlockType.F32)
    return model


def _shapes(architecture: str, layers: int) -> Shapes:
    outside: Shapes = {"token_embd": (V, D)} | OUTSIDE.get(architecture, {})
    if architecture != "bert":
        outside["output_norm"] = (D,)
    if architecture not in TIED:
        outside["output"] = (V, D)
    named = dict(outside)
    for layer in range(layers):
        named |= {f"blk.{layer}.{part}": s for part, s in LAYERS[architecture].items()}
    shapes = {f"{name}.weight": shape for name, shape in named.items()}
    for name, shape in named.items():
        if name.split(".")[-1] in BIASED.get(architecture, ()):
            shapes[f"{name}.bias"] = shape[:2] if len(shape) == 3 else shape[:1]
    return shapes
