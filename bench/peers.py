"""homezoo against llama.cpp on the same files, threads and tokens, in alternating runs.

    python bench/make_models.py --out models
    python bench/peers.py --models models --threads 2
    python bench/peers.py --models models/random-1.1B-Q4_0.gguf --only prefill decode --pairs 9

llama.cpp is llama-cpp-python from PyPI, built for this CPU in an environment of its own. Each side
computes in a process of its own that sleeps while the other is timed; the two take turns at going
first. Printed are medians of the pairs, and ours by theirs; beside decoding, what the memory gave
to plain reads after each pair, since neighbours on the host share it. `--kernels avx2` keeps both
sides to what CPUs without AVX-512 have, each built for it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from homezoo_worker import KERNELS
from make_models import make_model
from measures import MEASURES, PROMPT_TOKENS, STEPS, Measure, Setting
from peer_environment import (
    AVX2,
    DEFAULT_ENVIRONMENT,
    NATIVE,
    Peer,
    describe_machine,
    find_peer,
    options_for,
)
from worker import WorkerError, our_worker

from homezoo import _native
from homezoo.run.backend import default_threads

BUSY = 0.3  # load for each core above which figures say more about the neighbours
FEWEST_PAIRS = 5  # for a figure that is quoted


@dataclass(frozen=True)
class Result:
    """Medians of one measure on one model, and every sample."""

    measure: str
    model: str
    unit: str
    best: str
    ours: float
    theirs: float
    ratio: float  # ours / theirs
    ours_samples: list[float]
    theirs_samples: list[float]
    fork: float | None = None  # of --llama-bench
    reads_samples: list[float] = field(default_factory=list)  # bytes/s of memory after each pair


def compare(measure: Measure, setting: Setting, fork: Path | None) -> Result:
    """Takes the pairs; the sides take turns at going first."""
    with ExitStack() as stack:
        samples = measure.prepare(setting, stack)
        if measure.warm_up:
            for sample in samples.values():
                sample()
        taken: dict[str, list[float]] = {side: [] for side in samples}
        memory = stack.enter_context(our_worker()) if measure.by_memory else None
        reads = []
        for pair in range(setting.pairs):
            order = list(samples) if pair % 2 == 0 else list(samples)[::-1]
            for side in order:
                taken[side].append(samples[side]())
            if memory:
                reads.append(memory.ask("reads", threads=setting.threads))
    ours, theirs = (statistics.median(taken[side]) for side in ("ours", "theirs"))
    return Result(
        measure.name,
        setting.path.stem,
        measure.unit,
        measure.best,
        ours,
        theirs,
        ours / theirs,
        taken["ours"],
        taken["theirs"],
        time_fork(fork, measure, setting) if fork else None,
        reads,
    )


def time_fork(binary: Path, measure: Measure, setting: Setting) -> float | None:
    """Tokens/s of a llama-bench binary, median of as many repeats; None for what it cannot time."""
    counts = {"prefill": (PROMPT_TOKENS, 0), "decode": (0, STEPS)}.get(measure.name)
    if counts is None:
        return None
    arguments = ["-m", setting.path, "-t", setting.threads, "-r", setting.pairs, "-o", "json"]
    arguments += ["-p", counts[0], "-n", counts[1]]
    run = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
    if run.returncode:
        raise WorkerError(f"{binary} ends with status {run.returncode}: {run.stderr[-300:]}")
    return statistics.median(json.loads(run.stdout)[0]["samples_ts"])


def find_models(given: list[Path]) -> list[Path]:
    """The files given, and those in folders given, small ones first."""
    files = [p for path in given for p in (path.glob("*.gguf") if path.is_dir() else [path])]
    missing = [str(path) for path in files if not path.is_file()]
    if missing or not files:
        raise SystemExit(
            f"no model at {', '.join(missing) or ', '.join(map(str, given))}; "
            "make some with bench/make_models.py"
        )
    return sorted(files, key=lambda path: (path.stat().st_size, path.name))


def probe_model(environment: Path) -> Path:
    """A small quantised model, made once beside the environment, to try the peer on."""
    path = environment.parent / "probe-15M-Q4_0.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make_model(path, "15M", "Q4_0", None)
    return path


def machine_limits(threads: int) -> dict[str, Any]:
    """What `homezoo bench --limits` measures, or why it does not."""
    command = ["-m", "homezoo", "bench", "--limits", "--threads", str(threads), "--json"]
    run = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if run.returncode:
        return {"not measured": run.stderr.strip().splitlines()[-1] if run.stderr else "no reason"}
    limits: dict[str, Any] = json.loads(run.stdout)
    return limits


def show_head(machine: dict[str, Any], limits: dict[str, Any], peer: Peer, threads: int) -> None:
    print("machine  " + ", ".join(f"{key} {value}" for key, value in machine.items()))
    print("limits   " + ", ".join(f"{key} {value}" for key, value in limits.items()))
    print(f"ours     homezoo, {_native.section()} kernels, {threads} threads")
    print(f"theirs   llama-cpp-python {peer.version}, {threads} threads; {peer.system}")
    if peer.note:
        print(f"note     {peer.note}")
    if machine["load"] > BUSY * machine["cores"]:
        print(
            f"note     this machine is busy (load {machine['load']}): both are slowed, and "
            "llama.cpp's spinning threads far more; do not quote these figures"
        )
    print(f"\n{'measure':12} {'model':22} {'ours':>9} {'theirs':>9} {'ratio':>6}  unit")


def show(result: Result, file_bytes: int) -> None:
    line = f"{result.measure:12} {result.model:22} {result.ours:9.4g} {result.theirs:9.4g}"
    line += f" {result.ratio:6.2f}  {result.unit}" + " (less is better)" * (result.best == "less")
    if result.reads_samples:
        reads = [each / 1e9 for each in result.reads_samples]
        line += f"; {result.ours * file_bytes / 1e9:.1f} GB/s of the file, memory gave "
        line += f"{statistics.median(reads):.1f} ({min(reads):.0f} to {max(reads):.0f})"
    if result.fork is not None:
        line += f"; fork {result.fork:.4g}, ratio {result.ours / result.fork:.2f}"
    low, high = min(result.ours_samples), max(result.ours_samples)
    line += f"; ours {low:.4g} to {high:.4g}"
    low, high = min(result.theirs_samples), max(result.theirs_samples)
    print(line + f", theirs {low:.4g} to {high:.4g}", flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="files or folders")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[m.name for m in MEASURES],
        help="these, on every model; by default each on the models it says most about",
    )
    parser.add_argument("--pairs", type=int, default=FEWEST_PAIRS)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--env", type=Path, help="of the peer")
    parser.add_argument("--kernels", choices=("avx2",), help="of both sides; else this CPU's best")
    parser.add_argument("--llama-bench", type=Path, help="a fork's llama-bench to time as well")
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    if options.pairs < FEWEST_PAIRS:
        print(f"{options.pairs} pairs are for trying out; take {FEWEST_PAIRS} for a figure")
    if options.kernels:
        _native.use_section(options.kernels)
        os.environ[KERNELS] = options.kernels  # for the workers
    models, machine = find_models(options.models), describe_machine()
    name = "llama-cpp-python" + (f"-{options.kernels}" if options.kernels else "")
    environment = options.env or DEFAULT_ENVIRONMENT / name
    try:
        build = options_for(AVX2) if options.kernels else NATIVE
        peer = find_peer(environment, probe_model(environment), build)
        limits = machine_limits(options.threads)
        show_head(machine, limits, peer, options.threads)
    except (WorkerError, subprocess.CalledProcessError) as failure:
        raise SystemExit(str(failure)) from None
    results, failures = [], []
    for measure in MEASURES:
        for path in models:
            fits = not measure.only or any(part in path.name for part in measure.only)
            if not (measure.name in options.only if options.only else fits):
                continue
            setting = Setting(path, options.threads, peer, options.pairs)
            try:
                results.append(compare(measure, setting, options.llama_bench))
                show(results[-1], path.stat().st_size)
            except WorkerError as failure:
                failures.append(f"{measure.name} of {path.name}: {failure}")
                print(f"failed   {failures[-1]}", flush=True)
    if options.json:
        figures = {"machine": machine, "limits": limits, "peer": asdict(peer)}
        figures |= {"threads": options.threads, "failures": failures}
        figures["results"] = [asdict(result) for result in results]
        options.json.write_text(json.dumps(figures), "utf-8")
    if failures:
        raise SystemExit(f"{len(failures)} measures failed")


if __name__ == "__main__":
    main()
