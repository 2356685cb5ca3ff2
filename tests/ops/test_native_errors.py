"""What the native module refuses, saying the value it found; nothing reads outside its arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from native_programs import NativeModel, as_table
from random_models import random_model

from homezoo import _native
from homezoo.models.batch import Batch
from homezoo.models.load import load_model

THREADS = _native.Threads(2)
VOCABULARY, BLOCKS = 100, 4


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def batch(**changes: Any) -> Batch:
    """Two tokens of one sequence in block 2, one of another in block 0, with some of it changed."""
    good = {
        "tokens": ints(1, 2, 3),
        "positions": ints(0, 1, 0),
        "sequences": ints(0, 0, 1),
        "blocks": np.array([[2, 1], [0, 3]], np.int32),
        "rows": ints(1, 2),
    }
    return Batch(**good | changes)


@pytest.fixture(scope="module")
def model() -> NativeModel:
    return NativeModel(load_model(random_model()), threads=2, positions=64 * BLOCKS)


WRONG = [
    ({"tokens": ints(1, 100, 3)}, r"token id 100 is outside 0\.\.99 \(entry 1 of the batch\)"),
    ({"tokens": ints(-1, 2, 3)}, r"token id -1 is outside 0\.\.99 \(entry 0"),
    ({"tokens": ints(1, 2, -(2**31))}, r"token id -2147483648 is outside"),
    ({"tokens": ints(2**31 - 1, 2, 3)}, r"token id 2147483647 is outside"),
    ({"sequences": ints(0, 0, 2)}, r"sequence 2 is outside the page table \(entry 2"),
    ({"sequences": ints(0, -1, 1)}, r"sequence -1 is outside the page table \(entry 1"),
    ({"positions": ints(0, 128, 0)}, r"position 128 is outside the page table \(entry 1"),
    ({"positions": ints(0, -1, 0)}, r"position -1 is outside the page table \(entry 1"),
    ({"positions": ints(0, 1, 2**31 - 1)}, r"position 2147483647 is outside"),
    ({"blocks": np.array([[4, 1], [0, 3]], np.int32)}, r"cache block 4 is outside the cache"),
    ({"blocks": np.array([[2, 1], [-1, 3]], np.int32)}, r"cache block -1 is outside the cache"),
    # an earlier page of a sequence is read too
    (
        {"positions": ints(64, 65, 0), "blocks": np.array([[9, 1], [0, 3]], np.int32)},
        r"cache block 9 is outside the cache \(entry 0",
    ),
    ({"blocks": np.zeros((2, 0), np.int32)}, r"position 0 is outside the page table"),
    ({"blocks": np.zeros((0, 2), np.int32)}, r"sequence 0 is outside the page table"),
    ({"rows": ints(0, 3)}, r"row 3 is outside the batch of 3"),
    ({"rows": ints(-1)}, r"row -1 is outside the batch of 3"),
    ({"positions": ints(0, 1)}, r"tokens, positions and sequences differ in length"),
    ({"sequences": ints(0, 0, 1, 1)}, r"tokens, positions and sequences differ in length"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_batch_that_points_outside_is_refused(
    model: NativeModel, changes: dict[str, np.ndarray], message: str
) -> None:
    expected = model.run(batch())
    before = [array.copy() for array in (*model.cache.k, *model.cache.v)]
    with pytest.raises(ValueError, match=message):
        model.run(batch(**changes))
    for array, old in zip((*model.cache.k, *model.cache.v), before, strict=True):
        np.testing.assert_array_equal(array, old)  # refused before anything was written
    np.testing.assert_array_equal(model.run(batch()), expected)  # and the program goes on


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.float32])
@pytest.mark.parametrize("field", ["tokens", "positions", "sequences", "blocks", "rows"])
def test_arrays_of_another_type_are_refused(
    model: NativeModel, field: str, dtype: type[np.generic]
) -> None:
    with pytest.raises(TypeError):
        model.run(batch(**{field: getattr(batch(), field).astype(dtype)}))


@pytest.mark.parametrize("field", ["tokens", "blocks"])
def test_arrays_of_another_shape_are_refused(model: NativeModel, field: str) -> None:
    with pytest.raises(TypeError):
        model.run(batch(**{field: getattr(batch(), field)[None]}))


def test_an_empty_batch_and_no_rows_give_no_logits(model: NativeModel) -> None:
    none = ints()
    found = model.run(batch(tokens=none, positions=none, sequences=none, rows=none))
    assert found.shape == (0, VOCABULARY)
    assert model.run(batch(rows=none)).shape == (0, VOCABULARY)


def test_any_batch_is_computed_or_refused(model: NativeModel) -> None:
    """2000 batches with a few wrong numbers: logits or a ValueError, never a crash."""
    random = np.random.default_rng(0)
    computed = 0
    for _ in range(2000):
        changed = {}
        for field in ("tokens", "positions", "sequences", "blocks", "rows"):
            array = getattr(batch(), field).copy()
            if random.random() < 0.3:
                array.flat[random.integers(array.size)] = random.choice(
                    [-(2**31), -1, 0, 1, 3, 4, 63, 64, 99, 127, 128, 2**31 - 1]
                )
            changed[field] = array
        try:
            assert model.run(batch(**changed)).shape == (2, VOCABULARY)
            computed += 1
        except ValueError:
            pass
    assert 200 < computed < 1800


X = np.ones((3, 64), np.float32)
CACHE = np.zeros((BLOCKS, 2, 64, 64), np.uint8)  # two key-value heads of 32 halves
ONE_HEAD, SHORT = CACHE[:, :1].copy(), CACHE[:, :, :32].copy()


def bytes_of(rows: int, size: int) -> np.ndarray:
    return np.zeros((rows, size), np.uint8)


def floats(size: int) -> np.ndarray:
    return np.ones(size, np.float32)


REFUSED: list[tuple[Callable[[Any, int], Any], str]] = [
    (lambda p, x: p.embed(bytes_of(3, 64), 99, 16), "no kernel for tensor type 99"),
    (lambda p, x: p.embed(bytes_of(3, 64), 4, 16), "no kernel for tensor type 4"),
    (lambda p, x: p.embed(bytes_of(3, 64), -1, 16), "no kernel for tensor type -1"),
    (lambda p, x: p.embed(bytes_of(3, 64), 0, 17), "rows of 64 bytes, expected 68 for 17 values"),
    (lambda p, x: p.embed(bytes_of(3, 0), 0, 0), "a width of 0 is no whole number of blocks"),
    (lambda p, x: p.embed(bytes_of(3, 64), 0, -16), "a width of -16 is no whole number"),
    (lambda p, x: p.matmul(x, bytes_of(5, 36), 2, 48), "a width of 48 is no whole number"),
    (lambda p, x: p.matmul(x, bytes_of(5, 35), 2, 64), "rows of 35 bytes, expected 36"),
    (lambda p, x: p.matmul(x, bytes_of(5, 18), 2, 32), "activations have 64 .* rows 32"),
    (lambda p, x: p.matmul(7, bytes_of(5, 36), 2, 64), "no value 7 in this program"),
    (lambda p, x: p.matmul(-1, bytes_of(5, 36), 2, 64), "no value -1 in this program"),
    (lambda p, x: p.matmul_float(x, np.ones((5, 63), np.float32)), "have 64 .* rows 63"),
    (lambda p, x: p.rms_norm(x, floats(48), 1e-5), "weight of 48 values .* in rows of 64"),
    (lambda p, x: p.rms_norm(x, floats(0), 1e-5), "weight of 0 values"),
    (lambda p, x: p.layer_norm(x, floats(32), floats(0), 1e-5), "weight of 32 .* rows of 64"),
    (lambda p, x: p.layer_norm(x, floats(64), floats(3), 1e-5), "layer_norm"),
    (lambda p, x: p.add(x, p.select(x)), "add: rows of 64 and 64 values"),
    (lambda p, x: p.add(x, p.matmul(x, bytes_of(5, 256), 0, 64)), "add: rows of 64 and 5 values"),
    (lambda p, x: p.add_bias(x, floats(63)), "bias of 63 values for rows of 64"),
    (lambda p, x: p.silu_mul(x, p.matmul(x, bytes_of(5, 256), 0, 64)), "rows of 64 and 5 values"),
    (lambda p, x: p.gelu(3), "no value 3 in this program"),
    (lambda p, x: p.rope(x, np.ones(8), 24, True, 1.0), "8 frequencies for heads of 24"),
    (lambda p, x: p.rope(x, np.ones(9), 16, True, 1.0), "9 frequencies for heads of 16"),
    (lambda p, x: p.rope(x, np.ones(0), 0, True, 1.0), "heads of 0"),
    (
        lambda p, x: p.attention(x, x, x, CACHE, CACHE[:3], 32, False, 1.0, 0),
        "keys and values differ in shape",
    ),
    (
        lambda p, x: p.attention(x, x, x, CACHE, CACHE, 31, False, 1.0, 0),
        "64 positions of 64 bytes, expected 64 of 62",
    ),
    (
        lambda p, x: p.attention(x, x, x, SHORT, SHORT, 32, False, 1.0, 0),
        "32 positions of 64 bytes, expected 64 of 64",
    ),
    (
        lambda p, x: p.attention(x, x, x, ONE_HEAD, ONE_HEAD, 32, False, 1.0, 0),
        "keys of 64 values for 1 key-value heads of 32",
    ),
    (lambda p, x: p.attention(x, x, x, CACHE, CACHE, 32, False, 1.0, -1), "window of -1 positions"),
    (lambda p, x: p.select(p.select(x)), "select: value 1 has selected rows, expected tokens"),
    (lambda p, x: p.rope(p.select(x), np.ones(8), 16, True, 1.0), "rope: value 1 has sel"),
    (
        lambda p, x: p.attention(p.select(x), x, x, CACHE, CACHE, 32, False, 1.0, 0),
        "attention: value 1 has selected rows",
    ),
    (lambda p, x: p.silu_mul(x, p.select(x)), "silu_mul: rows of 64 and 64 values"),
    (lambda p, x: p.finish(4), "no value 4 in this program"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_recording_refuses_what_does_not_fit(
    record: Callable[[Any, int], Any], message: str
) -> None:
    program = _native.Program(THREADS)
    x = program.embed(as_table(X), 0, 64)
    with pytest.raises(ValueError, match=message):
        record(program, x)
    program.finish(program.gelu(x))  # what was refused left nothing behind
    zeros = np.zeros(3, np.int32)
    found = program.run(ints(0, 1, 2), ints(0, 1, 2), zeros, np.zeros((1, 1), np.int32), ints())
    np.testing.assert_allclose(found, 0.8412 * X, atol=1e-3)


@pytest.mark.parametrize(
    "weight",
    [bytes_of(5, 72)[:, ::2], bytes_of(10, 36)[::2], bytes_of(5, 36).astype(np.int8)],
    ids=["every second byte", "every second row", "signed bytes"],
)
def test_weights_that_would_have_to_be_copied_are_refused(weight: np.ndarray) -> None:
    """A program keeps pointers into the file's memory; a converted copy would be gone."""
    program = _native.Program(THREADS)
    x = program.embed(as_table(X), 0, 64)
    with pytest.raises(TypeError):
        program.matmul(x, weight, 2, 64)
    with pytest.raises(TypeError):
        program.attention(x, x, x, CACHE[:, :, :, ::-1], CACHE, 32, False, 1.0, 0)


