"""Random models of every row of docs/models.md whose rows fit all block formats, as files.

What Q8_0 and Q4_K_M keep of the F32 model's choices; used by tests and bench/architectures.py.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from random_models import RandomModel, random_model
from zoo_cases import CASES, YARN_KEYS, zoo_file
from zoo_models import WIDE, trained_like

from homezoo import _native
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.native import compile_native
from homezoo.ops.protocol import Array, Ops

TOKENS = np.random.default_rng(2).integers(0, WIDE.V, 256).tolist()
_family = partial(
    random_model, width=WIDE.D, feed_forward=WIDE.F, heads=WIDE.H, kv_heads=WIDE.G,
    head_width=WIDE.E, vocab=WIDE.V,
)  # fmt: skip
ROWS: dict[str, Callable[[], RandomModel]] = {  # in the order of the table
    "llama": _family,
    "llama_yarn": partial(_family, keys=YARN_KEYS),
    "mistral": partial(_family, keys={"attention.sliding_window": 9}),
    "mixtral": partial(zoo_file, "mixtral", sizes=WIDE),
    "qwen2": partial(
        _family, architecture="qwen2", biases=("attn_q", "attn_k", "attn_v"), tied=True
    ),
    "qwen3": partial(_family, architecture="qwen3"),
}
ROWS |= {name: partial(zoo_file, name, sizes=WIDE) for name in CASES if name not in ROWS}


def architecture_of(name: str) -> str:
    """The row's general.architecture."""
    return str(ROWS[name]().metadata["general.architecture"])


def write_row(name: str, path: Path) -> Path:
    """The row's F32 model in a file without a vocabulary."""
    model = trained_like(ROWS[name]())
    architecture = model.metadata["general.architecture"]
    extra = {
        "general.file_type": 0,
        f"{architecture}.vocab_size": WIDE.V,
        "tokenizer.ggml.model": "no_vocab",
        "tokenizer.ggml.token_type_count": 2,  # of BERT
    }
    with GGUFWriter(path) as writer:
        for key, value in (model.metadata | extra).items():
            writer.add(key, value)
        writer.write_tensors(list(model.tensors.values()))
    return path


class _States:
    """A model up to its last states."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def forward(self, ops: Ops) -> Array:
        return ops.select(self.model.hidden(ops))


def computed(path: Path, tokens: list[int] = TOKENS) -> np.ndarray:
    """Logits of the tokens, or an encoder's states, by the native kernels: float32 [T, V or D]."""
    with GGUFFile.open(path) as file:
        model = load_model(file)
        cache = KVCache.for_model(model.config, -(-len(tokens) // 64) * 64, "f16")
        batch = build_batch([(Sequence(cache), tokens)], every_row=True)
        forward: Any = model if model.config.causal else _States(model)
        return compile_native(forward, cache, _native.Threads(1))(batch)


def same_choice(whole: np.ndarray, other: np.ndarray) -> float:
    """Share of tokens whose highest logit is that of the same token of the vocabulary."""
    return float(np.mean(whole.argmax(axis=1) == other.argmax(axis=1)))


def divergence(whole: np.ndarray, other: np.ndarray) -> float:
    """Mean KL(whole ‖ other) in nats."""
    p, q = (_log_softmax(logits.astype(np.float64)) for logits in (whole, other))
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def cosine(whole: np.ndarray, other: np.ndarray) -> float:
    """Mean cosine between an encoder's states."""
    lengths = np.linalg.norm(whole, axis=1) * np.linalg.norm(other, axis=1)
    return float(((whole * other).sum(axis=1) / lengths).mean())
