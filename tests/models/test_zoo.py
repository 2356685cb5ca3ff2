"""Every architecture gives the logits of Hugging Face's `transformers`, and the same natively."""

import json
from typing import Any

import numpy as np
import pytest
from native_programs import SECTIONS, NativeModel, section
from transformers_cases import KEPT, TOKENS
from zoo_cases import CASES, RECORDED, hf_logits, zoo_file

from homezoo import _native
from homezoo.errors import UnsupportedError
from homezoo.formats.block_types import BlockType
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.native import compile_native
from homezoo.ops.protocol import Array, Ops
from homezoo.ops.reference import compile_reference

NO_TORCH = "torch is not installed; without it only transformers' recorded results are compared"
TOLERANCE = 1e-3  # of logits of size 4; keys and values rounded to float16 may round differently
DECODERS = [name for name in CASES if name != "bert"]


class States:
    """A model that stops at its last states: what an encoder is for."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def forward(self, ops: Ops) -> Array:
        return ops.select(self.model.hidden(ops))


def computed(name: str, backend: str, type: BlockType = BlockType.F32) -> np.ndarray:
    """Logits of TOKENS by a backend, or an encoder's states: float32 [T, V or D]."""
    model = load_model(zoo_file(name, type))
    cache = KVCache(model.config.layers, model.config.kv_heads, model.config.head_width, 128)
    batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
    forward: Any = model if model.config.causal else States(model)
    if backend in ("exact", "reference"):
        return compile_reference(forward, cache, backend == "exact")(batch)
    with section(backend):
        return compile_native(forward, cache, _native.Threads(2))(batch)


@pytest.mark.parametrize("name", CASES)
def test_equals_what_transformers_gave(name: str) -> None:
    expected = np.array(json.loads(RECORDED.read_text())[name])
    assert expected.shape[0] == 10 and np.abs(expected).max() > 1
    np.testing.assert_allclose(computed(name, "exact")[KEPT], expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_equals_transformers(name: str) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    expected, found = hf_logits(name), computed(name, "exact")
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


def test_every_architecture_has_a_case() -> None:
    from homezoo.models.kinds import KINDS
    from homezoo.models.load import ARCHITECTURES

    assert set(ARCHITECTURES) == set(KINDS)
    checked = {case[0] for case in CASES.values()} | {"llama", "qwen2", "qwen3"}
    assert checked == set(KINDS)
    assert set(json.loads(RECORDED.read_text())) == set(CASES)


@pytest.mark.parametrize("type", [BlockType.F32, BlockType.Q8_0, BlockType.MXFP4])
@pytest.mark.parametrize("name", CASES)
def test_native_equals_reference_and_sections_each_other(name: str, type: BlockType) -> None:
    expected, plain = computed(name, "reference", type), computed(name, "plain", type)
    # A sum may fall on the other side of a tie when it is rounded: to float16 in the cache, or to
    # int8, where a step is 1/254 of a block's maximum. Layers pass it on; logits are of size 4.
    most, mean = (TOLERANCE, 2e-4) if type is BlockType.F32 else (0.15, 0.015)
    np.testing.assert_allclose(plain, expected, atol=most, rtol=0)
    assert np.sqrt(np.mean((plain - expected) ** 2)) < mean
    for kernels in SECTIONS:
        np.testing.assert_array_equal(computed(name, kernels, type), plain)


@pytest.mark.parametrize("name", DECODERS)
def test_token_by_token_equals_at_once(name: str) -> None:
    native = NativeModel(load_model(zoo_file(name, BlockType.Q8_0)), threads=2)
    expected = native.whole(TOKENS)
    first, other = Sequence(native.cache), Sequence(native.cache)
    for token in range(70):
        parts = [(first, TOKENS[token : token + 1])]
        if token % 2:  # beside another sequence's tokens
            parts.append((other, TOKENS[token : token + 2]))
        np.testing.assert_array_equal(native.compute(*parts)[0], expected[token])
    np.testing.assert_array_equal(native.compute((first, TOKENS[70:])), expected[70:])


@pytest.mark.parametrize("name", CASES)
def test_q8_0_keeps_the_first_choice(name: str) -> None:
    whole, rounded = computed(name, "exact"), computed(name, "reference", BlockType.Q8_0)
    assert np.mean(whole.argmax(axis=1) == rounded.argmax(axis=1)) >= 0.9


def test_an_encoder_sees_the_whole_text_and_writes_none() -> None:
    model = load_model(zoo_file("bert"))
    cache = KVCache(model.config.layers, model.config.kv_heads, model.config.head_width, 512)
    run = compile_native(States(model), cache, _native.Threads(1))
    one, two = TOKENS[:20], TOKENS[20:50]
    together = run(build_batch([(Sequence(cache), one), (Sequence(cache), two)], every_row=True))
    for tokens, found in ((one, together[:20]), (two, together[20:])):
        alone = run(build_batch([(Sequence(cache), tokens)], every_row=True))
        np.testing.assert_array_equal(found, alone)
    changed = run(build_batch([(Sequence(cache), [*one[:-1], one[-1] ^ 1])], every_row=True))
    assert not (changed == together[:20]).all(axis=1).any()  # the last token changes the first
    with pytest.raises(UnsupportedError, match="bert is an encoder"):
        compile_native(model, cache, _native.Threads(1))


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "gpt_oss", "smollm3", "gptneox_in_turn"])
def test_what_differs_between_layers_matters(name: str) -> None:
    """A setting without effect would pass unseen: without it, the logits are far away."""
    plain = load_model(zoo_file(name))
    kind = {"full_every": 0, "unrotated_every": 0, "whole_yarn_pairs": True}
    import dataclasses

    config = dataclasses.replace(
        plain.config, kind=dataclasses.replace(plain.config.kind, **kind), parallel=True
    )
    if name == "gemma3":  # its own rotation in layers that slide
        config = dataclasses.replace(plain.config, local_base=20000.0)
    other = type(plain)(config, zoo_file(name).tensors)  # type: ignore[call-arg]
    assert np.abs(NativeModel(other).whole(TOKENS) - NativeModel(plain).whole(TOKENS)).max() > 0.05
