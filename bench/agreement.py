"""Does homezoo compute what it should? Its kernels against the reference and against llama.cpp.

    python bench/make_models.py --out models
    python bench/agreement.py --models models

Four questions, each a table with its bounds; the exit status is 1 when one is not kept:
  reference    logits of the native kernels and of the NumPy reference, on the models given
  greedy       as many greedy tokens as llama.cpp, on the F32 and F16 ones and on the real model
  logits       top-1 agreement with llama.cpp and mean KL divergence, on the quantised ones
  perplexity   of the real small model in every block format, ours and llama.cpp's
"""

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from padded_stories import write_padded
from peer_environment import DEFAULT_ENVIRONMENT, Peer, find_peer
from peers import find_models, probe_model
from worker import Worker, WorkerError, our_worker

from homezoo import Model
from homezoo.commands.perplexity import negative_log_likelihoods
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.run.backend import default_threads
from homezoo.run.bundled import STORIES

TEXT = Path(__file__).with_name("story.txt")
FLOAT_NAMES = ("-F16", "-F32")  # how make_models.py ends them
BOS = 1  # of LLaMA's vocabulary, which all models here have

# The reference is NumPy, so large models get few tokens: about this many products in all.
REFERENCE_PRODUCTS = 20e9
REFERENCE_TOKENS = 48
# Differences, relative to the logits' own root mean square. Products repeat the reference's bits,
# and the rest differs in float32's last places. Over many layers that moves some halves of the
# cache to the next (all of it with float formats) and some activations to the next int8 step,
# which costs part of what all rounding costs; the tests hold single layers tightly.
FLOATS, QUANTISED = 1e-3, 0.06
AS_ROUNDED = 1.25  # native's distance from exact floats, by that of the reference that rounds alike
GREEDY_TOKENS, GREEDY_WANTED = 96, 64
LOGITS_TOKENS = 256
PERPLEXITY_BOUND = 0.005  # relative difference from llama.cpp's
WINDOW = 256  # tokens of a window of text, of which the second half counts


@dataclass
class Report:
    """Prints lines and remembers what was not kept."""

    failures: int = 0

    def line(self, kept: bool | None, text: str) -> None:
        self.failures += kept is False
        mark = {True: "ok", False: "NOT KEPT", None: ""}[kept]
        print(f"  {text}  {mark}".rstrip(), flush=True)


@dataclass(frozen=True)
class Sides:
    """Both workers and where they leave arrays."""

    ours: Worker
    theirs: Worker
    folder: Path
    threads: int

    @classmethod
    def start(cls, peer: Peer, threads: int, stack: ExitStack) -> "Sides":
        """Both workers and a folder, which end with the stack."""
        ours, theirs = stack.enter_context(our_worker()), stack.enter_context(peer.worker())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return cls(ours, theirs, folder, threads)

    def open(self, path: Path, context: int) -> None:
        for worker in (self.ours, self.theirs):
            worker.ask("open", path=str(path), threads=self.threads, context=context)

    def logits(self, tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Ours and theirs, float32 [T, V]."""
        found = []
        for worker in (self.ours, self.theirs):
            out = self.folder / f"{worker.name}.npy"
            worker.ask("logits", tokens=tokens, path=str(out))
            found.append(np.load(out))
        return found[0], found[1]


def random_tokens(path: Path, count: int) -> list[int]:
    with GGUFFile.open(path) as file:
        size = file.tensors["token_embd.weight"].shape[0]
    drawn = np.random.default_rng(0).integers(3, size, count - 1)
    return [BOS, *map(int, drawn)]


def parameters(path: Path) -> int:
    with GGUFFile.open(path) as file:
        return sum(int(np.prod(tensor.shape)) for tensor in file.tensors.values())


def relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root mean square difference of each token, relative to all of b: [T]."""
    wide = a.astype(np.float64) - b
    return np.sqrt(np.mean(wide**2, axis=1) / np.mean(b.astype(np.float64) ** 2))


def check_reference(path: Path, threads: int, report: Report) -> None:
    """Native against the reference with the same rounding, and in exact floats."""
    count = int(np.clip(REFERENCE_PRODUCTS / parameters(path), 2, REFERENCE_TOKENS))
    tokens = random_tokens(path, count)
    found = {}
    for backend in ("native", "reference", "exact"):
        with Model.open(path, threads=threads, context=64, backend=backend) as model:
            found[backend] = model.logits(tokens)
    same = relative(found["native"], found["reference"])
    rounded, expected = (relative(found[b], found["exact"]) for b in ("native", "reference"))
    agree = np.mean(found["native"].argmax(axis=1) == found["exact"].argmax(axis=1))
    is_float = path == STORIES or path.stem.endswith(FLOAT_NAMES)
    kept = max(same.max(), rounded.max()) < (FLOATS if is_float else QUANTISED)
    if not is_float:
        kept = kept and rounded.mean() < AS_ROUNDED * expected.mean()
    report.line(
        bool(kept),
        f"{path.stem:22} {count:3} tokens: from the reference {same.min():.1e} to {same.max():.1e}"
        f"; from exact floats {rounded.mean():.1e}, the reference {expected.mean():.1e}, "
        f"top-1 {agree:.0%}",
    )


def check_greedy(path: Path, sides: Sides, report: Report) -> None:
    """The same greedy continuation of BOS, or of a few random tokens."""
    prompt = [BOS] if path == STORIES else random_tokens(path, 8)
    sides.open(path, 256)
    ours, theirs = (
        worker.ask("greedy", tokens=prompt, count=GREEDY_TOKENS)
        for worker in (sides.ours, sides.theirs)
    )
    equal = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), None)
    text = f"{path.stem:22} {GREEDY_TOKENS if equal is None else equal} equal tokens"
    text += f" of {GREEDY_TOKENS}, {len(set(theirs))} different ones"
    if equal is not None:
        logits, _ = sides.logits(prompt + ours[:equal])
        gap = logits[-1, ours[equal]] - logits[-1, theirs[equal]]
        text += f"; then ours is ahead of theirs by {gap:.1e}"
    report.line(equal is None or equal >= GREEDY_WANTED, text)


