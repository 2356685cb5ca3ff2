"""Puts the trained weights into the files that are given away: F16, and Q8_0 for the package.

    python recipes/zookeeper/ship.py --start start.gguf --trained stage3.gguf --folder build

The metadata are those of the start: a trained file names its stage's data and base, which nobody
has.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from grow import WIDTH

from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.zoo.doctor import OWN_CANARY

F16 = 1  # general.file_type of llama.cpp
# What `homezoo doctor` measures in place of plain English, which this model does not know.
CANARY = "The lion eats meat. The lion is a kind of mammal. The lion comes from Africa."


def write_weights(start: Path, trained: Path, out: Path) -> None:
    """The metadata of `start` with the tensors and the width of `trained`, byte for byte."""
    with GGUFFile.open(start) as first, GGUFFile.open(trained) as last, GGUFWriter(out) as writer:
        changed = {"general.file_type": F16, OWN_CANARY: CANARY, WIDTH: last.metadata[WIDTH]}
        for key, value in {**first.metadata, **changed}.items():
            writer.add(key, value)
        writer.write_tensors(list(last.tensors.values()))


def ship(start: Path, trained: Path, folder: Path) -> Path:
    """Writes zookeeper-f16.gguf and zookeeper-Q8_0.gguf; the path of the second."""
    wide, small = folder / "zookeeper-f16.gguf", folder / "zookeeper-Q8_0.gguf"
    write_weights(start, trained, wide)
    command = [sys.executable, "-m", "homezoo", "quantize", str(wide), str(small)]
    small.unlink(missing_ok=True)
    subprocess.run([*command, "--type", "Q8_0"], check=True)
    return small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("start", "trained", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    print(ship(options.start, options.trained, options.folder))


if __name__ == "__main__":
    main()
