"""The memory that running a model takes: one account for `info`, `pull`, `fit` and the run."""

from dataclasses import dataclass, replace

import numpy as np

from homezoo.errors import UnsupportedError
from homezoo.models.batch import CHUNK
from homezoo.models.cache import CACHE_TYPES, CacheType, KVCache
from homezoo.models.config import ModelConfig
from homezoo.models.load import Model, ModelFile, States
from homezoo.models.sketch import sketch
from homezoo.ops.protocol import BLOCK_POSITIONS

# Python with homezoo's libraries, private and mapped, before a model is opened: measured 40 MB on
# Linux, and measured again by `homezoo fit`.
PROGRAM_BYTES = 40 << 20
# Of a tokenizer for each token of its vocabulary: measured 250 for SentencePiece (32,000 tokens)
# and 200 to 350 for byte-pair and WordPiece vocabularies (50,000 to 150,000).
TOKENIZER_BYTES = {"llama": 260, "": 320}
TOKENIZER_LIBRARY = (
    6 << 20
)  # what is mapped of the tokenizers library, which SentencePiece needs not
SKETCHED_LAYERS = 2  # buffers are used again by every layer, so that two of them need what all need


@dataclass(frozen=True)
class Footprint:
    """Bytes of each part at the peak of a run whose context is full."""

    weights: int  # the mapped file: the system may share it and drop pages of it
    cache: int  # keys and values of all positions
    buffers: int  # between the layers, in a pass of `CHUNK` tokens
    tokenizer: int
    program: int
    context: int  # positions, of each sequence
    position: int  # of `cache`, for one position of one sequence

    @property
    def private(self) -> int:
        """All but the mapped weights."""
        return self.cache + self.buffers + self.tokenizer + self.program

    @property
    def total(self) -> int:
        """What the system shows as resident."""
        return self.weights + self.private

    def at(self, context: int, parallel: int = 1) -> "Footprint":
        """The same for another context."""
        return replace(
            self, cache=whole_blocks(context) * parallel * self.position, context=context
        )

    def largest_context(self, limit: int, parallel: int = 1) -> int:
        """Positions of each sequence that keep the total within `limit` bytes; 0 for none."""
        room = limit - (self.total - self.cache)
        blocks = room // (self.position * BLOCK_POSITIONS * parallel) if self.position else 0
        return max(0, blocks * BLOCK_POSITIONS)


def footprint(
    file: ModelFile,
    weights: int,
    context: int,
    cache: CacheType = "f16",
    parallel: int = 1,
    program: int = PROGRAM_BYTES,
    threads: int = 1,
) -> Footprint:
    """The memory of a run; `file` may be a header alone, `weights` are the bytes of its files.

    Buffers are those of the native backend. Raises what loading the model raises, UnsupportedError
    where heads do not fit the cache's format.
    """
    full = ModelConfig.from_metadata(file.metadata, file.tensors)
    unread = np.zeros(max(tensor.data.nbytes for tensor in file.tensors.values()), np.uint8)
    model = sketch(file, min(SKETCHED_LAYERS, full.layers), unread)
    config = model.config
    each = position_bytes(config, cache)
    if each is None:
        raise UnsupportedError(
            f"a {cache} cache needs heads of a multiple of 32 values; found {config.head_width}"
        )
    tokens = min(CHUNK, max(context, 1)) if config.causal else max(context, 1)
    plan = Footprint(
        weights=weights,
        cache=0,
        buffers=_buffer_bytes(model, cache, tokens, parallel, threads),
        tokenizer=_tokenizer_bytes(file),
        program=program,
        context=context,
        position=each * full.layers,
    )
    return plan.at(context, parallel)


def position_bytes(config: ModelConfig, cache: str) -> int | None:
    """Keys and values of one position in one layer; None where heads do not fit the format."""
    if config.head_width % CACHE_TYPES[cache].block_size:
        return None
    return 2 * config.kv_heads * CACHE_TYPES[cache].row_bytes(config.head_width)


def whole_blocks(positions: int) -> int:
    """Positions rounded up to whole blocks of the cache."""
    return -(-positions // BLOCK_POSITIONS) * BLOCK_POSITIONS


def _buffer_bytes(model: Model, cache: CacheType, tokens: int, rows: int, threads: int) -> int:
    """Values between the operations, each thread's scratch, and the output, for one pass."""
    from homezoo.ops.native import compile_native, make_threads

    blocks = KVCache.for_model(model.config, BLOCK_POSITIONS, cache)
    causal = model.config.causal
    compiled = compile_native(model if causal else States(model), blocks, make_threads(threads))
    width = model.config.vocab_size if causal else model.config.width
    rows = rows if causal else tokens
    return compiled.buffer_bytes(tokens, rows) + 4 * width * rows


def _tokenizer_bytes(file: ModelFile) -> int:
    kind = file.metadata.get("tokenizer.ggml.model")
    count = len(file.metadata.get("tokenizer.ggml.tokens", ()))
    if kind in TOKENIZER_BYTES:
        return count * TOKENIZER_BYTES[kind]
    return count * TOKENIZER_BYTES[""] + TOKENIZER_LIBRARY if count else 0
