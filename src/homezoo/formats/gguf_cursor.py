"""A position in the bytes of a GGUF file that never leaves them, and a budget for what they ask."""

from dataclasses import dataclass
from struct import Struct

from homezoo.errors import GGUFError
from homezoo.formats.gguf_types import ValueType

# What the headers of one model may hold in memory. Every count is charged before it is believed, so
# no file can make the reader take more. Real models: 1,000 keys and tensors, 1 M strings = 10 MB.
HEADER_BYTES = 24 << 20
# What may have to be looked at byte by byte while opening (UTF-8 and bool checks): a second's work,
# and six times the largest real vocabulary with a Hugging Face tokenizer.json beside it.
SCAN_BYTES = 256 << 20
# Python objects of one key or tensor: measured 800 for tensors, which need most, and rounded up.
ENTRY_BYTES = 1024

_SHOWN_CHARACTERS = 80  # of a name in an error: a hostile one may be 64 KB long

_U32 = Struct("<I")
_U64 = Struct("<Q")
_NUMBERS = {
    ValueType.UINT8: Struct("<B"),
    ValueType.INT8: Struct("<b"),
    ValueType.UINT16: Struct("<H"),
    ValueType.INT16: Struct("<h"),
    ValueType.UINT32: _U32,
    ValueType.INT32: Struct("<i"),
    ValueType.FLOAT32: Struct("<f"),
    ValueType.BOOL: Struct("<B"),
    ValueType.UINT64: _U64,
    ValueType.INT64: Struct("<q"),
    ValueType.FLOAT64: Struct("<d"),
}


def shown(name: str) -> str:
    """A name from a file as errors show it: quoted, control characters escaped, not too long."""
    if len(name) <= _SHOWN_CHARACTERS:
        return repr(name)
    return f"{name[:_SHOWN_CHARACTERS]!r}... ({len(name)} characters)"


@dataclass
class Budget:
    """What headers may still cost; shared by the parts of a split file."""

    memory: int = HEADER_BYTES
    scanned: int = SCAN_BYTES

    def hold(self, size: int, what: str) -> None:
        """Charge `size` bytes of memory; GGUFError when they are not left."""
        self.memory -= size
        if self.memory < 0:
            raise GGUFError(
                f"{what}: the header asks for more than {HEADER_BYTES >> 20} MiB of memory, far "
                "more than any real model; the file is damaged or hostile"
            )

    def scan(self, size: int, what: str) -> None:
        """Charge the reading of `size` bytes; GGUFError when that is too much work."""
        self.scanned -= size
        if self.scanned < 0:
            raise GGUFError(
                f"{what}: the header holds more than {SCAN_BYTES >> 20} MiB of text, far more "
                "than any real model; the file is damaged or hostile"
            )


class Cursor:
    """Reads numbers and names one after the other; GGUFError when the file ends before."""

    def __init__(self, data: memoryview, budget: Budget) -> None:
        self.data = data
        self.position = 0
        self.budget = budget

    @property
    def left(self) -> int:
        """Bytes from here to the end of the file."""
        return len(self.data) - self.position

    def skip(self, size: int, what: str) -> int:
        """Go `size` bytes on and give where they began; GGUFError when they are not there."""
        if size > self.left:
            raise GGUFError(
                f"{what} needs {size} bytes at {self.position}, but the file ends at "
                f"{len(self.data)}; it is cut or damaged, download it again"
            )
        start = self.position
        self.position += size
        return start

    def number(self, type: ValueType, what: str) -> int | float:
        """One number of the type; a BOOL comes as its byte."""
        layout = _NUMBERS[type]
        found: int | float = layout.unpack_from(self.data, self.skip(layout.size, what))[0]
        return found

    def u32(self, what: str) -> int:
        """One uint32."""
        return int(_U32.unpack_from(self.data, self.skip(4, what))[0])

    def u64(self, what: str) -> int:
        """One uint64."""
        return int(_U64.unpack_from(self.data, self.skip(8, what))[0])

    def value_type(self, what: str) -> ValueType:
        """The type number of a metadata value."""
        found = self.u32(f"the type of {what}")
        if found > max(ValueType):
            raise GGUFError(f"{what} has the unknown value type {found}")
        return ValueType(found)

    def text(self, length: int, what: str) -> str:
        """`length` bytes of UTF-8, decoded and kept."""
        start = self.skip(length, what)
        self.budget.hold(4 * length, what)  # the most a Python string takes for a byte of UTF-8
        try:
            return str(self.data[start : self.position], "utf-8")
        except UnicodeDecodeError as error:
            bad = bytes(error.object[error.start : error.start + 4])
            raise GGUFError(f"{what} is not valid UTF-8 at byte {error.start}: {bad!r}") from None

    def name(self, limit: int, what: str) -> str:
        """A key or tensor name of 1 to `limit` bytes."""
        length = self.u64(f"the length of {what}")
        if not 0 < length <= limit:
            raise GGUFError(f"{what} is {length} bytes long; 1 to {limit} are allowed")
        self.budget.hold(ENTRY_BYTES, what)
        return self.text(length, what)