def test_a_program_keeps_its_weights_alive() -> None:
    program = _native.Program(THREADS)
    x = program.embed(as_table(X), 0, 64)
    program.finish(program.matmul(x, as_table(np.ones((5, 64), np.float32)), 0, 64))
    scattered = [np.full(5 * 64 * 4, 255, np.uint8) for _ in range(100)]  # over what was freed
    zeros = np.zeros(3, np.int32)
    found = program.run(ints(0, 1, 2), ints(0, 1, 2), zeros, np.zeros((1, 1), np.int32), ints())
    assert scattered and (found == 64).all()


def test_a_finished_program_stays_as_it_is() -> None:
    program = _native.Program(THREADS)
    x = program.embed(as_table(X), 0, 64)
    program.finish(x)
    with pytest.raises(ValueError, match="the program is finished: nothing can be added"):
        program.gelu(x)
    with pytest.raises(ValueError, match="the program is finished already"):
        program.finish(x)


def test_a_program_without_output_does_not_run() -> None:
    program = _native.Program(THREADS)
    program.embed(as_table(X), 0, 64)
    with pytest.raises(ValueError, match="the program has no output yet"):
        program.run(ints(0), ints(0), ints(0), np.zeros((1, 1), np.int32), ints())


@pytest.mark.parametrize("count", [0, -1, 257])
def test_a_pool_has_1_to_256_threads(count: int) -> None:
    with pytest.raises(ValueError, match=f"threads must be 1 to 256, found {count}"):
        _native.Threads(count)


def test_unknown_kernels_are_refused_with_those_there_are() -> None:
    before = _native.section()
    known = ", ".join(_native.sections())
    with pytest.raises(ValueError, match=f"no kernels named sse9 on this CPU; there are: {known}"):
        _native.use_section("sse9")
    assert _native.section() == before


def test_dequantize_refuses_what_its_embedding_would() -> None:
    with pytest.raises(ValueError, match="rows of 35 bytes, expected 36 for 64 values"):
        _native.dequantize(bytes_of(1, 35), 2, 64)
    with pytest.raises(ValueError, match="no kernel for tensor type 5"):
        _native.dequantize(bytes_of(1, 35), 5, 64)
