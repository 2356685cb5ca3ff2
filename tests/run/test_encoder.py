"""An encoder's file opens, gives pooled vectors of length 1, and writes no text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zoo_models import CONTEXT, V, zoo_model

from homezoo import Model
from homezoo.errors import OptionError, UnsupportedError
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.reference import ReferenceOps

CLS, SEP, WORDS = 2, 3, ["▁the", "▁cat", "▁sat"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
VOCABULARY = {
    "tokenizer.ggml.model": "bert",
    "tokenizer.ggml.tokens": PIECES + [f"▁w{i}" for i in range(V - len(PIECES))],
    "tokenizer.ggml.token_type": [3] * 4 + [1] * (V - 4),
    "tokenizer.ggml.bos_token_id": CLS,
    "tokenizer.ggml.eos_token_id": SEP,
    "tokenizer.ggml.cls_token_id": CLS,
    "tokenizer.ggml.seperator_token_id": SEP,
    "tokenizer.ggml.unknown_token_id": 1,
    "tokenizer.ggml.padding_token_id": 0,
}
POOLINGS = {1: "mean", 2: "cls"}


def write(path: Path, keys: dict[str, Any], architecture: str = "bert") -> Path:
    """A random model with a vocabulary of whole words, as a file."""
    file = zoo_model(architecture, keys=keys)
    with GGUFWriter(path) as writer:
        for key, value in (file.metadata | VOCABULARY).items():
            writer.add(key, value)
        for tensor in file.tensors.values():
            writer.declare(tensor.name, tensor.type, tensor.shape)
        for tensor in file.tensors.values():
            writer.write(tensor.name, tensor.data)
    return path


@pytest.mark.parametrize("number", POOLINGS)
def test_embedding_is_pooled_as_the_file_says(tmp_path: Path, number: int) -> None:
    keys = {"attention.causal": False, "pooling_type": number}
    with Model.open(write(tmp_path / "encoder.gguf", keys)) as model:
        assert model.config.pooling == POOLINGS[number]
        found = model.embed("the cat sat")
    plain = load_model(zoo_model("bert", keys=keys))
    cache = KVCache.for_model(plain.config, 64)
    batch = build_batch([(Sequence(cache), [CLS, 4, 5, 6, SEP])], every_row=True)
    states = plain.hidden(ReferenceOps(batch, cache, exact=False))  # [5, D]
    pooled = states.mean(axis=0) if number == 1 else states[0]
    np.testing.assert_allclose(found, pooled / np.linalg.norm(pooled), atol=1e-4)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_an_encoder_writes_no_text(tmp_path: Path, backend: Any) -> None:
    path = write(tmp_path / "encoder.gguf", {"attention.causal": False})
    with (
        Model.open(path, backend=backend) as model,
        pytest.raises(UnsupportedError, match="bert is an encoder and writes no text"),
    ):
        model.generate("the cat", max_tokens=2)


def test_learned_positions_end(tmp_path: Path) -> None:
    path = write(tmp_path / "gpt2.gguf", {}, "gpt2")
    with pytest.raises(OptionError, match=f"has learned {CONTEXT} positions; ask for {CONTEXT}"):
        Model.open(path, context=CONTEXT + 1)
    with Model.open(path, context=CONTEXT) as model:
        assert model.logits([5] * CONTEXT).shape == (CONTEXT, V)
