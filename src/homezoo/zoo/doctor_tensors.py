"""Checks of a file's numbers: blocks that hold no numbers, rows of zeros, sizes that contradict."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.text.vocabulary import PREFIX
from homezoo.zoo.finding import Finding

Progress = Callable[[int, int], None]  # bytes done and of all

LARGEST = 1e4  # a weight beyond this is no weight: trained ones stay below about 100
ROWS_AT_ONCE = 1 << 20  # elements turned into floats at once: 4 MB
MOST_ZERO_ROWS = 0.5  # of a matrix; embeddings of unused tokens are often zeros
_NO_REPAIR = "fetch the file again and compare its hash, or quantise the original again"
_BROKEN = "the model writes nonsense, or the same token for ever"


def check_sizes(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Metadata against tensors."""
    name = str(metadata.get("general.architecture", ""))
    if not tensors or not name:
        return

    def compare(key: str, real: int | None, of: str) -> Iterator[Finding]:
        said = metadata.get(f"{name}.{key}")
        if real is not None and isinstance(said, int) and said != real:
            yield Finding(
                "sizes",
                f"{name}.{key} says {said:,}, but {of} {real:,}",
                "programs refuse the file, or compute with the wrong sizes",
                f"set {name}.{key} to {real}",
                {f"{name}.{key}": real},
            )

    embedding = tensors.get("token_embd.weight")
    width = embedding.width if embedding is not None else None
    layers = {int(part.split(".")[1]) for part in tensors if part.startswith("blk.")}
    yield from compare("embedding_length", width, "the rows of token_embd.weight have")
    yield from compare("block_count", len(layers) or None, "the file's layers are")
    up = tensors.get("blk.0.ffn_up.weight")
    wide = "blk.0.ffn_gate.weight" in tensors or name not in ("phi3",)
    yield from compare(
        "feed_forward_length", up.rows if up is not None and wide else None,
        "the rows of blk.0.ffn_up.weight are",
    )  # fmt: skip
    tokens = metadata.get(PREFIX + "tokens")
    if embedding is not None and tokens is not None and len(tokens) > embedding.rows:
        yield Finding(
            "sizes",
            f"the vocabulary has {len(tokens):,} tokens, token_embd.weight {embedding.rows:,} rows",
            "a token beyond them cannot be read: the program stops or reads foreign memory",
            "convert the model again from its original files",
        )
    yield from _context(metadata, name)
    missing = sorted(set(range(max(layers) + 1)) - layers) if layers else []
    if missing:
        yield Finding("sizes", f"layer {missing[0]} has no tensors", _BROKEN, _NO_REPAIR)


def _context(metadata: Mapping[str, Any], name: str) -> Iterator[Finding]:
    context = metadata.get(f"{name}.context_length")
    if not isinstance(context, int) or context < 16:
        yield Finding(
            "sizes",
            f"{name}.context_length is {context if context is not None else 'missing'}",
            "programs give the model too little room, or too much",
            f"set {name}.context_length to what the model was trained with",
        )


def check_numbers(
    tensors: Mapping[str, Tensor], progress: Progress | None = None
) -> Iterator[Finding]:
    """Every weight of the file, in parts: NaN, infinity, values out of range, rows of zeros."""
    total, done = sum(tensor.data.nbytes for tensor in tensors.values()), 0
    for tensor in tensors.values():
        yield from _numbers(tensor)
        done += tensor.data.nbytes
        if progress is not None:
            progress(done, total)


def _numbers(tensor: Tensor) -> Iterator[Finding]:
    rows = max(1, ROWS_AT_ONCE // tensor.width)
    zeros, bad, worst, where = 0, 0, 0.0, -1
    for start in range(0, tensor.rows, rows):
        with np.errstate(all="ignore"):
            values = dequantize(tensor.type, tensor.data[start : start + rows])
        values = values.reshape(-1, tensor.width)
        finite = np.isfinite(values)
        if not finite.all():
            lines = np.flatnonzero(~finite.all(axis=1))
            where = where if where >= 0 else start + int(lines[0])
            bad += int((~finite).sum())
            values = np.where(finite, values, 0)
        most = np.abs(values).max(axis=1)
        worst = max(worst, float(most.max()))
        zeros += int((most == 0).sum())
    if bad:
        yield Finding(
            "numbers",
            f"{tensor.name} has {bad:,} values that are no numbers (NaN or infinite), the first in "
            f"row {where}",
            _BROKEN,
            _NO_REPAIR,
        )
    if worst > LARGEST:
        yield Finding(
            "numbers", f"{tensor.name} has a weight of {worst:.3g}", _BROKEN, _NO_REPAIR
        )  # fmt: skip
    vector = tensor.rows == 1 or len(tensor.shape) == 1
    embeds = tensor.name.startswith(("token_embd", "output.", "position_embd", "token_types"))
    if zeros and (zeros > MOST_ZERO_ROWS * tensor.rows or not (vector or embeds)):
        if tensor.name.endswith(".bias"):
            return  # biases of nothing are common
        what = "is all zeros" if zeros == tensor.rows else f"has {zeros:,} rows of zeros"
        yield Finding("numbers", f"{tensor.name} {what}", _BROKEN, _NO_REPAIR)
