"""Input gradients of a frozen weight, dx = dy W: ours against the peers', in turn in one process.

    python bench/backward.py                                   # 4096 x 4096, 512 tokens, 1 thread
    python bench/backward.py --rows 11008 --types Q4_0 Q4_K --threads 1 2 --json out.json

Peers: PyTorch's float32 product with the weight dequantised beforehand (27 GB for a 7B model),
bitsandbytes' NF4 (dequantised for each product), both where they are installed; llama.cpp's
OUT_PROD, from the libraries of a llama-cpp-python (--ggml FOLDER, by default bench/peers.py's).
Rows S1, S2, S3 and S7 are those of the acceptance figures in docs/training.md.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ggml_backward import OutProduct, ggml_folder
from peer_environment import DEFAULT_ENVIRONMENT, describe_machine

from homezoo import _native
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize

Way = Callable[[], Any]


def ways(
    type: BlockType, rows: int, width: int, tokens: int, threads: int, ggml: Path | None
) -> dict[str, Way]:
    """What is timed, by name."""
    random = np.random.default_rng(0)
    data = quantize(type, random.standard_normal((rows, width), np.float32) / 64)
    dy = random.standard_normal((tokens, rows), np.float32)
    x = random.standard_normal((tokens, width), np.float32)
    pool = _native.Threads(threads)
    form = (data, type, width, pool)
    found: dict[str, Way] = {
        "exact": lambda: _native.input_gradient(dy, *form),
        "int8": lambda: _native.input_gradient(dy, *form, True),
        "forward": lambda: _native.matmul(x, *form),
    }
    found |= torch_ways(dequantize(type, data), dy, threads)
    if ggml is not None:
        product = OutProduct(ggml, type, data, dy, threads)
        found["ggml"] = product.run
    return found


def torch_ways(values: np.ndarray, dy: np.ndarray, threads: int) -> dict[str, Way]:
    """PyTorch in float32, and bitsandbytes through it, where they are."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(threads)
    weight, gradient = torch.from_numpy(values), torch.from_numpy(dy)
    found: dict[str, Way] = {"torch": lambda: gradient @ weight}
    try:
        from bitsandbytes import functional
    except ImportError:
        return found
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    found["nf4"] = lambda: gradient @ functional.dequantize_4bit(packed, state)
    return found


def medians(chosen: dict[str, Way], rounds: int) -> dict[str, float]:
    """Median seconds of each way; every round runs all of them, in turning order."""
    taken: dict[str, list[float]] = {name: [] for name in chosen}
    for way in chosen.values():
        way()
    names = list(chosen)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            chosen[name]()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def figures(seconds: dict[str, float], one: dict[str, float] | None) -> dict[str, float]:
    """The rows S1, S2, S3 and S7 as far as their peers were there."""
    found = {f"S3 {way} / forward": seconds[way] / seconds["forward"] for way in ("exact", "int8")}
    for row, peer in (("S1", "torch"), ("", "nf4"), ("S2", "ggml")):
        if peer in seconds:
            for way in ("exact", "int8"):
                found[f"{row} {peer} / {way}".strip()] = seconds[peer] / seconds[way]
    if one is not None:
        for way in ("exact", "int8", "forward"):
            found[f"S7 {way}, 1 thread / these"] = one[way] / seconds[way]
    return found


def main() -> None:
    """Prints a table for each format and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", nargs="+", default=["Q4_0", "Q4_K", "Q8_0"])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--ggml", type=Path, help="folder of llama.cpp's libraries")
    parser.add_argument("--kernels", help="a section of kernels other than the fastest")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.kernels:
        _native.use_section(given.kernels)
    ggml = given.ggml or ggml_folder(DEFAULT_ENVIRONMENT)
    report: dict[str, Any] = {"machine": describe_machine(), "kernels": _native.section()}
    print(json.dumps(report))
    shape = (given.rows, given.width, given.tokens)
    work = 2e-9 * given.rows * given.width * given.tokens
    for name in given.types:
        one = None
        for threads in given.threads:
            seconds = medians(ways(BlockType[name], *shape, threads, ggml), given.rounds)
            compared = figures(seconds, one)
            one = one or (seconds if threads == 1 else None)
            print(
                f"\n{name} {given.rows} x {given.width}, {given.tokens} tokens, {threads} threads"
            )
            for way, value in seconds.items():
                print(f"  {way:8} {value * 1e3:8.1f} ms {work / value:7.1f} GFLOP/s")
            for row, ratio in compared.items():
                print(f"  {row:32} {ratio:6.2f}")
            report[f"{name} {threads}"] = {"seconds": seconds, "figures": compared}
    if given.json:
        given.json.write_text(json.dumps(report, indent=1), "utf-8")


if __name__ == "__main__":
    main()
