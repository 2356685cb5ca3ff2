"""Trains the small models that edits are measured on, from scratch, and writes GGUF files.

Run: python bench/edit_train.py OUT_FOLDER [--architecture llama] [--subjects 400] [--style plain]
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edit_world import biography, document, make_world, ntriples, relation_file, words

from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.formats.tensor import Tensor
from homezoo.models.batch import pack_documents
from homezoo.models.decoder import Decoder
from homezoo.models.load import load_model
from homezoo.ops.autograd import AutogradOps
from homezoo.text.detokenize import byte_alphabet
from homezoo.text.tokenizer import Tokenizer

LAYERS, D, F, H, G, CONTEXT = 4, 128, 384, 4, 2, 256
NORMAL, CONTROL, USER = 1, 3, 4  # token types of llama.cpp
MUON_RATE, ADAM_RATE, MOMENTUM = 0.02, 5e-3, 0.95
OTHERS = 0.05  # weight of tokens that are no part of an object
NEWTON = (3.4445, -4.7750, 2.0315)  # Jordan 2024, Muon: coefficients of its Newton-Schulz step


class Memory:
    """A model file that is not written yet."""

    def __init__(self, metadata: dict[str, Any], shapes: dict[str, tuple[int, ...]], seed: int):
        draw = np.random.default_rng(seed)
        self.metadata = metadata
        self.arrays = {name: _start(name, shape, draw) for name, shape in shapes.items()}
        self.tensors = {
            name: Tensor(name, BlockType.F32, a.shape, a.reshape(-1, a.shape[-1]).view(np.uint8))
            for name, a in self.arrays.items()
        }


def _start(name: str, shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray:
    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    if "norm" in name:
        return np.ones(shape, np.float32)
    scale = 0.02 if "embd" in name or name == "output.weight" else shape[-1] ** -0.5
    return (draw.standard_normal(shape) * scale).astype(np.float32)


def metadata_of(architecture: str, vocabulary: list[str]) -> dict[str, Any]:
    """Sizes and a vocabulary of whole words, which llama.cpp reads too."""
    norm = "layer_norm_rms" if architecture == "llama" else "layer_norm"
    sizes: dict[str, Any] = {
        "context_length": CONTEXT, "embedding_length": D, "block_count": LAYERS,
        "feed_forward_length": F, "attention.head_count": H,
        "attention.head_count_kv": G if architecture == "llama" else H,
        f"attention.{norm}_epsilon": 1e-5,
    }  # fmt: skip
    letters = [*byte_alphabet(), "ĠĠ"]  # and what the one merge makes, as llama.cpp wants merges
    types = [CONTROL, *[NORMAL] * len(letters), *[USER] * len(vocabulary)]
    return {
        "general.architecture": architecture,
        **{f"{architecture}.{key}": value for key, value in sizes.items()},
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": ["<|end|>", *letters, *vocabulary],
        "tokenizer.ggml.token_type": np.array(types, np.int32),
        "tokenizer.ggml.merges": ["Ġ Ġ"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
    }


def shapes_of(architecture: str, tokens: int) -> dict[str, tuple[int, ...]]:
    """Every tensor's shape."""
    width = D // H * G
    gated = {"attn_q": (D, D), "attn_k": (width, D), "attn_v": (width, D), "attn_output": (D, D),
             "ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}  # fmt: skip
    plain = {"attn_qkv": (3 * D, D), "attn_output": (D, D), "ffn_up": (F, D), "ffn_down": (D, F)}
    parts = gated if architecture == "llama" else plain
    norms = {"attn_norm": (D,), "ffn_norm": (D,)}
    outside = {"token_embd": (tokens, D), "output_norm": (D,)}
    outside |= {
        "llama": {"output": (tokens, D)},
        "gpt2": {"position_embd": (CONTEXT, D)},
        "bloom": {"token_embd_norm": (D,)},
    }[architecture]
    named = outside | {
        f"blk.{layer}.{part}": shape
        for layer in range(LAYERS)
        for part, shape in (parts | norms).items()
    }
    shapes = {f"{name}.weight": shape for name, shape in named.items()}
    if architecture != "llama":
        shapes |= {f"{n}.bias": s[:1] for n, s in named.items() if "_embd" not in n or "norm" in n}
    return shapes


class Muon:
    """Orthogonal momentum for matrices inside the layers (Jordan 2024); Adam for the rest."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        inner = [p for n, p in parameters.items() if p.ndim == 2 and n.startswith("blk.")]
        rest = [p for n, p in parameters.items() if p.ndim != 2 or not n.startswith("blk.")]
        self.inner = [(p, torch.zeros_like(p)) for p in inner]
        self.adam = torch.optim.Adam(rest, lr=ADAM_RATE, betas=(0.9, 0.98))

    def step(self, share: float) -> None:
        """One step at this share of the full rate."""
        for group in self.adam.param_groups:
            group["lr"] = ADAM_RATE * share
        self.adam.step()
        with torch.no_grad():
            for parameter, moving in self.inner:
                moving.mul_(MOMENTUM).add_(parameter.grad)
                update = _orthogonal(parameter.grad + MOMENTUM * moving)
                size = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                parameter.sub_(MUON_RATE * share * size * update)


def _orthogonal(matrix: Any) -> Any:
    turned = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = turned / (turned.norm() + 1e-7)
    for _ in range(4):
        square = x @ x.T
        x = NEWTON[0] * x + (NEWTON[1] * square + NEWTON[2] * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def train(
    memory: Memory,
    documents: list[list[int]],
    sequences: int,
    answers: set[int],
    rate: float,
) -> float:
    """One pass over the documents; the share of right tokens among `answers` at the end.

    Who is talked about cannot be foreseen, so other tokens count little: their noise hides the
    rest.
    """
    model = load_model(memory)
    assert isinstance(model, Decoder)
    parameters = {n: torch.from_numpy(a).requires_grad_() for n, a in memory.arrays.items()}
    optimiser = Muon(parameters)
    steps = len(documents) // sequences
    smooth, begun = 0.0, time.process_time()
    for step in range(steps):
        group = documents[step * sequences : (step + 1) * sequences]
        targets = torch.tensor([t for d in group for t in [*d[1:], -1]])
        ops = AutogradOps(pack_documents(group), parameters, head_width=D // H)
        logits = model.forward(ops)
        losses = torch.nn.functional.cross_entropy(
            logits, targets, ignore_index=-1, reduction="none"
        )
        asked = torch.isin(targets, torch.tensor(sorted(answers)))
        loss = (losses * torch.where(asked, 1.0, OTHERS)).sum() / asked.sum()
        right = (logits.argmax(1) == targets)[asked].float().mean().item()
        for parameter in parameters.values():
            parameter.grad = None
        loss.backward()
        share = rate * min(1.0, step / 20) * (1 - step / steps)
        optimiser.step(share)
        smooth = right if not step else 0.95 * smooth + 0.05 * right
        if step % 100 == 0:
            seconds = time.process_time() - begun
            print(f"step {step} of {steps}: {smooth:.1%} right, {seconds:.0f} s of CPU", flush=True)
    return smooth


def write(path: Path, memory: Memory) -> None:
    """The model as an F32 file."""
    with GGUFWriter(path) as writer:
        for key, value in memory.metadata.items():
            writer.add(key, value)
        writer.write_tensors(memory.tensors.values())


def main() -> None:
    """Trains one model; beside it go its graph, its relation file and a text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--architecture", default="llama", choices=["llama", "gpt2", "bloom"])
    parser.add_argument("--subjects", type=int, default=400)
    parser.add_argument("--style", default="plain", choices=["plain", "biography"])
    parser.add_argument("--exposures", type=int, default=64, help="of each fact")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, help="a model that this wrote, to go on with")
    parser.add_argument("--rate", type=float, default=1.0, help="of all learning rates")
    parser.add_argument("--batch", type=int, default=16, help="documents of a step")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    world, draw = make_world(given.subjects), random.Random(given.seed)
    memory = Memory(metadata := metadata_of(given.architecture, words(world)),
                    shapes_of(given.architecture, len(metadata["tokenizer.ggml.tokens"])),
                    given.seed)  # fmt: skip
    if given.resume:
        with GGUFFile.open(given.resume) as held:
            for name, values in memory.arrays.items():
                values[:] = dequantize(BlockType.F32, held.tensors[name].data).reshape(values.shape)
    tokenizer = Tokenizer.from_metadata(metadata)
    tell = biography if given.style == "biography" else document
    per = 3 if given.style == "biography" else 2
    count = given.exposures * len(world.facts) // per
    texts = [tell(world, draw) for _ in range(count)]
    if given.style == "biography":  # both styles, so that all templates are known
        texts = [t if n % 2 else document(world, draw) for n, t in enumerate(texts)]
    documents = [tokenizer.encode(text, bos=True) for text in texts]
    objects = {
        word for listed in world.objects.values() for text in listed for word in text.split()
    }
    answers = {id for word in objects for id in tokenizer.encode(" " + word)}
    train(memory, documents, given.batch, answers, given.rate)
    given.out.mkdir(parents=True, exist_ok=True)
    write(given.out / "model.gguf", memory)
    (given.out / "graph.nt").write_text(ntriples(world))
    (given.out / "relations.toml").write_text(relation_file())
    (given.out / "text.txt").write_text("\n".join(texts[-4000:]))


if __name__ == "__main__":
    main()
