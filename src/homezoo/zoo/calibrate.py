"""What the weights of a model see: it reads a text, and the inputs of products are summed up."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from homezoo.errors import OptionError
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import ModelFile, load_model
from homezoo.ops.protocol import BLOCK_POSITIONS, BatchArrays, CacheArrays
from homezoo.ops.reference import ReferenceOps
from homezoo.text.tokenizer import Tokenizer

WINDOW = 512  # tokens read at once, as perplexity is measured; fewer where the model has fewer
SMALLEST_TEXT = 256  # tokens; from fewer the inputs of a layer cannot be known
# More calibration text than this changes the sums little and takes long (GPTQ's authors take
# 128 windows of 2,048 for models a thousand times larger).
MOST_TOKENS = 1 << 16


class GramOps(ReferenceOps):
    """The reference operations with plain float32 products, which note what weights are given."""

    def __init__(self, batch: BatchArrays, cache: CacheArrays, noted: "Grams") -> None:
        super().__init__(batch, cache, exact=True)
        self._noted = noted
        self._last: tuple[Any, str] | None = None  # an input, and the first weight that saw it

    def matmul(self, x: np.ndarray, weight: Tensor) -> np.ndarray:
        if weight.name in self._noted.wanted:
            if self._last is None or self._last[0] is not x:
                self._last = (x, weight.name)
                self._noted.add(weight.name, x)
            self._noted.same[weight.name] = self._last[1]
        product: np.ndarray = x @ dequantize(weight.type, weight.data).T
        return product


class Grams:
    """H = Σ x xᵀ for the inputs x of some weights; weights that share inputs share one."""

    def __init__(self, wanted: Collection[str]) -> None:
        self.wanted = frozenset(wanted)
        self.same: dict[str, str] = {}  # a weight to the one whose sum is also its own
        self._sums: dict[str, np.ndarray] = {}

    def add(self, name: str, x: np.ndarray) -> None:
        """Inputs float32 [T, K] of a weight."""
        product = (x.T @ x).astype(np.float64)  # [K, K]
        if name in self._sums:
            self._sums[name] += product
        else:
            self._sums[name] = product

    def of(self, name: str) -> np.ndarray | None:
        """float64 [K, K]; None for a weight that was in no product."""
        return self._sums.get(self.same.get(name, ""))


def windows(file: ModelFile, text: str, most: int = MOST_TOKENS) -> list[list[int]]:
    """A text as windows of token ids, of at most `most` tokens in all; OptionError if too short."""
    tokenizer = Tokenizer.from_metadata(file.metadata)
    context = load_model(file).config.context_length
    tokens = tokenizer.encode(text)[:most]
    if len(tokens) < SMALLEST_TEXT:
        raise OptionError(
            f"the text has {len(tokens)} tokens; give at least {SMALLEST_TEXT}, better 20,000"
        )
    begin = [tokenizer.bos_id] if tokenizer.adds_bos and tokenizer.bos_id is not None else []
    size = min(WINDOW, context) - len(begin)
    return [begin + tokens[at : at + size] for at in range(0, len(tokens), size)]


def collect(
    file: ModelFile, texts: list[list[int]], wanted: Collection[str]
) -> Iterator[tuple[int, Grams]]:
    """Reads the windows; after each gives how many are read, and the sums so far."""
    model = load_model(file)
    grams = Grams(wanted)
    longest = max(map(len, texts))
    cache = KVCache.for_model(model.config, -(-longest // BLOCK_POSITIONS) * BLOCK_POSITIONS, "f16")
    for count, tokens in enumerate(texts, 1):
        sequence = Sequence(cache)
        batch = build_batch([(sequence, tokens)], every_row=True)
        model.forward(GramOps(batch, cache, grams))
        sequence.release()
        yield count, grams


def groups(widths: Mapping[str, int], budget: int) -> Iterator[list[str]]:
    """Weights of these widths K in groups whose sums fit `budget` bytes, at least one in each."""
    group: list[str] = []
    used = 0
    for name, width in widths.items():
        size = 8 * width * width
        if group and used + size > budget:
            yield group
            group, used = [], 0
        group.append(name)
        used += size
    if group:
        yield group
