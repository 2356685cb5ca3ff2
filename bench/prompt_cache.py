"""Seconds from the start of a process to its first token, with a long prompt computed or stored.

    python bench/prompt_cache.py MODEL.gguf [--tokens 4000] [--rounds 3] [--threads 2]

Each round starts with an empty folder: one process computes the prompt and stores it, the next
finds it. Both print the first token and the checksum of its logits, which must be the same.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROCESS = """
import sys, time, zlib
from pathlib import Path
import numpy as np
from homezoo.run.model import Model
from homezoo.run.prompt_store import stored_prompts
path, folder, count, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with Model.open(path, context=count + 64, threads=threads) as model:
    size = model.tokenizer.vocab_size
    tokens = np.random.default_rng(0).integers(10, size - 10, count).tolist()
    with stored_prompts(model, True, folder):
        answer = model.generate(tokens, temperature=0, max_tokens=1, top_logprobs=5)
        print(answer.tokens, zlib.crc32(repr(answer.logprobs).encode()), answer.cached_tokens,
              flush=True)
"""


def start(model: Path, folder: Path, options: argparse.Namespace) -> tuple[float, float, str, int]:
    """Seconds to the first token and to the end, what came, tokens found."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(model), str(folder), str(options.tokens),
         str(options.threads)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    first = time.perf_counter() - began
    if process.wait() or not line:
        raise SystemExit("the process failed")
    came, _, cached = line.strip().rpartition(" ")
    return first, time.perf_counter() - began, came, int(cached)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    pairs, size = [], 0
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            fresh = start(options.model, Path(name), options)
            again = start(options.model, Path(name), options)
            size = sum(path.stat().st_size for path in Path(name).iterdir())
        if fresh[2] != again[2]:
            raise SystemExit(f"the answers differ: {fresh[2]} and {again[2]}")
        pairs.append((fresh, again))
    told = {
        "model": options.model.name,
        "first start, seconds to first token": statistics.median(f[0] for f, _ in pairs),
        "of which storing after the answer": statistics.median(f[1] - f[0] for f, _ in pairs),
        "second start, seconds to first token": statistics.median(a[0] for _, a in pairs),
        "ratio": statistics.median(f[0] / a[0] for f, a in pairs),
        "tokens found": [again[3] for _, again in pairs],
        "megabytes": size / 1e6,
        "bit-identical": True,
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
