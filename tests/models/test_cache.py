"""Cache blocks are owned, shared, copied and given back without a leak; a full cache says so."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.errors import ContextError, OptionError, UnsupportedError
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence


def small_cache(positions: int = 512, type: str = "f16") -> KVCache:
    return KVCache(2, 3, 32, positions, type)  # type: ignore[arg-type]


@pytest.mark.parametrize(("type", "row_bytes"), [("f16", 64), ("q8_0", 34)])
def test_shapes(type: str, row_bytes: int) -> None:
    cache = small_cache(65, type)
    assert len(cache.k) == len(cache.v) == 2
    assert all(a.shape == (2, 3, 64, row_bytes) and a.dtype == np.uint8 for a in cache.k + cache.v)


def test_wrong_options() -> None:
    with pytest.raises(OptionError, match="cache type is 'q4_0'; expected f16 or q8_0"):
        small_cache(64, "q4_0")
    with pytest.raises(OptionError, match="0 positions"):
        small_cache(0)
    with pytest.raises(UnsupportedError, match="multiple of 32 values; found 8"):
        KVCache(1, 1, 8, 64, "q8_0")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_untouched_memory_costs_nothing() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    cache = KVCache(4, 8, 128, 16384)  # 256 MB
    cache.k[0][0] = 1
    assert resident() - before < 16e6


def test_extend_takes_blocks_as_needed() -> None:
    cache = small_cache()
    sequence = Sequence(cache)
    sequence.extend([1] * 64)
    assert len(sequence.blocks) == 1
    sequence.extend([2])
    assert len(sequence.blocks) == 2 and len(sequence) == 65 and cache.free_blocks == 6
    sequence.truncate(64)
    assert len(sequence.blocks) == 1 and sequence.tokens == [1] * 64 and cache.free_blocks == 7
    sequence.release()
    assert cache.free_blocks == 8 and sequence.tokens == []


def test_context_error_has_both_numbers_and_changes_nothing() -> None:
    sequence = Sequence(small_cache(), limit=100)
    sequence.extend([1] * 90)
    with pytest.raises(ContextError, match="101 tokens do not fit the context of 100"):
        sequence.extend([1] * 11)
    assert len(sequence) == 90


def test_full_cache_is_an_error_with_both_numbers() -> None:
    cache = small_cache(128)
    first, second = Sequence(cache), Sequence(cache)
    first.extend([1] * 60)
    second.extend([1] * 60)
    with pytest.raises(ContextError, match="5 more tokens need 64 cache positions, and 0 are free"):
        first.extend([1] * 5)
    first.extend([1] * 4)
    with pytest.raises(ContextError, match="128 positions has 0 free"):
        cache.take()


@pytest.mark.parametrize("length", [-1, 11])
def test_truncate_to_a_length_it_does_not_have(length: int) -> None:
    sequence = Sequence(small_cache())
    sequence.extend([1] * 10)
    with pytest.raises(OptionError, match=f"cannot keep {length} tokens of a sequence of 10"):
        sequence.truncate(length)


def test_fork_shares_until_one_of_them_writes() -> None:
    cache = small_cache()
    first = Sequence(cache)
    first.extend(list(range(100)))
    cache.k[1][first.blocks[1]] = 7
    second = first.fork()
    assert second.blocks == first.blocks and cache.free_blocks == 6
    second.extend([5])
    assert second.blocks[0] == first.blocks[0] and second.blocks[1] != first.blocks[1]
    assert (cache.k[1][second.blocks[1]] == 7).all()
    before = list(first.blocks)
    first.extend([6])  # the block is its own again: nothing to copy
    assert first.blocks == before and cache.free_blocks == 5


def test_fork_of_a_prefix() -> None:
    cache = small_cache()
    first = Sequence(cache)
    first.extend(list(range(100)))
    second = first.fork(64)
    assert second.tokens == list(range(64)) and second.blocks == first.blocks[:1]
    second.extend([1])
    assert second.blocks[0] == first.blocks[0] and cache.free_blocks == 5


def test_truncating_into_a_shared_block_copies_it_before_writing() -> None:
    cache = small_cache()
    first = Sequence(cache)
    first.extend(list(range(64)))
    second = first.fork()
    first.truncate(10)
    first.extend([1])
    assert first.blocks != second.blocks


def test_common_prefix() -> None:
    sequence = Sequence(small_cache())
    sequence.extend([1, 2, 3])
    assert sequence.common_prefix([1, 2, 4, 3]) == 2
    assert sequence.common_prefix([1, 2, 3, 4]) == 3
    assert sequence.common_prefix([]) == 0


def test_batch_lists_tokens_positions_and_pages() -> None:
    cache = small_cache()
    first, second = Sequence(cache), Sequence(cache)
    first.extend(list(range(64)))
    batch = build_batch([(second, [7, 8]), (first, [9])])
    assert batch.tokens.tolist() == [7, 8, 9]
    assert batch.positions.tolist() == [0, 1, 64]
    assert batch.sequences.tolist() == [0, 0, 1]
    assert batch.blocks[1].tolist() == first.blocks
    assert batch.rows.tolist() == [1, 2]
    every = build_batch([(second, [7, 8]), (first, [9])], every_row=True)
    assert every.rows.tolist() == [0, 1, 2]
    for name, array in vars(batch).items():
        assert array.dtype == (np.float32 if name == "strengths" else np.int32)


def test_batch_that_does_not_fit_changes_no_sequence() -> None:
    cache = small_cache(128)
    first, second = Sequence(cache), Sequence(cache)
    with pytest.raises(ContextError):
        build_batch([(first, [1] * 60), (second, [1] * 100)])
    assert len(first) == len(second) == 0 and cache.free_blocks == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, 150))))
def test_no_block_is_lost_or_owned_wrongly(steps: list[tuple[int, int, int]]) -> None:
    cache = small_cache(1024)
    sequences = [Sequence(cache)]
    for action, which, amount in steps:
        sequence = sequences[which % len(sequences)]
        try:
            if action == 0:
                sequence.extend([amount] * amount)
            elif action == 1:
                sequence.truncate(min(amount, len(sequence)))
            elif action == 2 and len(sequences) < 6:
                sequences.append(sequence.fork(min(amount, len(sequence))))
            elif action == 3:
                sequence.release()
        except ContextError:
            pass
        held = [block for s in sequences for block in s.blocks]
        owners = np.bincount(held, minlength=cache.block_count)
        np.testing.assert_array_equal(cache._owners, owners)
        assert cache.free_blocks == int((owners == 0).sum())
        assert all(len(s.blocks) == -(-len(s) // 64) for s in sequences)
