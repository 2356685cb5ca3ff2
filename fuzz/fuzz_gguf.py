"""Fuzzes the GGUF reader with atheris: any bytes must open or raise GGUFError, nothing else.

    pip install atheris
    python fuzz/fuzz_gguf.py --seeds build/fuzz/gguf      # writes small sound files to start from
    python fuzz/fuzz_gguf.py build/fuzz/gguf -max_total_time=1800 -max_len=4096 -rss_limit_mb=400

Other arguments are libFuzzer's. A finding is saved as crash-*; give that file as the only argument
to see it again. Linux only, as atheris; findings become named tests in tests/formats.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

SLOW_SECONDS = 10  # no input may take longer: ten times the reader's own bound on its work
SECOND_PART = b"GGUF|GGUF"  # in an input: it is a split file, and here its second part begins


def read_everything(path: Path) -> None:
    """Open a file and use all that it shows, as the rest of homezoo would."""
    from homezoo.errors import GGUFError
    from homezoo.formats.blocks import dequantize
    from homezoo.formats.gguf_read import GGUFFile
    from homezoo.formats.gguf_values import StringArray

    try:
        file = GGUFFile.open(path)
    except GGUFError as error:
        message = str(error)
        assert message.isprintable() and len(message) < 1000, message
        return
    with file:
        for key, value in file.metadata.items():
            type, item_type = file.metadata.type_of(key)
            assert (item_type is not None) == isinstance(value, np.ndarray | StringArray), type
            if isinstance(value, StringArray):
                assert len(list(value)) == len(value)
        for name, tensor in file.tensors.items():
            assert name == tensor.name and name not in file.unsupported
            assert tensor.rows * tensor.width == np.prod(tensor.shape)
            assert tensor.type.row_bytes(tensor.width) == tensor.data.shape[1]
            with np.errstate(all="ignore"):  # scales of arbitrary bits overflow
                values = dequantize(tensor.type, tensor.data[:2])
            assert values.shape == (min(tensor.rows, 2), tensor.width)


def write_seeds(folder: Path) -> None:
    """A sound file for every value type and block type, small enough to be mutated well."""
    from homezoo.formats.block_types import BlockType
    from homezoo.formats.gguf_types import NUMBER_DTYPES, ValueType
    from homezoo.formats.gguf_write import GGUFWriter

    folder.mkdir(parents=True, exist_ok=True)
    for type, dtype in NUMBER_DTYPES.items():
        with GGUFWriter(folder / f"value-{type.name}.gguf") as writer:
            writer.add("general.architecture", "llama")
            writer.add("one", np.ones(1, dtype)[0], type)
            writer.add("some", np.arange(5).astype(dtype), ValueType.ARRAY, type)
    with GGUFWriter(folder / "strings.gguf") as writer:
        writer.add("tokens", ["", "a", "bé", "日本", "x" * 200])
        writer.add("long", "é" * 2100)
        writer.add("split.count", 1, ValueType.UINT16)
    parts = []
    for number in range(2):
        with GGUFWriter(folder / "part") as writer:
            writer.add("split.no", number, ValueType.UINT16)
            writer.add("split.count", 2, ValueType.UINT16)
            writer.add("split.tensors.count", 2, ValueType.INT32)
            writer.declare(f"w{number}", BlockType.F32, (1,))
            writer.write(f"w{number}", bytes(4))
        parts.append((folder / "part").read_bytes())
    (folder / "part").unlink()
    (folder / "split.gguf").write_bytes(SECOND_PART.join(parts))
    for block in BlockType:
        with GGUFWriter(folder / f"tensor-{block.name}.gguf") as writer:
            writer.add("general.alignment", 64)
            for name, shape in (
                ("blk.0.a", (2, block.block_size)),
                ("b", (1, 1, block.block_size)),
            ):
                writer.declare(name, block, shape)
            for name, rows in (("blk.0.a", 2), ("b", 1)):
                writer.write(name, bytes(rows * block.block_bytes))


def fuzz_one(folder: Path) -> Callable[[bytes], None]:
    """The libFuzzer target, on files that are written anew for each input."""
    whole = folder / "input.gguf"
    first, second = (folder / f"input-0000{number}-of-00002.gguf" for number in (1, 2))

    def target(data: bytes) -> None:
        before, separator, after = data.partition(SECOND_PART)
        if separator:
            first.write_bytes(before)
            second.write_bytes(after)
            read_everything(first)
        else:
            whole.write_bytes(data)
            read_everything(whole)

    return target


def main() -> None:
    """Write seeds, or fuzz."""
    if sys.argv[1:2] == ["--seeds"]:
        write_seeds(Path(sys.argv[2]))
        return
    import atheris

    with atheris.instrument_imports(include=["homezoo"]):
        import homezoo.formats.blocks
        import homezoo.formats.gguf_read  # noqa: F401
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None  # memory: no disk in the loop
    with tempfile.TemporaryDirectory(dir=folder) as name:
        arguments = [sys.argv[0], f"-timeout={SLOW_SECONDS}", *sys.argv[1:]]
        atheris.Setup(arguments, fuzz_one(Path(name)))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
