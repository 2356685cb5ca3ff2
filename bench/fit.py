"""What `homezoo fit` foretells, beside what runs then take: memory, prefill and decode.

    python bench/make_models.py --out models
    python bench/fit.py --models models --threads 2
    python bench/fit.py --models models --cases 1.1B-Q4_0:512 --rounds 5

Each case is a fresh process that opens the model and answers a prompt that fills the context but
for the answer. Its peak is the system's own figure. Each round foretells anew and measures right
after; printed are medians of the rounds, and foretold by measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from peer_environment import describe_machine

from homezoo.commands.probe import probe
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.footprint import footprint
from homezoo.ops.memory import peak_memory
from homezoo.run.backend import default_threads
from homezoo.run.bundled import STORIES
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions
from homezoo.zoo.measured import Overheads
from homezoo.zoo.rehearse import rehearse

ANSWER = 32  # tokens
CASES = (
    "15M-Q4_0:512", "15M-Q8_0:2048", "110M-Q4_0:512", "110M-Q4_K_M:2048", "110M-Q8_0:1024",
    "110M-F16:512", "1.1B-Q4_0:512", "1.1B-Q4_K_M:512", "1.1B-Q8_0:1024", "7B-Q4_0:256",
)  # fmt: skip
QUANTITIES = ("memory", "prefill", "decode")


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
    print("| model | context | | foretold | measured | ratio |")
    print("|---|---|---|---|---|---|")
    for text in asked.cases:
        name, _, context = text.partition(":")
        path = STORIES if name == "stories" else asked.models / f"random-{name}.gguf"
        _print_case(Case(path, int(context)), asked.threads, asked.rounds, asked.repeats)
    return 0


def _print_case(case: Case, threads: int, rounds: int, repeats: int) -> None:
    told: list[dict[str, float]] = []
    taken: list[dict[str, float]] = []
    for round in range(rounds):
        order = ("foretell", "run") if round % 2 == 0 else ("run", "foretell")
        for what in order:
            found = _in_a_process(
                what, str(case.path), str(case.context), str(threads), str(repeats)
            )
            (told if what == "foretell" else taken).append(found)
    for quantity in QUANTITIES:
        foretold = statistics.median(each[quantity] for each in told)
        measured = statistics.median(each[quantity] for each in taken)
        unit, scale = ("MB", 1e6) if quantity == "memory" else ("tokens/s", 1)
        print(
            f"| {case.path.stem} | {case.context} | {quantity}, {unit} | {foretold / scale:,.1f} | "
            f"{measured / scale:,.1f} | {foretold / measured:.3f} |",
            flush=True,
        )


def _in_a_process(*what: str) -> dict[str, float]:
    called = [sys.executable, __file__, "--child", *what]
    found: dict[str, float] = json.loads(
        subprocess.run(called, capture_output=True, check=True).stdout
    )
    return found


def foretell(path: str, context: str, threads: str, _: str) -> dict[str, float]:
    """What fit says, with nothing kept from before; the answer's middle token stands for all."""
    overheads = Overheads(**_in_a_process("overheads"))
    with GGUFFile.open(path) as file:
        plan = footprint(
            file,
            file.file_bytes,
            int(context),
            program=overheads.program_bytes,
            threads=int(threads),
        )
        speeds = rehearse(file, int(context), threads=int(threads))
    prompt = int(context) - ANSWER
    decode = speeds.decode_seconds(prompt + ANSWER // 2) + overheads.token_seconds
    prefill = speeds.prefill_seconds(prompt) + overheads.token_seconds
    return {"memory": plan.total, "prefill": prompt / prefill, "decode": 1 / decode}


def overheads() -> dict[str, float]:
    """Of a process of its own."""
    return vars(probe())


def run(path: str, context: str, threads: str, repeats: str) -> dict[str, float]:
    """What a run takes: medians of some prompts, which differ from their first token on."""
    options = GenerationOptions(
        temperature=0.0, max_tokens=ANSWER, ignore_end=True, speculate="off"
    )
    prompt = int(context) - ANSWER
    timings = []
    with Model.open(path, threads=int(threads), context=int(context)) as model:
        size = model.config.vocab_size
        model.encode_prompt("ready?")
        for seed in range(int(repeats)):
            tokens = [(7919 * (seed + place) + 3) % size for place in range(prompt)]
            timings.append(model.generate(tokens, options).timings)
    return {
        "memory": peak_memory() or 0,
        "prefill": statistics.median(each.prefill_tokens_per_second for each in timings),
        "decode": statistics.median(each.decode_tokens_per_second for each in timings),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What fit foretells, beside what runs take.")
    parser.add_argument("--models", type=Path, default=Path("models"), help="of make_models.py")
    parser.add_argument("--cases", nargs="+", default=CASES, help="as 1.1B-Q4_0:512")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="prompts of one process")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
