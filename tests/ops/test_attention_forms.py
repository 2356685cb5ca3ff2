"""ALiBi slopes, sinks, caps and encoders: the reference by the formulas, the kernels by it."""

import numpy as np
import pytest
from native_programs import SECTIONS
from ops.heads import Heads

from homezoo.ops.protocol import AttentionForm

SLOPES = np.array([0.5, 0.25, 0.125, 0.0625], np.float32)
SINKS = np.array([2.0, -3.0, 0.0, 30.0], np.float32)  # the last takes nearly all
FORMS = {
    "slopes": AttentionForm(slopes=SLOPES),
    "sinks": AttentionForm(sinks=SINKS),
    "cap": AttentionForm(cap=1.5),
    "slopes and sinks": AttentionForm(slopes=SLOPES, sinks=SINKS),
    "cap and sinks": AttentionForm(sinks=SINKS, cap=1.5),
    "encoder": AttentionForm(causal=False),
}
BOUND = 2e-5  # as in test_native_attention.py


def drawn(form: str, length: int = 200) -> Heads:
    heads = Heads(length)
    heads.form = FORMS[form]
    return heads


def by_formula(heads: Heads, window: int | None) -> np.ndarray:
    """Softmax of whole rows of scores in float64, from keys and values as float16: [T, H·E]."""
    count, form = len(heads.q), heads.form
    shared = heads.heads // heads.kv_heads
    q = heads.q.reshape(count, heads.heads, -1).astype(np.float64)
    k, v = (
        np.repeat(x.astype(np.float16).reshape(count, heads.kv_heads, -1), shared, axis=1)
        for x in (heads.k, heads.v)
    )
    scores = np.einsum("qhe,khe->hqk", q, k.astype(np.float64)) * heads.scale
    if form.cap is not None:
        scores = form.cap * np.tanh(scores / form.cap)
    distance = np.arange(count)[:, None] - np.arange(count)  # of key k before query q
    if form.slopes is not None:
        scores = scores - form.slopes[:, None, None].astype(np.float64) * distance
    seen = distance >= 0 if form.causal else np.ones_like(distance, bool)
    if window is not None:
        seen &= distance < window
    scores = np.where(seen, scores, -np.inf)
    sinks = np.full(heads.heads, -np.inf) if form.sinks is None else form.sinks
    top = np.maximum(scores.max(axis=-1), sinks[:, None])[..., None]
    shares = np.exp(scores - top)
    whole = shares.sum(axis=-1, keepdims=True) + np.exp(sinks[:, None, None] - top)
    mixed = np.einsum("hqk,khe->qhe", shares / whole, v.astype(np.float64))
    return np.asarray(mixed.reshape(count, -1))


@pytest.mark.parametrize("window", [None, 70])
@pytest.mark.parametrize("form", [name for name in FORMS if name != "encoder"])
def test_reference_follows_the_formulas(form: str, window: int | None) -> None:
    heads = drawn(form)
    found, expected = heads.reference("f16", window), by_formula(heads, window)
    np.testing.assert_allclose(found, expected, rtol=0, atol=BOUND)
    heads.form = AttentionForm()
    assert np.abs(by_formula(heads, window) - expected).max() > 0.1  # the form does something


def test_an_encoder_sees_what_comes_later() -> None:
    heads = drawn("encoder")
    found = heads.reference("f16", None)
    np.testing.assert_allclose(found, by_formula(heads, None), rtol=0, atol=BOUND)


@pytest.mark.parametrize("type", ["f16", "q8_0"])
@pytest.mark.parametrize("window", [None, 70])
@pytest.mark.parametrize("form", FORMS)
def test_kernels_follow_the_reference(form: str, window: int | None, type: str) -> None:
    if form == "encoder" and window is not None:
        pytest.skip("encoders have no windows")
    heads = drawn(form)
    expected = heads.reference(type, window)
    plain, _ = heads.native(type, window, "plain")
    np.testing.assert_allclose(plain, expected, rtol=0, atol=BOUND)
    for kernels in SECTIONS:
        for threads, chunks in ((1, (200,)), (2, (3, 64, 65, 1, 67)), (3, (199, 1))):
            if form == "encoder" and len(chunks) > 1:
                continue  # its batch must hold all of the text
            found, _ = heads.native(type, window, kernels, threads, chunks)
            np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("kernels", SECTIONS)
def test_a_sink_alone_takes_what_it_should(kernels: str) -> None:
    """Equal scores of 0 and a sink of ln n: half of the attention goes nowhere."""
    heads = Heads(65)
    heads.q[:] = 0
    heads.v[:] = 1
    heads.form = AttentionForm(sinks=np.full(4, np.log(65), np.float32))
    found, _ = heads.native("f16", None, kernels)
    np.testing.assert_allclose(found[-1], 0.5, rtol=1e-6)
    np.testing.assert_allclose(found[0], 1 / 66, rtol=1e-6)


@pytest.mark.parametrize("kernels", SECTIONS)
def test_a_cap_holds_scores_however_large(kernels: str) -> None:
    heads = drawn("cap", 130)
    heads.q *= 1000  # every score is ±cap: weights are e^1.5 or e^-1.5
    found, _ = heads.native("f16", None, kernels)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, by_formula(heads, None), rtol=0, atol=1e-3)