def compare_logits(path: Path, sides: Sides, report: Report) -> None:
    """How far apart the predictions for random tokens are; nothing is promised of these."""
    sides.open(path, LOGITS_TOKENS)
    ours, theirs = sides.logits(random_tokens(path, LOGITS_TOKENS))
    p, q = log_softmax(theirs), log_softmax(ours)
    divergence = np.sum(np.exp(p) * (p - q), axis=1)  # [T]
    agree = np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1))
    report.line(
        None,
        f"{path.stem:22} top-1 {agree:6.1%}, mean KL(theirs, ours) {divergence.mean():.2e} nats, "
        f"relative difference of logits {np.median(relative(ours, theirs)):.1e}",
    )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """float64 [T, V]."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)))


def perplexities(path: Path, sides: Sides) -> tuple[float, float]:
    """Ours and theirs of the text, in windows that begin with BOS."""
    sides.open(path, WINDOW)
    tokens = sides.ours.ask("tokenize", text=TEXT.read_text("utf-8"))
    losses: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for start in range(0, len(tokens) - WINDOW, WINDOW // 2):
        window = [BOS, *tokens[start + 1 : start + WINDOW]]
        counted = slice(WINDOW // 2, WINDOW - 1)
        targets = np.array(window[1:])[counted]
        for taken, logits in zip(losses, sides.logits(window), strict=True):
            taken.append(negative_log_likelihoods(logits[counted], targets))
    ours, theirs = (float(np.exp(np.concatenate(taken).mean())) for taken in losses)
    return ours, theirs


def check_perplexity(sides: Sides, report: Report) -> None:
    """The real model as it is, then with padded rows in every format."""
    files = {"as it is": STORIES}
    for type in BlockType:
        files[type.name] = sides.folder / f"stories-{type.name}.gguf"
        write_padded(STORIES, files[type.name], type)
    for name, path in files.items():
        try:
            ours, theirs = perplexities(path, sides)
        except WorkerError as failure:
            report.line(False, f"{name:10} {failure}")
            continue
        apart = ours / theirs - 1
        report.line(
            abs(apart) <= PERPLEXITY_BOUND,
            f"{name:10} ours {ours:8.4f}, theirs {theirs:8.4f}, {apart:+.3%}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    questions = ("reference", "greedy", "logits", "perplexity")
    parser.add_argument("--models", nargs="+", type=Path, default=[], help="files or folders")
    parser.add_argument("--only", nargs="+", choices=questions, default=questions)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--env", type=Path, default=DEFAULT_ENVIRONMENT / "llama-cpp-python")
    options = parser.parse_args()
    models = find_models(options.models) if options.models else []
    floats = [path for path in models if path.stem.endswith(FLOAT_NAMES)]
    report = Report()
    with ExitStack() as stack:
        if "reference" in options.only:
            print(
                f"native against the reference: each token within {FLOATS} (floats) or "
                f"{QUANTISED}; from exact floats at most {AS_ROUNDED} times what the reference is"
            )
            for path in [STORIES, *models]:
                check_reference(path, options.threads, report)
        if {"greedy", "logits", "perplexity"} & set(options.only):
            peer = find_peer(options.env, probe_model(options.env))
            print(f"llama-cpp-python {peer.version}; {peer.system}\n{peer.note}".rstrip())
            sides = Sides.start(peer, options.threads, stack)
            parts: dict[str, tuple[str, list[Path], Callable[..., None]]] = {
                "greedy": (
                    f"greedy tokens equal to llama.cpp's: at least {GREEDY_WANTED}",
                    [STORIES, *floats],
                    check_greedy,
                ),
                "logits": (
                    f"logits after {LOGITS_TOKENS} random tokens against llama.cpp's",
                    [STORIES, *models],
                    compare_logits,
                ),
            }
            for name, (title, paths, check) in parts.items():
                if name in options.only:
                    print(title)
                    for path in paths:
                        check(path, sides, report)
            if "perplexity" in options.only:
                print(f"perplexity of the real model: within {PERPLEXITY_BOUND:.1%}")
                check_perplexity(sides, report)
    if report.failures:
        raise SystemExit(f"{report.failures} bounds not kept")


if __name__ == "__main__":
    main()
