"""What stock llama.cpp answers with an adapter (`--lora`), beside what homezoo answers.

    python bench/adapter_answers.py zookeeper-Q8_0.gguf trained.gguf edited.gguf --questions q.jsonl

QUESTIONS has one JSON object a line with `question`, and `continues` true for a text to be gone on
with. Both sides get the same tokens (our chat template's) and always take the likeliest, 48 at
most, up to the token that ends an answer. Printed are how many answers are the same, token for
token, with no adapter, with each, and with none again, whose logits must be those of before to the
bit; and how many answers each adapter changes.
"""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from agreement import Report, Sides
from peer_environment import DEFAULT_ENVIRONMENT, find_peer
from peers import probe_model
from worker import Worker

from homezoo import Model
from homezoo.run.backend import default_threads

MOST = 48  # tokens of an answer
CONTEXT = 256


def prompts_of(model: Path, questions: Path) -> tuple[list[list[int]], set[int]]:
    """Tokens of each question as it is asked, and the tokens that end an answer."""
    prompts = []
    with Model.open(model, context=CONTEXT) as opened:
        for line in questions.read_text("utf-8").splitlines():
            row = json.loads(line)
            said = [{"role": "user", "content": row["question"]}]
            continues = row.get("continues", False)
            prompts.append(
                opened.encode_prompt(row["question"]) if continues else opened.encode_chat(said)
            )
        return prompts, set(opened.tokenizer.end_ids)


def answers(worker: Worker, prompts: list[list[int]], ends: set[int]) -> list[list[int]]:
    """The greedy answer to each prompt, without what follows its end."""
    found = []
    for prompt in prompts:
        tokens = worker.ask("greedy", tokens=prompt, count=MOST)
        end = next((place for place, token in enumerate(tokens) if token in ends), MOST)
        found.append(tokens[:end])
    return found


def same(one: list[list[int]], other: list[list[int]]) -> int:
    """How many are equal."""
    return sum(a == b for a, b in zip(one, other, strict=True))


def compare(sides: Sides, adapters: list[Path], prompts: list[list[int]], ends: set[int]) -> None:
    """All rounds: none, each adapter, none again."""
    base, bits = answers(sides.ours, prompts, ends), sides.logits(prompts[0])[0]
    report = Report()
    for adapter in [None, *adapters, None]:
        for worker in (sides.ours, sides.theirs):
            worker.ask("adapters", files=[] if adapter is None else [[str(adapter), 1.0]])
        ours, theirs = (answers(worker, prompts, ends) for worker in (sides.ours, sides.theirs))
        name = "no adapter" if adapter is None else adapter.name
        changed = len(prompts) - same(ours, base)
        found = same(ours, theirs)
        report.line(
            None, f"{name:<16} {found} of {len(prompts)} the same; {changed} not the base's"
        )
    restored = np.array_equal(sides.logits(prompts[0])[0], bits)
    report.line(restored, "logits without an adapter are those of before, bit for bit")
    if report.failures:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("adapters", type=Path, nargs="*")
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--env", type=Path, default=DEFAULT_ENVIRONMENT / "llama-cpp-python")
    given = parser.parse_args()
    prompts, ends = prompts_of(given.model, given.questions)
    with ExitStack() as stack:
        peer = find_peer(given.env, probe_model(given.env))
        print(f"llama-cpp-python {peer.version}")
        sides = Sides.start(peer, given.threads, stack)
        sides.open(given.model, CONTEXT)
        compare(sides, given.adapters, prompts, ends)


if __name__ == "__main__":
    main()
