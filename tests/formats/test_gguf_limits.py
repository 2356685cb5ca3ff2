"""What a file may cost: memory and time of opening hostile, large and real ones, and the map."""

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from struct import pack

import numpy as np
import pytest

from homezoo.errors import GGUFError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter

MEMORY_LIMIT = 50 << 20  # bytes that no file may exceed
TIME_LIMIT = 10.0  # seconds that mean "no hang"; the slowest takes 1 to 2


def many_short_strings(raw) -> bytes:
    count = 4_000_000
    return raw.file([(b"tokens", raw.ARRAY, raw.array(raw.STRING, bytes(8 * count), count))])


def most_strings_within_the_budget(raw) -> bytes:
    count = 3_000_000
    return raw.file([(b"tokens", raw.ARRAY, raw.array(raw.STRING, bytes(8 * count), count))])


def many_keys(raw) -> bytes:
    return raw.file([(b"%x" % i, raw.U8, b"\1") for i in range(300_000)])


def many_array_keys(raw) -> bytes:
    value = raw.array(raw.F32, bytes(4100), 1025)
    return raw.file([(b"%x" % i, raw.ARRAY, value) for i in range(8_000)])


def many_string_array_keys(raw) -> bytes:
    return raw.file([(b"%x" % i, raw.ARRAY, raw.strings(b"")) for i in range(26_000)])


def many_tensors(raw) -> bytes:
    count = 100_000
    lines = [(b"%x" % i, [1, 1, 1, 1], 0, 32 * i) for i in range(count)]
    return raw.file((), lines, bytes(32 * count))


def most_tensors_within_the_budget(raw) -> bytes:
    count = 24_000
    lines = [(b"%x" % i, [1, 1, 1, 1], 0, 32 * i) for i in range(count)]
    return raw.file((), lines, bytes(32 * count))


def wide_names(raw) -> bytes:
    return raw.file([(b"%05d" % i + "😀".encode() * 16_000, raw.U8, b"\1") for i in range(500)])


def long_text_of_wide_characters(raw) -> bytes:
    return raw.file([(b"text", raw.STRING, raw.string("😀é".encode() * 6_000_000))])


def one_long_token(raw) -> bytes:
    return raw.file([(b"tokens", raw.ARRAY, raw.strings("é".encode() * 20_000_000, b"x"))])


def many_bools(raw) -> bytes:
    return raw.file([(b"flags", raw.ARRAY, raw.array(raw.BOOL, bytes(60_000_000), 60_000_000))])


HOSTILE = [
    many_short_strings,
    pytest.param(most_strings_within_the_budget, marks=pytest.mark.slow),  # 15 s in tracemalloc
    many_keys,
    many_array_keys,
    many_string_array_keys,
    many_tensors,
    most_tensors_within_the_budget,
    wide_names,
    long_text_of_wide_characters,
    one_long_token,
    many_bools,
]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_no_file_costs_more_than_50_mb_or_hangs(make, raw, save: Callable[..., Path]) -> None:
    path = save(make(raw))
    start = time.perf_counter()
    open_or_refuse(path)
    assert time.perf_counter() - start < TIME_LIMIT
    gc.collect()
    tracemalloc.start()  # it makes the opening ten times slower, hence once more
    try:
        open_or_refuse(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_LIMIT


def open_or_refuse(path: Path) -> None:
    """Open and close, or the error of a budget that was spent."""
    try:
        GGUFFile.open(path).close()
    except GGUFError as error:
        if "MiB" not in str(error):
            raise


@pytest.mark.skipif(sys.platform == "win32", reason="files with holes need a call of their own")
@pytest.mark.parametrize("kind", ["string", "strings", "bools"])
def test_holes_of_a_terabyte_are_not_walked(
    kind: str, raw, save: Callable[..., Path], tmp_path: Path
) -> None:
    size = 1 << 40
    value = {
        "string": (raw.STRING, pack("<Q", size - 4096)),
        "strings": (raw.ARRAY, raw.array(raw.STRING, b"", (size - 4096) // 8)),
        "bools": (raw.ARRAY, raw.array(raw.BOOL, b"", size - 4096)),
    }[kind]
    path = save(raw.file([(b"key", *value)]))
    try:
        with path.open("r+b") as file:
            file.truncate(size)
    except OSError:
        pytest.skip("the file system has no files of a terabyte")
    start = time.perf_counter()
    with pytest.raises(GGUFError, match="'key': the header .* MiB"):
        GGUFFile.open(path)
    assert time.perf_counter() - start < TIME_LIMIT


def test_vocabulary_of_128k_opens_in_a_third_of_a_second(shared_data: Path) -> None:
    path = shared_data / "vocab" / "ggml-vocab-llama-bpe.gguf"
    times = []
    for _ in range(5):
        start = time.perf_counter()
        with GGUFFile.open(path) as file:
            times.append(time.perf_counter() - start)
            tokens = file.metadata["tokenizer.ggml.tokens"]
            assert len(tokens) == 128256
            assert tokens[-1] == list(tokens)[-1] != ""
    assert min(times) < 0.3


def big_model(path: Path) -> Path:
    """A file with one F32 tensor of 64 MB."""
    with GGUFWriter(path) as writer:
        writer.declare("weight", BlockType.F32, (4096, 4096))
        for row in range(0, 4096, 1024):
            part = np.arange(row, row + 1024, dtype=np.float32)[:, None]
            writer.write("weight", np.repeat(part, 4096, axis=1))
    return path


def test_tensors_are_views_of_the_map_never_copies(tmp_path: Path) -> None:
    path = big_model(tmp_path / "big.gguf")
    tracemalloc.start()
    try:
        file = GGUFFile.open(path)
        data = file.tensors["weight"].data
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert data.shape == (4096, 16384) and data.dtype == np.uint8
    assert not data.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        data.flags.writeable = True
    assert data.view("<f4")[777, 5] == 777


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_map_is_freed_when_closed_and_no_view_is_left(tmp_path: Path) -> None:
    path = big_model(tmp_path / "big.gguf")

    def mapped() -> bool:
        return str(path) in Path("/proc/self/maps").read_text()

    with GGUFFile.open(path) as file:
        kept = file.tensors["weight"].data[5]
        assert mapped()
    assert mapped() and kept.view("<f4")[0] == 5  # a kept view stays valid
    del kept
    assert not mapped()


def test_closed_file_says_so(tmp_path: Path, stories_path: Path) -> None:
    file = GGUFFile.open(stories_path)
    file.close()
    file.close()
    for name in ("metadata", "tensors", "unsupported"):
        with pytest.raises(GGUFError, match="closed"):
            getattr(file, name)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_map_is_freed_when_the_file_is_refused(save: Callable[..., Path], raw) -> None:
    path = save(raw.file((), [(b"weight", [4], 0, 1)], bytes(64)))
    with pytest.raises(GGUFError):
        GGUFFile.open(path)
    assert str(path) not in Path("/proc/self/maps").read_text()
