"""Programs that share a pool, and Python threads that share programs, never disturb each other."""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from native_programs import NO_ROWS, NativeModel, as_table
from random_models import random_model

from homezoo import _native
from homezoo.formats.block_types import BlockType
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.native import compile_native

TOKENS = np.random.default_rng(7).integers(0, 100, 40).tolist()
TYPES = [BlockType.Q4_0, BlockType.F16, BlockType.Q8_0, BlockType.F32]


def run_together(jobs: list[Callable[[], None]]) -> None:
    """Each job on a thread of its own; the first exception of any is raised here."""
    failures: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as failure:  # handed on below
            failures.append(failure)

    workers = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
        assert not worker.is_alive(), "a run hangs"
    if failures:
        raise failures[0]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_programs_of_one_pool_run_from_several_threads(count: int) -> None:
    pool = _native.Threads(count)
    models = [load_model(random_model(type=type, seed=i)) for i, type in enumerate(TYPES)]
    expected = [NativeModel(model).whole(TOKENS) for model in models]

    def job(index: int) -> None:
        model = models[index]
        cache = KVCache.for_model(model.config, 128)
        run = compile_native(model, cache, pool)
        for _ in range(15):
            sequence = Sequence(cache)
            first = run(build_batch([(sequence, TOKENS[:30])], every_row=True))
            steps = [run(build_batch([(sequence, [token])])) for token in TOKENS[30:]]
            np.testing.assert_array_equal(np.concatenate([first, *steps]), expected[index])
            sequence.release()

    run_together([lambda i=i: job(i) for i in range(len(models))])


def test_one_program_runs_from_several_threads() -> None:
    """Calls take turns; each gets its own logits, though they share one program's memory."""
    model = NativeModel(load_model(random_model(type=BlockType.Q4_0)), threads=2, positions=1024)
    texts = [TOKENS[i:] + TOKENS[:i] for i in range(6)]
    expected = [model.whole(text) for text in texts]
    sequences = [Sequence(model.cache) for _ in texts]
    batches = [
        build_batch([(s, text)], every_row=True) for s, text in zip(sequences, texts, strict=True)
    ]

    def job(index: int) -> None:
        for _ in range(30):
            np.testing.assert_array_equal(model.run(batches[index]), expected[index])

    run_together([lambda i=i: job(i) for i in range(len(texts))])


def test_a_refused_batch_leaves_pool_and_program_usable() -> None:
    model = NativeModel(load_model(random_model()), threads=3)
    expected = model.whole(TOKENS)
    batch = build_batch([(Sequence(model.cache), TOKENS)], every_row=True)
    batch.tokens[17] = 100

    def wrong() -> None:
        for _ in range(50):
            with pytest.raises(ValueError, match="token id 100"):
                model.run(batch)

    def right() -> None:
        for _ in range(10):
            np.testing.assert_array_equal(model.whole(TOKENS), expected)

    run_together([wrong, right, wrong])
    np.testing.assert_array_equal(model.whole(TOKENS), expected)


def test_python_goes_on_while_a_program_runs() -> None:
    """The interpreter's lock is given up during a run: another thread counts meanwhile."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((2048, 2048), np.float32)
    program = _native.Program(_native.Threads(1))
    value = program.embed(as_table(random.standard_normal((256, 2048), np.float32)), 0, 2048)
    for _ in range(4):
        value = program.matmul_float(value, weight)
    program.finish(value)
    tokens = np.arange(256, dtype=np.int32)
    zeros, page = np.zeros(256, np.int32), np.zeros((1, 1), np.int32)
    started, done, counted = threading.Event(), threading.Event(), 0

    def run() -> None:
        started.set()
        program.run(tokens, zeros, zeros, page, NO_ROWS)
        done.set()

    worker = threading.Thread(target=run)
    worker.start()
    started.wait()
    while not done.is_set():
        counted += 1
        time.sleep(0.001)
    worker.join()
    assert counted > 10


def test_pools_and_programs_come_and_go() -> None:
    """Threads end with their pool, and programs keep their pool alive."""
    before = _thread_count()
    x = np.ones((2, 64), np.float32)
    for _ in range(20):
        program = _native.Program(_native.Threads(4))
        program.finish(program.gelu(program.embed(as_table(x), 0, 64)))
        del program
    gc.collect()
    assert _thread_count() <= before


def _thread_count() -> int:
    """Threads of this process, those of C++ included."""
    if not sys.platform.startswith("linux"):
        pytest.skip("threads of the process are counted in /proc, which is Linux's")
    return len(os.listdir("/proc/self/task"))


def test_idle_threads_do_not_hold_a_core() -> None:
    """A pool that waits for work sleeps: processor time stands still."""
    pool = _native.Threads(4)
    model = load_model(random_model())
    run = compile_native(model, cache := KVCache.for_model(model.config, 64), pool)
    run(build_batch([(Sequence(cache), TOKENS)]))
    time.sleep(0.05)  # spinning ends after microseconds
    start = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - start < 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="threads are put on one core")
def test_threads_that_come_too_late_are_not_waited_for() -> None:
    """On one core most workers wake after the caller has done all tasks: nothing is lost or hangs,
    and the same pool still runs whole programs, which need every thread."""
    random = np.random.default_rng(3)
    a, b = (random.standard_normal((n, 96), np.float32) for n in (640, 48))
    expected = _native.multiply(a, b, _native.Threads(1), False, True)
    model = load_model(random_model(type=BlockType.Q4_0, seed=2))
    logits = NativeModel(model).whole(TOKENS)
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        pool = _native.Threads(4)  # its threads inherit the core
        for turn in range(400):
            np.testing.assert_array_equal(_native.multiply(a, b, pool, False, True), expected)
            if turn % 100 == 0:
                cache = KVCache.for_model(model.config, 128)
                run = compile_native(model, cache, pool)
                batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
                np.testing.assert_array_equal(run(batch), logits)
    finally:
        os.sched_setaffinity(0, allowed)
