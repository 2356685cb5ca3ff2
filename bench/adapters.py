"""Adapters beside stock llama.cpp: the same answers with --lora, and what an adapter costs.

  python bench/adapters.py                                 # agreement, on tiny models
  python bench/adapters.py --models models --only speed    # what it costs, on larger ones
  python bench/adapters.py --pair MODEL.gguf ADAPTER.gguf  # of a trained adapter

greedy   as many greedy tokens as llama.cpp with the same adapter file
logits   top-1 agreement and KL divergence on a text, beside those of the base alone
speed    prefill and decode with an adapter of rank 16 on all linears, as a share of those
         without, in tokens per second of processor time; ours and theirs in turn
"""

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from agreement import BOS, TEXT, Report, Sides, log_softmax, random_tokens
from padded_stories import write_padded
from peer_environment import DEFAULT_ENVIRONMENT, describe_machine, find_peer
from peers import find_models, probe_model
from worker import Worker

from homezoo.formats.adapter_file import Adapter, write_adapter
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.models.load import load_model
from homezoo.run.backend import default_threads
from homezoo.run.bundled import STORIES

GREEDY_TOKENS = 96
LOGITS_TOKENS = 384
# On F32 models only the halves of the cache are rounded, on others the activations too; there the
# base alone, which both round in their own way, says what an adapter can be blamed for.
TOP_1, FLOAT_KL = 0.99, 1e-5
MEAN_KL, ROUNDING = 1e-3, 2.0
RANK, PROMPT, STEPS, PAIRS = 16, 512, 32, 5


def random_adapter(path: Path, out: Path, size: float, seed: int = 0) -> Path:
    """An adapter of all linears whose change is about `size` of what each weight gives."""
    random = np.random.default_rng(seed)
    with GGUFFile.open(path) as file:
        model = load_model(file)
        deltas = {}
        for name, linear in model.linears().items():
            if name == "output" and model.config.tied:
                continue
            rows, width = linear.weight.rows, linear.weight.width
            a = random.standard_normal((RANK, width), np.float32) / np.sqrt(np.float32(width))
            b = random.standard_normal((rows, RANK), np.float32) * np.float32(size / 4)
            deltas[name] = a, b
        write_adapter(out, Adapter(model.config.architecture, float(RANK), deltas))
    return out


def write_bloom(path: Path) -> Path:
    """A tiny random model of BLOOM's architecture, with the vocabulary of the real small model."""
    width, inner, heads, layers, vocabulary = 64, 256, 4, 2, 512
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, width),
        "token_embd_norm.weight": (width,),
        "output_norm.weight": (width,),
    }
    for layer in range(layers):
        parts = {"attn_qkv": (3 * width, width), "attn_output": (width, width)}
        parts |= {"ffn_up": (inner, width), "ffn_down": (width, inner)}
        norms = {"attn_norm": (width,), "ffn_norm": (width,)}
        shapes |= {f"blk.{layer}.{n}.weight": shape for n, shape in (parts | norms).items()}
    for name in list(shapes):
        if name != "token_embd.weight":
            shapes[name.replace(".weight", ".bias")] = shapes[name][:1]
    sizes = {"context_length": 512, "embedding_length": width, "feed_forward_length": inner}
    sizes |= {"block_count": layers, "attention.head_count": heads}
    sizes |= {"attention.head_count_kv": heads, "vocab_size": vocabulary}
    random = np.random.default_rng(0)
    with GGUFFile.open(STORIES) as stories, GGUFWriter(path) as writer:
        writer.add("general.architecture", "bloom")
        others = [key for key in stories.metadata if not key.startswith("tokenizer.")]
        writer.copy_metadata(stories.metadata, others)
        for key, value in sizes.items():
            writer.add(f"bloom.{key}", value)
        writer.add("bloom.attention.layer_norm_epsilon", 1e-5)
        for name, shape in shapes.items():
            writer.declare(name, BlockType.F32, shape)
        for name, shape in shapes.items():
            values = random.standard_normal(shape, np.float32)
            norm = "norm" in name and name.endswith("weight")
            writer.write(name, 1 + values / 8 if norm else values / np.sqrt(np.float32(shape[-1])))
    return path


def is_float(path: Path) -> bool:
    """Whether both sides multiply floats; with F16 llama.cpp rounds the activations too."""
    with GGUFFile.open(path) as file:
        return file.tensors["blk.0.ffn_up.weight"].type is BlockType.F32


@dataclass(frozen=True)
class Distance:
    """Of our logits from llama.cpp's."""

    largest: float
    top_1: float
    kl: float  # mean, nats

    @staticmethod
    def of(ours: np.ndarray, theirs: np.ndarray) -> "Distance":
        """Logits float32 [T, V] of both."""
        p, q = log_softmax(theirs), log_softmax(ours)
        kl = float(np.sum(np.exp(p) * (p - q), axis=1).mean())
        top = float(np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)))
        return Distance(float(np.abs(ours - theirs).max()), top, kl)

    def __str__(self) -> str:
        return f"{self.largest:.1e} apart, top-1 {self.top_1:.1%}, KL {self.kl:.1e}"


