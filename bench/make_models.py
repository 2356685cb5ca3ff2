"""Makes GGUF files with random weights in the shapes of real models, for speed and agreement.

    python bench/make_models.py --out /tmp/models                 # the standard set
    python bench/make_models.py --out . --models 110M --formats Q4_K_M
    python bench/make_models.py --out . --models 8B BLOOM-7b1 --formats Q4_0

Weights are normally distributed with the spread of trained ones (see `spread`), norms near 1. The
same shape and seed has the same underlying weights in every format. 15M and 110M are drawn
element by element. The larger ones are put together from a bank of 32,768 drawn pieces of 256
weights, picked at random and quantised once per format and spread: their blocks are those of
quantised normal weights, at the speed of the disk. The mix of formats in Q4_0, Q4_K_M and Q8_0 is
llama.cpp's.
"""

import argparse
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from make_vocabulary import add_vocabulary

from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_write import GGUFWriter

DEFAULT_VOCABULARY = (
    Path(__file__).resolve().parents[2] / "shared" / "data" / "vocab" / "ggml-vocab-llama-spm.gguf"
)
PIECE = 256  # weights of a bank piece: one block of the K-quants
BANK_PIECES = 32768
CHUNK_ELEMENTS = 1 << 22  # made and written at once: 16 MB as float32
DRAWN_LIMIT = 200_000_000  # parameters up to which every weight is drawn on its own


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; with `tied`, the embedding is the output too."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    tied: bool
    context: int = 2048
    vocabulary: int = 32000
    architecture: str = "llama"  # or bloom


# stories15M and stories110M of llama2.c, TinyLlama 1.1B, LLaMA 2 7B, LLaMA 3 8B, BLOOM-7b1.
SHAPES = {
    "15M": Shape(288, 6, 6, 6, 768, tied=True),
    "110M": Shape(768, 12, 12, 12, 2048, tied=True),
    "1.1B": Shape(2048, 22, 32, 4, 5632, tied=False),
    "7B": Shape(4096, 32, 32, 32, 11008, tied=False, context=4096),
    "8B": Shape(4096, 32, 32, 8, 14336, tied=False, context=8192, vocabulary=128256),
    "BLOOM-7b1": Shape(4096, 30, 32, 32, 16384, True, 2048, 250880, "bloom"),
}


@dataclass(frozen=True)
class Format:
    """What the name of a quantisation stands for: its number in `general.file_type`, its types."""

    file_type: int
    weights: BlockType
    output: BlockType  # output.weight, or token_embd.weight where that is the output
    sensitive: BlockType  # attn_v and ffn_down of the layers that `use_more_bits` names


# llama.cpp's llama_ftype and its choice of tensor types (src/llama-quant.cpp).
FORMATS = {
    "F32": Format(0, BlockType.F32, BlockType.F32, BlockType.F32),
    "F16": Format(1, BlockType.F16, BlockType.F16, BlockType.F16),
    "Q4_0": Format(2, BlockType.Q4_0, BlockType.Q6_K, BlockType.Q4_0),
    "Q8_0": Format(7, BlockType.Q8_0, BlockType.Q8_0, BlockType.Q8_0),
    "Q4_K_M": Format(15, BlockType.Q4_K, BlockType.Q6_K, BlockType.Q6_K),
}
# In place of a K-quant when rows are no multiple of 256 (15M).
NARROW = {BlockType.Q4_K: BlockType.Q5_0, BlockType.Q6_K: BlockType.Q8_0}
STANDARD_SET = [
    *((name, format) for name in ("15M", "110M", "1.1B") for format in FORMATS if format != "F32"),
    *(("7B", format) for format in ("Q4_0", "Q4_K_M", "Q8_0")),
]


