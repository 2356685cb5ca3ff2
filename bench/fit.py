"""What `homezoo fit` foretells, beside what runs then take: memory, prefill and decode.

    python bench/make_models.py --out models
    python bench/fit.py --models models --threads 2
    python bench/fit.py --models models --cases 1.1B-Q4_0:512 --rounds 5

On a busy machine take --processor-time with one thread: seconds of the processor instead of the
clock's, on both sides.

Each case is a fresh process that opens the model and answers a prompt that fills the context but
for the answer. Its peak is the system's own figure. Each round foretells anew, on the file's own
weights and from its header alone, and measures; they take turns to be first. Printed are medians
of the rounds, and foretold by measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from peer_environment import describe_machine

from homezoo.commands.probe import probe
from homezoo.formats.gguf_cursor import Budget
from homezoo.formats.gguf_outline import Beginning, Outline, make_outline, outline_header
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.footprint import footprint
from homezoo.ops.memory import peak_memory
from homezoo.run.backend import default_threads
from homezoo.run.bundled import STORIES
from homezoo.run.model import Model
from homezoo.zoo.measured import Overheads
from homezoo.zoo.rehearse import rehearse

ANSWER = 64  # tokens
CASES = (
    "15M-Q4_0:512", "15M-Q8_0:2048", "110M-Q4_0:512", "110M-Q4_K_M:2048", "110M-Q8_0:1024",
    "110M-F16:512", "1.1B-Q4_0:512", "1.1B-Q4_K_M:512", "1.1B-Q8_0:1024", "7B-Q4_0:256",
)  # fmt: skip
QUANTITIES = ("memory", "prefill", "decode")
WAYS = ("foretell", "foretell_header", "run")


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    path: Path
    context: int
    cache: str = "f16"


def main() -> int:
    asked = _arguments()
    if asked.child:
        print(json.dumps(globals()[asked.child[0]](*asked.child[1:])))
        return 0
    print(f"{describe_machine()}, {asked.threads} threads, {asked.rounds} rounds")
    print(f"load when it began: {os.getloadavg()[0]:.1f}\n")
    print(
        "| model | context | | by the file | by its header | measured | ratio | ratio by header |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for text in asked.cases:
        name, _, context = text.partition(":")
        path = STORIES if name == "stories" else asked.models / f"random-{name}.gguf"
        _print_case(Case(path, int(context)), asked)
    return 0


def _print_case(case: Case, asked: argparse.Namespace) -> None:
    found: dict[str, list[dict[str, float]]] = {what: [] for what in WAYS}
    clock = "process_time" if asked.processor_time else "perf_counter"
    rest = (str(case.context), str(asked.threads), str(asked.repeats), clock)
    for round in range(asked.rounds):
        for what in WAYS[round % 3 :] + WAYS[: round % 3]:
            found[what].append(_in_a_process(what, str(case.path), *rest))
    for quantity in QUANTITIES:
        file, header, measured = (
            statistics.median(each[quantity] for each in found[what]) for what in WAYS
        )
        unit, scale = ("MB", 1e6) if quantity == "memory" else ("tokens/s", 1)
        values = (f"{value / scale:,.1f}" for value in (file, header, measured))
        print(
            f"| {case.path.stem} | {case.context} | {quantity}, {unit} | {' | '.join(values)} | "
            f"{file / measured:.3f} | {header / measured:.3f} |",
            flush=True,
        )


def _in_a_process(*what: str) -> dict[str, float]:
    called = [sys.executable, __file__, "--child", *what]
    result = subprocess.run(called, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(result.stdout)
    return found


def foretell(
    path: str, context: str, threads: str, _: str, clock: str, header: bool = False
) -> dict[str, float]:
    """What fit says, with nothing kept from before; the answer's middle token stands for all."""
    overheads = Overheads(**_in_a_process("overheads", clock))
    with GGUFFile.open(path) as opened:
        file = outline_of(path) if header else opened
        plan = footprint(
            file,
            opened.file_bytes,
            int(context),
            program=overheads.program_bytes,
            threads=int(threads),
        )
        speeds = rehearse(file, int(context), "f16", int(threads), getattr(time, clock))
    prompt = int(context) - ANSWER
    outside = overheads.token_seconds_after(plan.weights + plan.cache)
    decode = speeds.decode_seconds(prompt + ANSWER // 2) + outside
    prefill = speeds.prefill_seconds(prompt) + outside
    return {"memory": plan.total, "prefill": prompt / prefill, "decode": 1 / decode}


def foretell_header(*asked: str) -> dict[str, float]:
    """The same from the header alone, as of a model on the hub."""
    return foretell(*asked, header=True)


def outline_of(path: str) -> Outline:
    """What the first bytes of a file tell."""
    with Path(path).open("rb") as file:
        data = file.read(32 << 20)
    header = outline_header(Beginning(path, data, Path(path).stat().st_size), Budget())
    assert header is not None
    return make_outline([header])


def overheads(clock: str) -> dict[str, float]:
    """Of a process of its own."""
    return vars(probe(getattr(time, clock)))


def run(path: str, context: str, threads: str, repeats: str, clock: str) -> dict[str, float]:
    """What a run takes: medians of some prompts, which differ from their first token on.

    The same prompt again has all but its last token computed, so that every pass is of one token.
    """
    now = getattr(time, clock)
    prompt = int(context) - ANSWER
    first: list[float] = []  # a prompt and the first token after it
    rest: list[float] = []  # the tokens after that
    with Model.open(path, threads=int(threads), context=int(context)) as model:
        size = model.config.vocab_size
        model.encode_prompt("ready?")
        model.generate([1, 2, 3], max_tokens=4, temperature=0.0, ignore_end=True)
        for seed in range(int(repeats)):
            tokens = [(7919 * (seed + place) + 3) % size for place in range(prompt)]
            seconds = []
            for count in (1, 1, ANSWER):
                start = now()
                model.generate(
                    tokens, max_tokens=count, temperature=0.0, ignore_end=True, speculate="off"
                )
                seconds.append(now() - start)
            first.append(seconds[0])
            rest.append(seconds[2] - seconds[1])
    return {
        "memory": peak_memory() or 0,
        "prefill": prompt / statistics.median(first),
        "decode": (ANSWER - 1) / statistics.median(rest),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What fit foretells, beside what runs take.")
    parser.add_argument("--models", type=Path, default=Path("models"), help="of make_models.py")
    parser.add_argument("--cases", nargs="+", default=CASES, help="as 1.1B-Q4_0:512")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="prompts of one process")
    parser.add_argument("--processor-time", action="store_true", help="with --threads 1")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
