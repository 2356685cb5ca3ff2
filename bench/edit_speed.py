"""What an edit costs: keys and residuals of facts, a build, and the build after a retraction.

Run: python bench/edit_speed.py FOLDER_OF_edit_train [--count 100] [--file model.gguf]
One process, one thread, by the clock: run it when nothing else does. The ledger is on disk, and the
adapter is written each time, as the commands do; the start of Python and PyTorch is not counted.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from edit_bench import MODEL, Bench

from homezoo.edit.complete import assemble
from homezoo.edit.ledger import Ledger
from homezoo.edit.wishes import Wishes
from homezoo.formats.adapter_file import write_adapter


@contextmanager
def clocked(name: str, parts: int = 1) -> Iterator[None]:
    """Prints how long a block took, for each part."""
    begun = time.perf_counter()
    yield
    print(f"{name}: {1000 * (time.perf_counter() - begun) / parts:.1f} ms", flush=True)


def peak() -> str:
    """The most memory this process held so far."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB"


def main() -> None:
    """Profile, facts, build, retract, build again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--file", default=MODEL)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"PyTorch is loaded: {peak()}")
    with clocked("profile"):
        bench = Bench(given.folder, given.file, Wishes(planned=given.count))
    measured, edits = bench.measured, bench.edits(given.count, 0)
    with tempfile.TemporaryDirectory() as place:
        out, path = Path(place) / "edits.gguf", Path(place) / "facts.ledger"
        with Ledger.create(path, bench.reader.ledger_header(bench.path)) as ledger:

            def build(force: bool = True) -> None:
                made = assemble(ledger, bench.reader, measured, bench.relations, force)
                write_adapter(out, made.adapter)

            ledger.record(edits)
            with clocked("keys, residuals and build, for each fact", given.count):
                build()
            with clocked("build of known units"):
                build()
            with clocked("one fact retracted, and build"):
                ledger.retract(edits[:1])
                build()
        sizes = f"{bench.path.stat().st_size:,} bytes, adapter {out.stat().st_size:,}"
    print(f"peak {peak()}; model {sizes}; width {measured.profile.width:,}")


if __name__ == "__main__":
    main()
