"""Makes the zookeeper from nothing: corpus, vocabulary, training in stages, Q8_0, its figures.

    python recipes/zookeeper/train.py --folder build/zookeeper

Every stage begins from the model of the stage before, and a passage holds more facts in it, told
in more ways: reading from context comes late and is lost when the task grows too fast. Before the
last one the feed-forward networks grow: narrow ones learn sooner, wide ones are better edited. A
run that was stopped goes on from its last checkpoint when the same command is given again.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corpus import LAST_SHARES, SHARES, VOCABULARY_SHARES, rows, write_rows
from grow import widen
from ship import ship
from vocabulary import learn_vocabulary, texts_of, write_start

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Stage:
    """A stage of the curriculum: its data, and how fast it learns."""

    rows: int
    most: int  # facts of a passage at most
    literal: float  # share of the passage's facts told in the words of the answer
    muon: float  # learning rates of the matrices and of the rest
    rest: float
    schedule: str = "constant"
    wide: int | None = None  # of the feed-forward networks, which grow before this stage
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)  # of the kinds of rows


STAGES = (
    Stage(70_000, 2, 0.9, 0.01, 2e-3),
    Stage(110_000, 3, 0.6, 0.008, 1.5e-3),
    Stage(80_000, 4, 0.4, 0.006, 1e-3, "linear", 3072, LAST_SHARES),
)


def stage_rows(number: int) -> Iterator[dict[str, str]]:
    """What a stage learns from, the same every time."""
    stage = STAGES[number]
    return rows(
        stage.rows,
        1000 + number,
        stage.most,
        stage.literal,
        stage.shares,
    )


def fast_products() -> None:
    """Lets PyTorch multiply in bfloat16 with float32 sums where the CPU has instructions for it.

    Elsewhere it keeps to float32, with the same recipe and about twice the time.
    """
    import torch

    flags = Path("/proc/cpuinfo")
    if flags.exists() and "avx512_bf16" in flags.read_text("utf-8"):
        torch.set_float32_matmul_precision("medium")


def train_stage(number: int, base: Path, folder: Path, threads: int) -> Path:
    """The model after a stage, made unless it is there; the command's own process does it."""
    stage = STAGES[number]
    data, out = folder / f"stage{number}.jsonl", folder / f"stage{number}.gguf"
    if out.exists():
        return out
    if not data.exists():
        write_rows(data, stage_rows(number))
    if stage.wide is not None:
        base = widen(base, folder / f"wide{number}.gguf", stage.wide)
    command = [sys.executable, __file__, "--one", "train", str(base), str(data), "-o", str(out)]
    command += ["--full", "--optimizer", "muon", "--template", "raw", "--epochs", "1"]
    command += ["--length", "256", "--batch", "16", "--threads", str(threads)]
    command += ["--seed", str(number)]
    command += ["--muon-lr", str(stage.muon), "--lr", str(stage.rest), "--schedule", stage.schedule]
    command += ["--save-every", "4", "--licence", "cc0-1.0"]
    if number == 0:
        command.append("--scratch")
    if list(folder.glob(f"stage{number}*checkpoint*")):
        command.append("--resume")
    subprocess.run(command, check=True)
    return out


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        from homezoo.commands.main import main as homezoo

        fast_products()
        sys.argv = ["homezoo", *sys.argv[2:]]
        homezoo()
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = options.folder / "start.gguf"
    if not model.exists():
        sample = options.folder / "vocabulary.jsonl"
        write_rows(sample, rows(60_000, 1, 4, 0.5, VOCABULARY_SHARES))
        write_start(model, *learn_vocabulary(texts_of(sample)))
    for number in range(len(STAGES)):
        model = train_stage(number, model, options.folder, options.threads)
    shipped = ship(options.folder / "start.gguf", model, options.folder)
    figures = ["--json", str(options.folder / "figures.json")]
    checked = subprocess.run([sys.executable, str(HERE / "check.py"), str(shipped), *figures])
    sys.exit(checked.returncode)


if __name__ == "__main__":
    main()
