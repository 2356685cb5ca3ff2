"""The key-value cache: blocks of 64 positions that sequences own, share and give back."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from homezoo.errors import ContextError, OptionError, UnsupportedError
from homezoo.formats.block_types import BlockType
from homezoo.models.config import ModelConfig
from homezoo.ops.protocol import BLOCK_POSITIONS

CacheType = Literal["f16", "q8_0"]
Adapters = tuple[tuple[int, float], ...]  # number of each adapter and its strength
CACHE_TYPES: dict[str, BlockType] = {"f16": BlockType.F16, "q8_0": BlockType.Q8_0}


class KVCache:
    """Keys and values of every layer, in blocks; memory never written to costs nothing.

    `k[layer]` and `v[layer]` are uint8 [blocks, G, 64, row bytes]; a row is one head's E values at
    one position: float16, or q8_0 blocks of 32 values (a float16 scale, then 32 int8) as in GGUF.
    """

    def __init__(
        self, layers: int, kv_heads: int, head_width: int, positions: int, type: CacheType = "f16"
    ) -> None:
        """Room for `positions`, rounded up to whole blocks.

        Raises OptionError for an unknown type or no positions, UnsupportedError when q8_0 blocks do
        not fill a head.
        """
        if type not in CACHE_TYPES:
            raise OptionError(f"cache type is {type!r}; expected {' or '.join(CACHE_TYPES)}")
        if positions < 1:
            raise OptionError(f"cache of {positions} positions; expected at least 1")
        if head_width % CACHE_TYPES[type].block_size:
            raise UnsupportedError(
                f"a {type} cache needs heads of a multiple of 32 values; found {head_width}"
            )
        self.type: CacheType = type
        self.head_width = head_width
        self.block_count = -(-positions // BLOCK_POSITIONS)
        row_bytes = CACHE_TYPES[type].row_bytes(head_width)
        shape = (self.block_count, kv_heads, BLOCK_POSITIONS, row_bytes)
        # zeros are mapped by the system on first write, so an unused block takes no memory
        self.k = [np.zeros(shape, np.uint8) for _ in range(layers)]
        self.v = [np.zeros(shape, np.uint8) for _ in range(layers)]
        self._owners = np.zeros(self.block_count, np.int32)  # sequences that hold each block
        self._free = list(range(self.block_count - 1, -1, -1))  # taken from the end: lowest first

    @staticmethod
    def for_model(config: ModelConfig, positions: int, type: CacheType = "f16") -> "KVCache":
        """A cache of the model's sizes."""
        return KVCache(config.layers, config.kv_heads, config.head_width, positions, type)

    @property
    def free_blocks(self) -> int:
        """Blocks that no sequence holds."""
        return len(self._free)

    def take(self) -> int:
        """A free block, now with one owner; ContextError when there is none."""
        if not self._free:
            raise ContextError(
                f"the cache of {self.block_count * BLOCK_POSITIONS} positions has 0 free; "
                "end a sequence or ask for a larger context"
            )
        block = self._free.pop()
        self._owners[block] = 1
        return block

    def share(self, blocks: Iterable[int]) -> None:
        """One more owner for each block."""
        for block in blocks:
            self._owners[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """One owner fewer for each block; free when none is left."""
        for block in blocks:
            self._owners[block] -= 1
            if self._owners[block] == 0:
                self._free.append(block)

    def is_shared(self, block: int) -> bool:
        """Whether more than one sequence holds the block, so that none may write to it."""
        return bool(self._owners[block] > 1)

    def copy_block(self, block: int) -> int:
        """A new block with the same content in every layer; ContextError if none is free."""
        copied = self.take()
        for array in (*self.k, *self.v):
            array[copied] = array[block]
        return copied


class Sequence:
    """The tokens of one conversation and the cache blocks that hold their keys and values."""

    def __init__(self, cache: KVCache, limit: int | None = None, adapters: Adapters = ()) -> None:
        """`limit` is the most positions it may reach; without it, the whole cache.

        `adapters` are those that compute it: its keys and values serve no text with others.
        """
        self.cache = cache
        self.limit = cache.block_count * BLOCK_POSITIONS if limit is None else limit
        self.adapters = adapters
        self.tokens: list[int] = []
        self.blocks: list[int] = []

    def __len__(self) -> int:
        return len(self.tokens)

    def extend(self, tokens: list[int]) -> None:
        """Appends tokens that the next batch will compute, with room for their keys and values.

        Raises ContextError with both numbers when they do not fit; the sequence is then as before.
        """
        length = len(self.tokens) + len(tokens)
        if length > self.limit:
            raise ContextError(
                f"{length} tokens do not fit the context of {self.limit}; "
                "shorten the text or ask for a larger context"
            )
        if not tokens:
            return
        partial = len(self.tokens) % BLOCK_POSITIONS != 0
        copies = partial and self.cache.is_shared(self.blocks[-1])
        needed = -(-length // BLOCK_POSITIONS) - len(self.blocks)
        if needed + copies > self.cache.free_blocks:
            raise ContextError(
                f"{len(tokens)} more tokens need {(needed + copies) * BLOCK_POSITIONS} cache "
                f"positions, and {self.cache.free_blocks * BLOCK_POSITIONS} are free; "
                "end a sequence or ask for a larger context"
            )
        if copies:
            shared = self.blocks[-1]
            self.blocks[-1] = self.cache.copy_block(shared)
            self.cache.release([shared])
        self.blocks.extend(self.cache.take() for _ in range(needed))
        self.tokens.extend(tokens)

    def truncate(self, length: int) -> None:
        """Forgets all tokens from position `length` on and gives their blocks back."""
        if not 0 <= length <= len(self.tokens):
            raise OptionError(f"cannot keep {length} tokens of a sequence of {len(self.tokens)}")
        kept = -(-length // BLOCK_POSITIONS)
        self.cache.release(self.blocks[kept:])
        del self.blocks[kept:]
        del self.tokens[length:]

    def fork(self, length: int | None = None) -> "Sequence":
        """A sequence with the same first `length` tokens (all by default), sharing their blocks.

        A block that is not full is copied by whichever of them first adds to it. Tokens must have
        been computed before they are shared.
        """
        twin = Sequence(self.cache, self.limit, self.adapters)
        twin.tokens = list(self.tokens)
        twin.blocks = list(self.blocks)
        self.cache.share(twin.blocks)
        twin.truncate(len(self.tokens) if length is None else length)
        return twin

    def release(self) -> None:
        """Gives every block back; the sequence is empty and can be used again."""
        self.truncate(0)

    def common_prefix(self, tokens: list[int]) -> int:
        """How many of `tokens`, from the first on, this sequence already holds."""
        count = 0
        for mine, other in zip(self.tokens, tokens, strict=False):
            if mine != other:
                break
            count += 1
        return count