def check(
    path: Path, files: list[tuple[str, float]], sides: Sides, report: Report, text: Path = TEXT
) -> None:
    """Both sides with the same adapters: a greedy continuation, and the logits of a text."""
    sides.open(path, 512)
    workers = sides.ours, sides.theirs
    prompt = [BOS] if "stories" in path.stem else random_tokens(path, 8)
    tokens = sides.ours.ask("tokenize", text=text.read_text("utf-8"))[:LOGITS_TOKENS]
    base = sides.ours.ask("greedy", tokens=prompt, count=GREEDY_TOKENS)
    without = Distance.of(*sides.logits(tokens))
    for worker in workers:
        worker.ask("adapters", files=files)
    ours, theirs = (w.ask("greedy", tokens=prompt, count=GREEDY_TOKENS) for w in workers)
    pairs = zip(ours, theirs, strict=True)
    equal = next((i for i, (a, b) in enumerate(pairs) if a != b), GREEDY_TOKENS)
    changed = sum(a != b for a, b in zip(ours, base, strict=True))
    found = Distance.of(*sides.logits(tokens))
    if is_float(path):
        kept = equal == GREEDY_TOKENS and found.top_1 >= TOP_1 and found.kl <= FLOAT_KL
    else:
        kept = found.kl <= max(MEAN_KL, ROUNDING * without.kl)
    report.line(
        kept,
        f"{path.stem:16} {equal} of {GREEDY_TOKENS} greedy tokens equal ({changed} not the base's)"
        f"; {found}; the base alone {without}",
    )


def check_all(sides: Sides, report: Report) -> None:
    folder = sides.folder
    one = random_adapter(STORIES, folder / "one.gguf", 0.2, seed=1)
    two = random_adapter(STORIES, folder / "two.gguf", 0.2, seed=2)
    print("one adapter, then two at different scales, on the real small model")
    check(STORIES, [(str(one), 1.0)], sides, report)
    check(STORIES, [(str(one), 0.5), (str(two), -0.25)], sides, report)
    print("the architecture of BLOOM, an adapter of attn_qkv and all other linears")
    bloom = write_bloom(folder / "bloom.gguf")
    check(bloom, [(str(random_adapter(bloom, folder / "b.gguf", 2.0)), 1.0)], sides, report)
    print("the real small model in other formats")
    for type in (BlockType.F16, BlockType.Q8_0, BlockType.Q4_0, BlockType.Q4_K):
        path = folder / f"stories-{type.name}.gguf"
        write_padded(STORIES, path, type)
        adapter = random_adapter(path, folder / f"{type.name}.gguf", 0.05)
        check(path, [(str(adapter), 1.0)], sides, report)


def processor_seconds(worker: Worker) -> float:
    """What the worker's main thread has computed: with one thread all, whatever else runs.

    Linux: the first number of /proc/PID/schedstat, in nanoseconds.
    """
    status = Path(f"/proc/{worker.process_id}/schedstat").read_text("ascii")
    return int(status.split()[0]) / 1e9


def measure_speed(path: Path, sides: Sides) -> None:
    """Tokens per second of processor time with and without, in turn; medians."""
    sides.open(path, PROMPT + STEPS)
    adapter = random_adapter(path, sides.folder / "speed.gguf", 0.01)
    tokens = random_tokens(path, PROMPT)
    found: dict[tuple[str, str, bool], list[float]] = {}
    for pair in range(PAIRS + 1):  # the first is not counted
        for worker in (sides.ours, sides.theirs):
            for on in (False, True):
                worker.ask("adapters", files=[[str(adapter), 1.0]] if on else [])
                start = processor_seconds(worker)
                worker.ask("prefill", tokens=tokens)
                middle = processor_seconds(worker)
                worker.ask("decode", steps=[[t] for t in tokens[:STEPS]])
                prefill, decode = middle - start, processor_seconds(worker) - middle
                if pair:
                    found.setdefault((worker.name, "prefill", on), []).append(PROMPT / prefill)
                    found.setdefault((worker.name, "decode", on), []).append(STEPS / decode)
    for what in ("prefill", "decode"):
        cells = []
        for name in (sides.ours.name, sides.theirs.name):
            off, on = (median(found[name, what, used]) for used in (False, True))
            cells.append(f"{name} {off:.1f} -> {on:.1f} tokens/s ({on / off:.1%})")
        print(f"  {path.stem:22} {what:8} {';  '.join(cells)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", type=Path, default=[], help="files or folders")
    parser.add_argument("--pair", nargs=2, type=Path, help="check this model and adapter alone")
    parser.add_argument("--text", type=Path, default=TEXT, help="whose logits --pair compares")
    parser.add_argument("--only", choices=("agreement", "speed"))
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--env", type=Path, default=DEFAULT_ENVIRONMENT / "llama-cpp-python")
    options = parser.parse_args()
    report = Report()
    with ExitStack() as stack:
        peer = find_peer(options.env, probe_model(options.env))
        machine: dict[str, Any] = describe_machine()
        print(f"{machine['cpu']}, load {machine['load']}; llama-cpp-python {peer.version}")
        sides = Sides.start(peer, options.threads, stack)
        if options.pair:
            model, adapter = options.pair
            check(model, [(str(adapter), 1.0)], sides, report, options.text)
        elif options.only != "speed":
            check_all(sides, report)
        if options.models and options.only != "agreement":
            for path in find_models(options.models):
                measure_speed(path, sides)
    if report.failures:
        raise SystemExit(f"{report.failures} bounds not kept")


if __name__ == "__main__":
    main()
