"""What a GGUF file is, by its first bytes alone: metadata, and tensors without their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_cursor import Budget
from homezoo.formats.gguf_header import Header, read_header
from homezoo.formats.gguf_types import TENSOR_LAYOUTS
from homezoo.formats.gguf_values import Metadata
from homezoo.formats.tensor import Tensor

_COMPUTED = frozenset(int(type) for type in BlockType)


@dataclass(frozen=True)
class Outline:
    """Stands in for an open file where no number of a tensor matters: all are views of one array
    of zeros, which takes no memory while nobody reads it; vectors hold ones."""

    metadata: Metadata  # of the first part
    tensors: dict[str, Tensor]
    unsupported: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Beginning:
    """The first bytes of a file, or of one part of it."""

    name: str
    data: bytes
    file_bytes: int  # of the whole


def outline_header(beginning: Beginning, budget: Budget) -> Header | None:
    """The header, checked; None when more of the file is needed to read it.

    Raises GGUFError for an unsound file.
    """
    whole = len(beginning.data) >= beginning.file_bytes
    try:
        header = read_header(
            memoryview(beginning.data), Path(beginning.name), budget, beginning.file_bytes
        )
    except GGUFError:
        if whole or not beginning.data.startswith(b"GGUF"[: len(beginning.data)]):
            raise
        return None  # cut in the middle of something, or damaged, which the next bytes will show
    return header if whole or header.data_start <= len(beginning.data) else None


def make_outline(headers: Sequence[Header]) -> Outline:
    """All parts of a file as one. GGUFError for a tensor that stands in two of them."""
    entries = [entry for header in headers for entry in header.tensors]
    zeros = np.zeros(max((entry.size for entry in entries), default=0), np.uint8)
    outline = Outline(headers[0].metadata, {})
    for entry in entries:
        if entry.name in outline.tensors or entry.name in outline.unsupported:
            raise GGUFError(f"tensor {entry.name!r} is in two parts of the file")
        if entry.type not in _COMPUTED:
            outline.unsupported[entry.name] = TENSOR_LAYOUTS[entry.type].name
            continue
        data = zeros[: entry.size].reshape(-1, entry.row_bytes)
        if len(entry.shape) == 1 and entry.type == BlockType.F32:
            data = np.ones((1, entry.shape[0]), np.float32).view(np.uint8)
        outline.tensors[entry.name] = Tensor(entry.name, BlockType(entry.type), entry.shape, data)
    return outline
