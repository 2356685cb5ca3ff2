"""Folders that transformers itself writes, sharded and in bf16, keep its logits when converted."""

import json
from pathlib import Path
from typing import Any

import hf_folders
import numpy as np
import pytest
import transformers_cases
import zoo_cases
from transformers_cases import TOKENS
from zoo_cases import CASES, D, F
from zoo_folders import tokenizer_of

from homezoo import _native
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.native import compile_native
from homezoo.ops.protocol import Array, Ops
from homezoo.ops.reference import compile_reference
from homezoo.zoo.convert import convert
from homezoo.zoo.quantize import quantize_file

torch = pytest.importorskip("torch", reason="torch is not installed; transformers needs it")
SHARD = "60KB"  # so that every model is cut into several files
FAMILY = list(transformers_cases.CASES)
TOLERANCE = 1e-3  # of logits of size 4, as for models that are not converted


def family_model(name: str) -> Any:
    """The transformers model of a case of LLaMA's family, which keeps its cache in float16."""
    _, kind, settings = transformers_cases.CASES[name]
    file = transformers_cases.random_file(name)
    transformers_cases._keep_the_cache_in_float16()
    config = transformers_cases.hf_config(file, kind, settings)
    return transformers_cases.hf_model(file, config, kind)


def save(name: str, folder: Path) -> np.ndarray:
    """A folder that transformers has written, and the logits (an encoder's states) of TOKENS."""
    model = family_model(name) if name in FAMILY else zoo_cases.hf_model(name)
    if name == "bloom":
        _widen(model)
    model.resize_token_embeddings(hf_folders.VOCAB, mean_resizing=False)
    for settings in (model.config, getattr(model, "generation_config", None)):
        if settings is not None:  # those of real models lie beyond this vocabulary
            settings.bos_token_id, settings.eos_token_id, settings.pad_token_id = 1, 2, 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
        found = model(torch.tensor([TOKENS]))
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size=SHARD)
    assert len(list(folder.glob("*.safetensors"))) > 1
    tokenizer_of(name).save(str(folder / "tokenizer.json"))
    template = {"chat_template": hf_folders.TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(template))
    return np.asarray((found[0] if name == "bert" else found.logits)[0].numpy())


def _widen(model: Any) -> None:
    """The feed-forward network that BLOOM's config means, its added values zero: the same function.

    The model of zoo_cases.py has another width than 4 D.
    """
    for block in model.transformer.h:
        up, down = torch.nn.Linear(D, 4 * D), torch.nn.Linear(4 * D, D)
        old = block.mlp.dense_h_to_4h, block.mlp.dense_4h_to_h
        with torch.no_grad():
            for parameter in (up.weight, up.bias, down.weight):
                parameter.zero_()
            up.weight[:F], up.bias[:F] = old[0].weight, old[0].bias
            down.weight[:, :F] = old[1].weight
            down.bias.copy_(old[1].bias)
        block.mlp.dense_h_to_4h, block.mlp.dense_4h_to_h = up, down


class States:
    """A model that stops at its last states."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def forward(self, ops: Ops) -> Array:
        return ops.select(self.model.hidden(ops))


def computed(path: Path, exact: bool) -> np.ndarray:
    """Logits (an encoder's states) of TOKENS from a file, in exact floats or natively."""
    with GGUFFile.open(path) as file:
        model = load_model(file)
        cache = KVCache(model.config.layers, model.config.kv_heads, model.config.head_width, 128)
        batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
        forward: Any = model if model.config.causal else States(model)
        if exact:
            return compile_reference(forward, cache, exact=True)(batch)
        return compile_native(forward, cache, _native.Threads(1))(batch)


@pytest.mark.parametrize("name", [*FAMILY, *CASES])
def test_round_trip(tmp_path: Path, name: str) -> None:
    expected = save(name, tmp_path / "hf")
    made = convert(tmp_path / "hf", tmp_path / "out.gguf")
    assert made.type == "BF16"
    found = computed(tmp_path / "out.gguf", exact=True)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.metadata["tokenizer.chat_template"] == hf_folders.TEMPLATE
        quantize_file(file, tmp_path / "q8.gguf", "Q8_0")
    rounded = computed(tmp_path / "q8.gguf", exact=False)
    assert np.mean(rounded.argmax(axis=1) == expected.argmax(axis=1)) >= 0.9


def test_packed_experts_are_what_transformers_unpacks() -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    from homezoo.zoo.hf_mxfp4 import PackedTensor
    from homezoo.zoo.safetensors import StoredTensor

    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (3, 8, 2, 16), np.uint8)
    scales = random.integers(110, 140, (3, 8, 2), np.uint8)
    mine = PackedTensor(
        StoredTensor("w_blocks", "U8", codes.shape, codes.reshape(-1)),
        StoredTensor("w_scales", "U8", scales.shape, scales.reshape(-1)),
    )
    theirs = convert_moe_packed_tensors(torch.from_numpy(codes), torch.from_numpy(scales))
    expected = theirs.float().numpy().swapaxes(1, 2)  # theirs are [X, K, N]
    np.testing.assert_array_equal(mine.floats(), expected)
