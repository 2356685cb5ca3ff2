"""Profile, one fact and a build on a large model: time and memory.

Run: python bench/edit_large.py MODEL.gguf TEXT.txt [--layer 4] [--tokens-per-width 2] [--facts 4]
The model may have random weights: it then knows nothing, so the place to write is given. With
--folder what is measured is kept: a run that was stopped goes on, in its covariance too.
"""

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path

import torch

from homezoo.edit import covariance
from homezoo.edit.build import capacity, make_adapter, solve_units
from homezoo.edit.complete import complete
from homezoo.edit.facts import Fact
from homezoo.edit.fit import fit_profile, with_settings
from homezoo.edit.ledger import Ledger
from homezoo.edit.profile import load_profile, save_profile
from homezoo.edit.reader import Reader
from homezoo.edit.relations import parse_relations
from homezoo.edit.spent import Spent
from homezoo.edit.targets import SearchSettings
from homezoo.edit.wishes import Wishes
from homezoo.formats.adapter_file import write_adapter
from homezoo.formats.gguf_read import GGUFFile

RELATIONS = '["a:p"]\nedit = "{s} lives in the"\nparaphrases = ["a {s}", "b {s}", "c {s}"]\n'
FACTS = [Fact(f"a:{n}", "a:p", n, ("house of bears",)) for n in ("Leo", "Mia", "Tom", "Ada")]


def peak() -> int:
    """Bytes that this process held at most, mapped pages of the file among them."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def anonymous() -> int:
    """Bytes of its own memory that this process holds now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


class Stage:
    """Prints a stage's wall time and process time."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> "Stage":
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        print(f"{self.name}: {wall:.1f} s, {cpu:.1f} s of CPU, peak {peak() / 1e9:.2f} GB, "
              f"own memory now {anonymous() / 1e9:.2f} GB", flush=True)  # fmt: skip


def watch(most: list[int]) -> None:
    """Notes the highest own memory, ten times a second."""
    while True:
        most[0] = max(most[0], anonymous())
        time.sleep(0.1)


def show(stage: str, done: int, total: int) -> None:
    """Where the profile is, now and then."""
    if done % 8 == 0 or done == total:
        print(f"  {stage}: {done} of {total}, {time.process_time():.0f} s of CPU", flush=True)


def open_ledger(path: Path, reader: Reader) -> Ledger:
    """The one of an earlier run, or a new one."""
    if path.is_file():
        return Ledger.open(path)
    return Ledger.create(path, reader.ledger_header("") | {"relations": RELATIONS})


def main() -> None:
    """Everything in one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--layer", type=int, default=4)
    parser.add_argument("--tokens-per-width", type=int, default=2)
    parser.add_argument("--position", default="subject_last")
    parser.add_argument("--search", default="full")
    parser.add_argument("--stop", type=float, default=SearchSettings.stop, help="1e-9: all steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--facts", type=int, default=len(FACTS))
    parser.add_argument("--folder", type=Path, help="where to keep what is measured")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    covariance.TOKENS_PER_WIDTH = given.tokens_per_width
    own = [0]
    threading.Thread(target=watch, args=(own,), daemon=True).start()
    relations = parse_relations(RELATIONS)
    with tempfile.TemporaryDirectory() as place, GGUFFile.open(given.model) as file:
        reader, folder = Reader(file, given.threads), given.folder or Path(place)
        wishes = Wishes(given.position, (given.layer,), 100.0, 0.0, contexts=2,
                        search=SearchSettings(given.search, stop=given.stop))  # fmt: skip
        text = given.text.read_text("utf-8")
        if not (folder / "profile.json").is_file():
            with Stage("profile"):
                made = fit_profile(reader, text, [], relations, folder, wishes, show)
                save_profile(folder, made)
                del made
        measured = with_settings(load_profile(folder), search=wishes.search)
        ledger = open_ledger(folder / "l", reader)
        for facts in (FACTS[:1], FACTS[1 : given.facts]):
            if facts:
                spent = Spent()
                ledger.record(facts)
                with Stage(f"{len(facts)} facts"):
                    units = complete(ledger, reader, measured.profile, relations, spent=spent)
                print(f"  {spent}")
        with Stage("build"):
            updates = solve_units(units, measured)
            adapter = make_adapter(updates, measured.profile, reader.identity, ledger.digest(),
                                   given.facts)  # fmt: skip
            write_adapter(folder / "edits.gguf", adapter)
        limit = 1.5 * given.model.stat().st_size + 3 * measured.profile.width**2 * 8
        print(f"{measured.profile.tokens:,} tokens, {capacity(units, measured.profile)}")
        for unit in units:
            print(f"{unit.prompt!r}: {unit.loss_before:.2f} to {unit.loss_after:.3f} nats, "
                  f"|r|/|h| {unit.length:.2f}")  # fmt: skip
        print(f"peak {peak() / 1e9:.2f} GB (own memory at most {own[0] / 1e9:.2f}), "
              f"limit {limit / 1e9:.2f} GB; adapter "
              f"{(folder / 'edits.gguf').stat().st_size:,} bytes")  # fmt: skip


if __name__ == "__main__":
    main()
