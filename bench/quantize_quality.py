"""Are homezoo's quantised files as good as llama.cpp's of the same type? Mean KL and perplexity.

    python bench/train_larger.py --out stories-2M-f32.gguf
    python bench/quantize_quality.py stories stories-2M-f32.gguf

Each F32 model is quantised three times: by llama.cpp's own quantiser (llama_model_quantize of
llama-cpp-python), by homezoo, and by homezoo with --calibration. All files are then read by the
same evaluator, homezoo's, on text that none of them was rounded for. `stories` is the bundled
model, padded to rows of 256 (padded_stories.py), as its own fit no K-quant.

The text is told by the bundled model: 90 stories to calibrate with, 40 others to measure on, from
the random seeds after --seed; or it is that of --calibration and --text, files of rows as of
`homezoo train`: the first joined by line ends, the second row by row. The exit status is 1 when a
file of ours is worse than llama.cpp's beyond the error of measuring, or when calibration lowers the
KL by less than 15 %.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from padded_stories import write_padded
from peer_environment import DEFAULT_ENVIRONMENT, find_peer
from peers import probe_model
from worker import Worker

from homezoo import Model
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.run.bundled import STORIES
from homezoo.zoo import calibrate
from homezoo.zoo.file_types import FILE_TYPES
from homezoo.zoo.quantize import quantize_file

MIXES = ("Q4_0", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K")
CALIBRATING, TOKENS = 90, 200  # stories to calibrate with, tokens of each
LOWER = 0.85  # what calibration must bring the KL to
ERRORS = 2.0  # standard errors of the difference within which two files count as equal


@dataclass(frozen=True)
class Found:
    """What a file predicts of the text, beside the F32 model."""

    divergences: np.ndarray  # KL(F32 ‖ file) of each token, nats
    perplexity: float

    @property
    def mean(self) -> float:
        return float(self.divergences.mean())


def told(first: int, count: int) -> tuple[str, str | list[str]]:
    """Text to calibrate with, and text to measure on: `count` stories of it."""
    with Model.open(STORIES) as model:
        stories = [
            model.generate("", temperature=1.0, max_tokens=TOKENS, seed=first + seed).text
            for seed in range(CALIBRATING + count)
        ]
    return "\n".join(stories[:CALIBRATING]), "\n".join(stories[CALIBRATING:])


def rows_of(path: Path) -> list[str]:
    """A text for each row."""
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [row.get("text") or row["prompt"] + row["completion"] for row in rows]


def windows_of(path: Path, text: str | list[str]) -> list[list[int]]:
    """What the model at `path` is measured on: windows of a text, or rows, each with its end."""
    if isinstance(text, str):
        with GGUFFile.open(path) as file:
            return list(calibrate.windows(file, text))
    with Model.open(path) as model:
        tokenizer = model.tokenizer
        end = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
        return [tokenizer.encode(row, bos=tokenizer.adds_bos) + end for row in text]


def log_probabilities(path: Path, windows: list[list[int]]) -> list[np.ndarray]:
    """float64 [W - 1, V] for each window: what is predicted of each next token."""
    found = []
    with Model.open(path, context=max(map(len, windows))) as model:
        for tokens in windows:
            parts = [part.astype(np.float64) for part in model.engine.logits(tokens)]
            logits = np.concatenate(parts)[:-1]
            logits -= logits.max(axis=1, keepdims=True)
            found.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    return found


def measured(whole: list[np.ndarray], path: Path, windows: list[list[int]]) -> Found:
    divergences, losses = [], []
    other = log_probabilities(path, windows)
    for tokens, p, q in zip(windows, whole, other, strict=True):
        divergences.append((np.exp(p) * (p - q)).sum(axis=1))
        losses.append(-q[np.arange(len(q)), tokens[1:]])
    return Found(np.concatenate(divergences), float(np.exp(np.concatenate(losses).mean())))


def compare(
    path: Path, texts: tuple[str, str | list[str]], theirs: Worker, folder: Path, mixes: list[str]
) -> bool:
    """Prints a line for each mix; whether all were kept."""
    windows = windows_of(path, texts[1])
    whole = log_probabilities(path, windows)
    losses = [-p[np.arange(len(p)), t[1:]] for p, t in zip(whole, windows, strict=True)]
    print(
        f"\n{path.stem}: {sum(map(len, losses)):,} tokens, perplexity of F32 "
        f"{np.exp(np.concatenate(losses).mean()):.4f}\n"
        f"{'':8} {'mean KL':>33}   {'perplexity':>26}   KL by llama.cpp's\n"
        f"{'mix':8} {'llama.cpp':>10} {'ours':>10} {'calibrated':>11}   {'llama.cpp':>8} "
        f"{'ours':>8} {'calibr.':>8}   {'ours':>6} {'calibrated':>10}",
        flush=True,
    )
    good = True
    for mix in mixes:
        made = [folder / f"{path.stem}-{mix}-{kind}.gguf" for kind in ("peer", "plain", "aware")]
        theirs.ask(
            "quantize", path=str(path), out=str(made[0]), file_type=FILE_TYPES[mix], threads=1
        )
        for out, text in ((made[1], None), (made[2], texts[0])):
            with GGUFFile.open(path) as file:
                quantize_file(file, out, mix, text)
        peer, plain, aware = (measured(whole, file, windows) for file in made)
        change = plain.divergences - peer.divergences
        error = change.std() / len(change) ** 0.5
        kept = change.mean() <= ERRORS * error, aware.mean <= LOWER * plain.mean
        good &= all(kept)
        print(
            f"{mix:8} {peer.mean:10.6f} {plain.mean:10.6f} {aware.mean:11.6f}   "
            f"{peer.perplexity:8.4f} {plain.perplexity:8.4f} {aware.perplexity:8.4f}   "
            f"{plain.mean / peer.mean:6.3f} {aware.mean / peer.mean:10.3f}   calibration "
            f"{aware.mean / plain.mean - 1:+.0%}, ours ± {ERRORS * error / peer.mean:.3f}"
            f"{'' if all(kept) else '  NOT KEPT'}",
            flush=True,
        )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="F32 files, or stories")
    parser.add_argument("--mixes", nargs="+", default=list(MIXES), choices=sorted(FILE_TYPES))
    parser.add_argument("--seed", type=int, default=0, help="of the first story")
    parser.add_argument("--stories", type=int, default=40, help="to measure on")
    parser.add_argument("--calibration", type=Path, help="JSONL in place of stories")
    parser.add_argument("--text", type=Path, help="JSONL to measure on")
    parser.add_argument("--env", type=Path, default=DEFAULT_ENVIRONMENT / "llama-cpp-python")
    options = parser.parse_args()
    peer = find_peer(options.env, probe_model(options.env))
    print(f"llama-cpp-python {peer.version}")
    texts, good = told(options.seed, options.stories), True
    if options.calibration and options.text:
        texts = "\n".join(rows_of(options.calibration)), rows_of(options.text)
    with tempfile.TemporaryDirectory() as place, peer.worker() as theirs:
        for name in options.models:
            path = Path(name)
            if name == "stories":
                path = Path(place) / "stories260K-padded-f32.gguf"
                write_padded(STORIES, path, BlockType.F32)
            good &= compare(path, texts, theirs, Path(place), options.mixes)
    raise SystemExit(int(not good))


if __name__ == "__main__":
    main()