def use_more_bits(layer: int, layers: int) -> bool:
    """llama.cpp's rule: the first and last eighth of the layers, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


Weight = tuple[str, tuple[int, ...], float]  # name, shape, standard deviation


def bloom_weights(shape: Shape) -> Iterator[Weight]:
    """Of BLOOM: q, k and v in one weight, no gate, and a bias beside every weight and norm."""
    width, wide, branch = shape.width, shape.feed_forward, (2 * shape.layers) ** -0.5
    yield "token_embd.weight", (shape.vocabulary, width), 2 * width**-0.5
    parts: list[tuple[str, int, tuple[int, ...], float]] = [("token_embd_norm", width, (), 0.1)]
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        parts += [
            (block + "attn_norm", width, (), 0.1),
            (block + "attn_qkv", 3 * width, (width,), width**-0.5),
            (block + "attn_output", width, (width,), branch * width**-0.5),
            (block + "ffn_norm", width, (), 0.1),
            (block + "ffn_up", wide, (width,), width**-0.5),
            (block + "ffn_down", width, (wide,), branch * wide**-0.5),
        ]
    for name, rows, columns, spread in [*parts, ("output_norm", width, (), 0.1)]:
        yield name + ".weight", (rows, *columns), spread
        yield name + ".bias", (rows,), 0.01


def weights(shape: Shape) -> Iterator[Weight]:
    """Every tensor; norms deviate from 1."""
    if shape.architecture == "bloom":
        yield from bloom_weights(shape)
        return
    width, kv_width = shape.width, shape.width // shape.heads * shape.kv_heads
    # Keeps the sum of all 2 * layers additions to the residual stream near 1.
    branch = (2 * shape.layers) ** -0.5
    head = 2 * width**-0.5  # logits with a deviation of about 2, as trained models have them
    vocabulary = (shape.vocabulary, width)
    yield "token_embd.weight", vocabulary, head if shape.tied else width**-0.5
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", (width,), 0.1
        yield block + "attn_q.weight", (width, width), width**-0.5
        yield block + "attn_k.weight", (kv_width, width), width**-0.5
        yield block + "attn_v.weight", (kv_width, width), width**-0.5
        yield block + "attn_output.weight", (width, width), branch * width**-0.5
        yield block + "ffn_norm.weight", (width,), 0.1
        yield block + "ffn_gate.weight", (shape.feed_forward, width), width**-0.5
        yield block + "ffn_up.weight", (shape.feed_forward, width), width**-0.5
        down = branch * shape.feed_forward**-0.5
        yield block + "ffn_down.weight", (width, shape.feed_forward), down
    yield "output_norm.weight", (width,), 0.1
    if not shape.tied:
        yield "output.weight", vocabulary, head


def tensor_type(name: str, rows: tuple[int, ...], shape: Shape, format: Format) -> BlockType:
    """The block type that llama.cpp gives this tensor in a file of this format."""
    if len(rows) == 1:
        return BlockType.F32
    type = format.weights
    if name == ("token_embd.weight" if shape.tied else "output.weight"):
        type = format.output
    elif name.endswith(("attn_v.weight", "ffn_down.weight")) and use_more_bits(
        int(name.split(".")[1]), shape.layers
    ):
        type = format.sensitive
    return NARROW[type] if rows[-1] % type.block_size else type


@lru_cache(maxsize=1)
def drawn_bank(seed: int) -> np.ndarray:
    """float32 [BANK_PIECES, PIECE] of deviation 1."""
    return np.random.default_rng(seed).standard_normal((BANK_PIECES, PIECE), dtype=np.float32)


@lru_cache(maxsize=8)  # of at most 16 MB each (F16); a file needs about six
def quantized_bank(type: BlockType, spread: float, seed: int) -> np.ndarray:
    """The bank as blocks: uint8 [BANK_PIECES, bytes of a piece]."""
    return quantize(type, drawn_bank(seed) * np.float32(spread))


def random_blocks(
    type: BlockType, shape: tuple[int, ...], spread: float, seed: list[int], banked: bool
) -> Iterator[np.ndarray]:
    """Normal weights of deviation `spread` as uint8 [n, row bytes], a few rows at a time."""
    rows, width = shape
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_ELEMENTS // width)
    for start in range(0, rows, step):
        count = min(step, rows - start)
        if banked:
            pieces = rng.integers(0, BANK_PIECES, (count, width // PIECE))
            yield quantized_bank(type, spread, seed[0])[pieces].reshape(count, -1)
        else:
            drawn = rng.standard_normal((count, width), dtype=np.float32)
            yield quantize(type, drawn * np.float32(spread))


def vector(width: int, mean: float, spread: float, seed: list[int], signed: bool) -> np.ndarray:
    """float32 [width] around `mean`, or around it and its negative.

    Signs stand for training: without them a random model with a tied output repeats its last token.
    """
    rng = np.random.default_rng(seed)
    weight = mean + spread * rng.standard_normal(width)
    if signed:
        weight *= rng.choice([-1, 1], width)
    return weight.astype(np.float32)


def add_sizes(add: Callable[[str, Any], None], name: str, shape: Shape, format: Format) -> None:
    """The metadata that describe the model."""
    kind = shape.architecture
    add("general.architecture", kind)
    add("general.name", f"random weights, shape {name}")
    add("general.file_type", format.file_type)
    add("general.quantization_version", 2)
    add(f"{kind}.vocab_size", shape.vocabulary)
    add(f"{kind}.context_length", shape.context)
    add(f"{kind}.embedding_length", shape.width)
    add(f"{kind}.block_count", shape.layers)
    add(f"{kind}.feed_forward_length", shape.feed_forward)
    add(f"{kind}.attention.head_count", shape.heads)
    add(f"{kind}.attention.head_count_kv", shape.kv_heads)
    if kind == "bloom":
        add("bloom.attention.layer_norm_epsilon", 1e-5)
        return
    add(f"{kind}.attention.layer_norm_rms_epsilon", 1e-5)
    add(f"{kind}.rope.dimension_count", shape.width // shape.heads)
    add(f"{kind}.rope.freq_base", 10000.0)


def make_model(
    path: Path, name: str, format_name: str, vocabulary: Path | None, seed: int = 0
) -> None:
    """Writes one model file. `vocabulary` is a GGUF file of 32,000 tokens; None makes one up."""
    shape, format = SHAPES[name], FORMATS[format_name]
    table = list(weights(shape))
    banked = sum(int(np.prod(rows)) for _, rows, _ in table) > DRAWN_LIMIT
    types = {tensor: tensor_type(tensor, rows, shape, format) for tensor, rows, _ in table}
    with GGUFWriter(path) as writer:
        add_sizes(writer.add, name, shape, format)
        fits = shape.vocabulary == Shape.vocabulary
        add_vocabulary(writer, vocabulary if fits else None, shape.vocabulary)
        for tensor, rows, _ in table:
            writer.declare(tensor, types[tensor], rows)
        for tensor, rows, spread in table:
            key = [seed, zlib.crc32(tensor.encode())]  # the same weights in every format
            if len(rows) == 1:
                signed = shape.tied and tensor == "output_norm.weight"
                mean = 0 if tensor.endswith(".bias") else 1
                writer.write(tensor, vector(rows[0], mean, spread, key, signed))
                continue
            for blocks in random_blocks(types[tensor], rows, spread, key, banked):
                writer.write(tensor, blocks)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--models", nargs="+", choices=SHAPES, help="default: the standard set")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, help="default: the standard set")
    parser.add_argument("--vocab", type=Path, help="GGUF file to take a 32,000-token vocabulary of")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    vocabulary = options.vocab or (DEFAULT_VOCABULARY if DEFAULT_VOCABULARY.exists() else None)
    wanted = STANDARD_SET
    if options.models or options.formats:
        wanted = [
            (name, format)
            for name in options.models or dict.fromkeys(name for name, _ in STANDARD_SET)
            for format in options.formats or ("F16", "Q4_0", "Q4_K_M", "Q8_0")
        ]
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"vocabulary: {vocabulary or 'made up'}")
    for name, format in wanted:
        path = options.out / f"random-{name}-{format}.gguf"
        start = time.perf_counter()
        make_model(path, name, format, vocabulary, options.seed)
        seconds = time.perf_counter() - start
        print(f"{path}: {path.stat().st_size / 1e6:,.1f} MB in {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
