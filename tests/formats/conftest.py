"""Builds GGUF files byte by byte, sound or not, without any of the code under test."""

from collections.abc import Callable, Sequence
from pathlib import Path
from struct import pack

import pytest

Key = tuple[bytes, int, bytes]  # key, value type, the bytes after it
TensorLine = tuple[bytes, Sequence[int], int, int]  # name, dimensions (file order), type, offset


class RawGGUF:
    """Pieces of GGUF files as bytes."""

    U8, I8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 1, 4, 6, 7, 8, 9, 10

    @staticmethod
    def string(data: bytes, length: int | None = None) -> bytes:
        """A string whose length may lie."""
        return pack("<Q", len(data) if length is None else length) + data

    @staticmethod
    def array(item_type: int, items: bytes, count: int) -> bytes:
        """An array value whose count may lie."""
        return pack("<IQ", item_type, count) + items

    @classmethod
    def strings(cls, *texts: bytes) -> bytes:
        """A sound array of strings."""
        return cls.array(cls.STRING, b"".join(map(cls.string, texts)), len(texts))

    @classmethod
    def file(
        cls,
        keys: Sequence[Key] = (),
        tensors: Sequence[TensorLine] = (),
        data: bytes = b"",
        version: int = 3,
        key_count: int | None = None,
        tensor_count: int | None = None,
        alignment: int = 32,
    ) -> bytes:
        """A whole file; counts may lie."""
        key_count = len(keys) if key_count is None else key_count
        tensor_count = len(tensors) if tensor_count is None else tensor_count
        parts = [b"GGUF", pack("<IQQ", version, tensor_count, key_count)]
        for key, kind, value in keys:
            parts += [cls.string(key), pack("<I", kind), value]
        for name, shape, kind, offset in tensors:
            parts += [cls.string(name), pack(f"<I{len(shape)}Q", len(shape), *shape)]
            parts.append(pack("<IQ", kind, offset))
        out = b"".join(parts)
        return out + bytes(-len(out) % alignment) + data


@pytest.fixture(scope="session")
def raw() -> type[RawGGUF]:
    """The byte builder."""
    return RawGGUF


@pytest.fixture
def save(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes bytes to a fresh file and gives its path."""

    def write(data: bytes, name: str = "model.gguf") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write
