"""Opens GGUF files, whole or split: maps them read-only, checks them, and shows what they hold."""

import mmap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_cursor import Budget, shown
from homezoo.formats.gguf_header import Header, read_header
from homezoo.formats.gguf_split import check_part, check_total, part_paths
from homezoo.formats.gguf_table import TensorEntry
from homezoo.formats.gguf_types import TENSOR_LAYOUTS
from homezoo.formats.gguf_values import Metadata
from homezoo.formats.tensor import Tensor

_COMPUTED = frozenset(int(type) for type in BlockType)


class GGUFFile:
    """A checked, mapped GGUF file. Tensor data are views of the map: nothing is copied.

    No other program may shorten the file while it is open (replacing it is fine).
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        tensors: dict[str, Tensor],
        unsupported: dict[str, str],
        file_bytes: int,
    ) -> None:
        """Use `open`."""
        self.path = path
        self.file_bytes = file_bytes  # of all parts
        self.version = header.version
        self.alignment = header.alignment
        self._metadata = header.metadata
        self._tensors = tensors
        self._unsupported = unsupported
        self._closed = False

    @property
    def metadata(self) -> Metadata:
        """Keys and values, in the file's order; of a split file, those of its first part."""
        self._expect_open()
        return self._metadata

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Names to the tensors that homezoo can compute with, in the file's order."""
        self._expect_open()
        return MappingProxyType(self._tensors)

    @property
    def unsupported(self) -> Mapping[str, str]:
        """Names of all other tensors to the names of their formats, such as IQ2_XXS or TQ1_0."""
        self._expect_open()
        return MappingProxyType(self._unsupported)

    @classmethod
    def open(cls, path: str | Path) -> "GGUFFile":
        """Map a file, or all parts of a split one (by the path of any part).

        Raises GGUFError, one line, for whatever is wrong with them. Costs no more than about 50 MB
        of memory, whatever the file says.
        """
        path = Path(path)
        parts = _open_parts(path)
        tensors: dict[str, Tensor] = {}
        unsupported: dict[str, str] = {}
        for part_path, header, data in parts:
            for entry in header.tensors:
                if entry.name in tensors or entry.name in unsupported:
                    raise GGUFError(
                        f"{part_path}: tensor {shown(entry.name)} is in another part too"
                    )
                if entry.type in _COMPUTED:
                    tensors[entry.name] = _tensor(entry, header, data)
                else:
                    unsupported[entry.name] = TENSOR_LAYOUTS[entry.type].name
        file_bytes = sum(len(data) for _, _, data in parts)
        return cls(path, parts[0][1], tensors, unsupported, file_bytes)

    def close(self) -> None:
        """Let go of the map; it is freed once no array that a caller kept views it."""
        self._closed = True
        self._tensors = {}
        self._metadata = Metadata()

    def _expect_open(self) -> None:
        if self._closed:
            raise GGUFError(f"{self.path} has been closed; open it again")

    def __enter__(self) -> "GGUFFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open_parts(path: Path) -> list[tuple[Path, Header, memoryview]]:
    """Map and check the file at `path` and, if it is split, all its parts in their order."""
    data = _map(path)
    header = read_header(data, path, Budget())
    paths = part_paths(path, header)
    if len(paths) == 1:
        return [(path, header, data)]
    parts = []
    budget = Budget()
    for number, part in enumerate(paths):
        data = _map(part)
        header = read_header(data, part, budget)
        check_part(part, header, number, len(paths))
        parts.append((part, header, data))
    check_total(path, parts[0][1], sum(len(header.tensors) for _, header, _ in parts))
    return parts


def _map(path: Path) -> memoryview:
    """The bytes of a regular, non-empty file, read-only; GGUFError for anything else."""
    try:
        if path.is_dir():
            raise GGUFError(f"{path} is a folder; give the path of a .gguf file in it")
        if path.exists() and not path.is_file():
            raise GGUFError(f"{path} is not a regular file")
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise GGUFError(f"{path} is empty; download it again")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise GGUFError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise GGUFError(f"{path} cannot be opened: {error}") from None


def _tensor(entry: TensorEntry, header: Header, data: memoryview) -> Tensor:
    """The tensor as uint8 [rows, row bytes] in the map."""
    start = header.data_start + entry.offset
    array = np.frombuffer(data, np.uint8, entry.size, start)
    rows = array.reshape(entry.size // entry.row_bytes, entry.row_bytes)
    return Tensor(entry.name, BlockType(entry.type), entry.shape, rows)
