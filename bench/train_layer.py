"""A training step of LLaMA-7B's layers: homezoo against PEFT with bitsandbytes NF4, in turns.

    python bench/train_layer.py --peer /path/of/an/environment/bin/python --threads 2

The peer's environment needs torch, transformers, peft and bitsandbytes. Both take 512 tokens
through two layers of 4096 and 11008, frozen in 4 bit, with LoRA of rank 16 on all seven linears:
forward, forward again and backward, as with gradient checkpointing. Each works in a process of its
own that sleeps while the other is timed. Printed are medians of a layer's seconds of wall and of
processor time, and of the ratios. On a busy machine the processor time of one thread is the fairer.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

LAYERS, WIDTH, WIDE, HEADS, RANK = 2, 4096, 11008, 32, 16
Step = Callable[[], None]
Seconds = tuple[float, ...]  # wall, processor


def our_model() -> Any:
    """Two layers of LLaMA-7B with random Q4_0 weights and a tiny vocabulary, and new deltas."""
    import numpy as np

    from homezoo.formats.block_types import BlockType
    from homezoo.formats.tensor import Tensor
    from homezoo.models.load import load_model
    from homezoo.train.lora import attach_deltas
    from homezoo.train.options import TrainingOptions

    random = np.random.default_rng(0)
    tensors: dict[str, Tensor] = {}

    def weight(name: str, rows: int, width: int) -> None:
        blocks = random.integers(0, 256, (rows, width // 32, 18), np.uint8)
        blocks[:, :, :2] = np.array([0.004], np.float16).view(np.uint8)  # the scales
        tensors[name] = Tensor(name, BlockType.Q4_0, (rows, width), blocks.reshape(rows, -1))

    def vector(name: str) -> None:
        ones = np.ones((1, WIDTH), np.float32).view(np.uint8)
        tensors[name] = Tensor(name, BlockType.F32, (WIDTH,), ones)

    weight("token_embd.weight", 64, WIDTH)
    vector("output_norm.weight")
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weight(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            weight(f"blk.{layer}.{name}.weight", WIDE, WIDTH)
        weight(f"blk.{layer}.ffn_down.weight", WIDTH, WIDE)
        for name in ("attn_norm", "ffn_norm"):
            vector(f"blk.{layer}.{name}.weight")
    sizes = {"context_length": 2048, "embedding_length": WIDTH, "block_count": LAYERS,
             "feed_forward_length": WIDE, "attention.head_count": HEADS,
             "attention.layer_norm_rms_epsilon": 1e-5}  # fmt: skip
    metadata: dict[str, Any] = {f"llama.{key}": value for key, value in sizes.items()}
    metadata["general.architecture"] = "llama"
    model: Any = load_model(SimpleNamespace(metadata=metadata, tensors=tensors))
    attach_deltas(model, TrainingOptions(rank=RANK))
    return model


def ours(tokens: int, threads: int, backward: str) -> Step:
    """A step of homezoo: forward, forward again and backward."""
    from homezoo import _native
    from homezoo.models.batch import pack_documents
    from homezoo.ops.autograd import AutogradOps
    from homezoo.ops.autograd_matmul import FrozenProducts  # before PyTorch, as in the command

    import torch  # isort: skip

    model = our_model()
    torch.set_num_threads(threads)
    _native.keep_freed_memory(True)  # likewise
    products: Any = FrozenProducts(threads, "int8", backward)  # type: ignore[arg-type]
    batch = pack_documents([[n % 64 for n in range(tokens)]])
    ops = AutogradOps(batch, head_width=WIDTH // HEADS, products=products)
    x = torch.randn(tokens, WIDTH)

    def step() -> None:
        inputs, state = [], x
        with torch.no_grad():
            for block in model.blocks:
                inputs.append(state)
                state = block(ops, state)
        gradient = torch.ones_like(state)
        for block, entered in zip(reversed(model.blocks), reversed(inputs), strict=True):
            leaf = entered.detach().requires_grad_()
            torch.autograd.backward(block(ops, leaf), gradient)
            gradient = leaf.grad

    return step


def theirs(tokens: int, threads: int, backward: str) -> Step:
    """A step of PEFT on bitsandbytes' NF4 with gradient checkpointing, fp32 as CPUs want it."""
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils.quantization_config import BitsAndBytesConfig

    del backward
    torch.set_num_threads(threads)
    config = LlamaConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=WIDE, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, max_position_embeddings=2048,
    )  # fmt: skip
    folder = sys.argv[sys.argv.index("--folder") + 1]
    LlamaForCausalLM(config).save_pretrained(folder)
    quantised = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    model = LlamaForCausalLM.from_pretrained(
        folder, quantization_config=quantised, dtype=torch.float32, device_map="cpu"
    )
    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=True)
    peft = get_peft_model(
        model, LoraConfig(r=RANK, lora_alpha=32, target_modules="all-linear", lora_dropout=0.0)
    )
    peft.train()
    ids = torch.randint(0, 64, (1, tokens))

    def step() -> None:
        peft(input_ids=ids, labels=ids).loss.backward()

    return step


class Worker:
    """One side in a process of its own."""

    def __init__(self, python: str, side: str, given: list[str]) -> None:
        command = [python, __file__, "--side", side, *given]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.step()  # warm

    def step(self) -> Seconds:
        """Of one step: wall and processor time."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                return tuple(json.loads(line)["seconds"])
        raise SystemExit("a worker ended; see its message above")

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def serve(step: Step) -> None:
    """A step for each line of standard input."""
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        step()
        took = time.perf_counter() - wall, time.process_time() - processor
        print(json.dumps({"seconds": took}), flush=True)


def main() -> None:
    """Compares, or is one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="python of the peer's environment; without it only ours")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--exact", action="store_true", help="our exact backward too")
    parser.add_argument("--folder", default="train-layer-peer", help="for the peer's model")
    parser.add_argument("--side", choices=("ours-int8", "ours-exact", "theirs"))
    options = parser.parse_args()
    if options.side:
        make = theirs if options.side == "theirs" else ours
        serve(make(options.tokens, options.threads, options.side.removeprefix("ours-")))
        return
    given = ["--threads", str(options.threads), "--tokens", str(options.tokens),
             "--folder", options.folder]  # fmt: skip
    sides = {"ours-int8": sys.executable}
    if options.exact:
        sides["ours-exact"] = sys.executable
    if options.peer:
        sides["theirs"] = options.peer
    workers = {name: Worker(python, name, given) for name, python in sides.items()}
    found: dict[str, list[Seconds]] = {name: [] for name in workers}
    for _ in range(options.pairs):
        for name, worker in workers.items():
            found[name].append(worker.step())
    for worker in workers.values():
        worker.close()
    print(f"{options.tokens} tokens, {options.threads} threads, medians of {options.pairs}")
    for place, kind in enumerate(("wall", "processor")):
        for name, samples in found.items():
            own = [sample[place] for sample in samples]
            layer = statistics.median(own) / LAYERS
            speed = options.tokens / layer / 32
            text = f"{kind:<10}{name:<11}{layer:8.3f} s a layer{speed:7.2f} tokens/s of 32 layers"
            if options.peer and name != "theirs":
                pairs = zip(found["theirs"], own, strict=True)
                ratio = statistics.median(peer[place] / ours for peer, ours in pairs)
                text += f"{ratio:6.2f} times theirs"
            print(text)


if __name__ == "__main__":
    main()
