"""Tiny random models of every architecture beside LLaMA's family, with the names of real files."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from random_models import RandomModel, tensor_of

from homezoo.formats.block_types import BlockType


@dataclass(frozen=True)
class Sizes:
    """Letters as in ops/protocol.py; every head has E values."""

    D: int = 64
    F: int = 96
    H: int = 4
    G: int = 2
    E: int = 16
    V: int = 100


SMALL = Sizes()
WIDE = Sizes(D=256, F=512, H=16, G=8, V=512)  # rows that K-quants fit
D, F, H, G, E, V, CONTEXT = SMALL.D, SMALL.F, SMALL.H, SMALL.G, SMALL.E, SMALL.V, 512
EXPERTS, USED = 4, 2
Shapes = dict[str, tuple[int, ...]]


def layer_shapes(architecture: str, s: Sizes) -> Shapes:
    """The tensors of a layer."""
    d, f, q, k = s.D, s.F, s.H * s.E, s.G * s.E
    gated: Shapes = {"ffn_gate": (f, d), "ffn_up": (f, d), "ffn_down": (d, f)}
    plain: Shapes = {"ffn_up": (f, d), "ffn_down": (d, f)}
    split: Shapes = {"attn_q": (q, d), "attn_k": (k, d), "attn_v": (k, d), "attn_output": (d, q)}
    whole: Shapes = split | {"attn_k": (q, d), "attn_v": (q, d)}
    fused: Shapes = {"attn_qkv": (3 * q, d), "attn_output": (d, q)}
    norms: Shapes = {"attn_norm": (d,), "ffn_norm": (d,)}
    head_norms: Shapes = {"attn_q_norm": (s.E,), "attn_k_norm": (s.E,)}
    after: Shapes = {"post_attention_norm": (d,), "post_ffw_norm": (d,)}
    mixed: Shapes = {
        "ffn_gate_inp": (EXPERTS, d),
        "ffn_gate_exps": (EXPERTS, f, d),
        "ffn_up_exps": (EXPERTS, f, d),
        "ffn_down_exps": (EXPERTS, d, f),
    }
    phi: Shapes = {"attn_qkv": (q + 2 * k, d), "attn_output": (d, q), "ffn_up": (2 * f, d)}
    sunk: Shapes = {"attn_norm": (d,), "post_attention_norm": (d,), "attn_sinks": (s.H,)}
    known = {
        "llama": split | mixed | norms,
        "qwen3moe": split | mixed | norms | head_norms,
        "bloom": fused | plain | norms,
        "gpt2": fused | plain | norms,
        "gptj": whole | plain | {"attn_norm": (d,)},
        "gptneox": fused | plain | norms,
        "gemma2": split | gated | norms | after,
        "gemma3": split | gated | norms | after | head_norms,
        "phi3": phi | {"ffn_down": (d, f)} | norms,
        "smollm3": split | gated | norms,
        "gpt-oss": split | mixed | sunk,
        "bert": whole | plain | {"attn_output_norm": (d,), "layer_output_norm": (d,)},
    }
    return known[architecture]


def outer_shapes(architecture: str, s: Sizes) -> Shapes:
    """Those beside the layers; "output" where the files of the architecture have it."""
    more: dict[str, Shapes] = {
        "bloom": {"token_embd_norm": (s.D,)},
        "gpt2": {"position_embd": (CONTEXT, s.D)},
        "bert": {
            "token_embd_norm": (s.D,), "token_types": (2, s.D), "position_embd": (CONTEXT, s.D),
        },
    }  # fmt: skip
    shapes: Shapes = {"token_embd": (s.V, s.D)} | more.get(architecture, {})
    if architecture != "bert":
        shapes["output_norm"] = (s.D,)
    if architecture not in TIED:
        shapes["output"] = (s.V, s.D)
    return shapes


TIED = ("bloom", "gpt2", "gemma2", "gemma3", "smollm3", "bert")
EXPERT_BIASES = ("ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
MATRICES = ("attn_qkv", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down")
ALL_NORMS = (
    "token_embd_norm", "output_norm", "attn_norm", "ffn_norm", "attn_output_norm",
    "layer_output_norm",
)  # fmt: skip
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
    sizes: Sizes = SMALL,
) -> RandomModel:
    """A random model; `keys` are added to the metadata without their prefix."""
    shapes = named_shapes(architecture, layers, sizes)
    metadata = metadata_of(architecture, layers, sizes, keys or {})
    random = np.random.default_rng(seed)
    model = RandomModel(metadata)
    for name, shape in sorted(shapes.items()):
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


def metadata_of(architecture: str, layers: int, s: Sizes, keys: dict[str, Any]) -> dict[str, Any]:
    """What the file says about itself."""
    shapes = layer_shapes(architecture, s)
    grouped = shapes.get("attn_k", (0,))[0] == s.G * s.E
    sizes: dict[str, Any] = {
        "context_length": CONTEXT,
        "embedding_length": s.D,
        "block_count": layers,
        "feed_forward_length": s.F,
        "attention.head_count": s.H,
        "attention.head_count_kv": s.G if grouped or architecture == "phi3" else s.H,
    }
    norm = "layer_norm" if architecture in LAYER_NORMED else "layer_norm_rms"
    sizes[f"attention.{norm}_epsilon"] = 1e-5
    if "ffn_gate_inp" in shapes:
        sizes |= {"expert_count": EXPERTS, "expert_used_count": USED}
    metadata = {f"{architecture}.{key}": value for key, value in (sizes | keys).items()}
    return metadata | {"general.architecture": architecture}


def named_shapes(architecture: str, layers: int, sizes: Sizes = SMALL) -> Shapes:
    """Every tensor's shape by its whole name."""
    named = outer_shapes(architecture, sizes)
    for layer in range(layers):
        parts = layer_shapes(architecture, sizes)
        named |= {f"blk.{layer}.{part}": shape for part, shape in parts.items()}
    shapes = {f"{name}.weight": shape for name, shape in named.items()}
    for name, shape in named.items():
        if name.split(".")[-1] in BIASED.get(architecture, ()):
            shapes[f"{name}.bias"] = shape[:2] if len(shape) == 3 else shape[:1]
    return shapes


ADDING = ("attn_output", "ffn_down", "ffn_down_exps")  # what is added to the states
LOGITS = 2.0  # how far the logits of trained models deviate, about


def trained_like(model: RandomModel) -> RandomModel:
    """The F32 model with its weights spread as those of trained models are.

    What the layers add keeps the states near 1, and logits deviate by LOGITS.
    """
    layers = model.metadata[f"{model.metadata['general.architecture']}.block_count"]
    random, tied = np.random.default_rng(1), "output.weight" not in model.arrays
    spread = RandomModel(dict(model.metadata))
    for name, values in model.arrays.items():
        part, kind = name.split(".")[-2:]
        factor: Any = 1.0
        if kind == "weight" and part in ADDING:
            factor = (2 * layers) ** -0.5
        elif name == "output.weight" or (tied and name == "token_embd.weight"):
            factor = LOGITS * values.shape[1] ** -0.5 / values.std()
        elif tied and name == "output_norm.weight":  # else every token is followed by itself
            factor = random.choice([-1.0, 1.0], values.shape)
        spread.arrays[name] = (values * factor).astype(np.float32)
        spread.tensors[name] = tensor_of(name, spread.arrays[name])
    return spread
