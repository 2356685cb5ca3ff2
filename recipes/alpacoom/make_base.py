"""A tiny model of BLOOM's architecture with fresh weights, and stories for it to learn from.

    python recipes/alpacoom/make_base.py OUT_FOLDER

writes OUT_FOLDER/untaught.gguf (1 million weights; the vocabulary of the bundled storyteller) and
OUT_FOLDER/stories.txt (what the storyteller tells, 400 stories). docs/alpacoom.md goes on from
there. Everything is made here, so nothing is fetched and the licences are our own and MIT.
"""

import argparse
from pathlib import Path

import numpy as np

from homezoo import STORIES, GenerationOptions, GGUFFile, Model
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_write import GGUFWriter

WIDTH, INNER, HEADS, LAYERS, CONTEXT = 128, 512, 8, 4, 512
COUNT, TOKENS, TOGETHER = 400, 180, 20  # stories, tokens of each, told side by side


def shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the file and its shape."""
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, WIDTH)}
    for name in ("token_embd_norm", "output_norm"):
        found |= {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
    parts = {
        "attn_norm": (WIDTH,),
        "attn_qkv": (3 * WIDTH, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_norm": (WIDTH,),
        "ffn_up": (INNER, WIDTH),
        "ffn_down": (WIDTH, INNER),
    }
    for layer in range(LAYERS):
        for name, shape in parts.items():
            found[f"blk.{layer}.{name}.weight"] = shape
            found[f"blk.{layer}.{name}.bias"] = shape[:1]
    return found


def write_model(path: Path) -> None:
    """Norms of one, biases of zero, small random weights."""
    random = np.random.default_rng(0)
    with GGUFFile.open(STORIES) as stories, GGUFWriter(path) as writer:
        vocabulary = stories.tensors["token_embd.weight"].shape[0]
        writer.add("general.architecture", "bloom")
        writer.add("general.name", "Tiny BLOOM of homezoo's stories")
        writer.add("general.license", "apache-2.0")
        writer.add("general.base_model.count", 1)
        writer.add("general.base_model.0.name", "karpathy/tinyllamas")
        kept = [key for key in stories.metadata if not key.startswith("tokenizer.")]
        writer.copy_metadata(stories.metadata, kept)
        sizes = {
            "context_length": CONTEXT,
            "embedding_length": WIDTH,
            "feed_forward_length": INNER,
            "block_count": LAYERS,
            "attention.head_count": HEADS,
            "attention.head_count_kv": HEADS,
            "vocab_size": vocabulary,
        }
        for key, value in sizes.items():
            writer.add(f"bloom.{key}", value)
        writer.add("bloom.attention.layer_norm_epsilon", 1e-5)
        tensors = shapes(vocabulary)
        for name, shape in tensors.items():
            writer.declare(name, BlockType.F32, shape)
        for name, shape in tensors.items():
            if len(shape) == 2:
                writer.write(name, random.standard_normal(shape, np.float32) * np.float32(0.02))
            else:
                writer.write(name, np.full(shape, float(name.endswith("weight")), np.float32))


def write_stories(path: Path) -> None:
    """What the storyteller says at temperature 1, each story from a seed of its own."""
    told = []
    with Model.open(STORIES, parallel=TOGETHER) as model:
        bos = model.tokenizer.bos_id
        assert bos is not None
        for first in range(0, COUNT, TOGETHER):
            seeds = range(first, first + TOGETHER)
            each = [GenerationOptions(seed=seed, speculate="off") for seed in seeds]
            prompts = [[bos]] * TOGETHER
            answers = model.generate_many(prompts, each, temperature=1.0, max_tokens=TOKENS)
            told += [answer.text.strip() for answer in answers]
    path.write_text("\n\n".join(told) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "untaught.gguf")
    write_stories(folder / "stories.txt")
    print(f"{folder}: untaught.gguf and stories.txt")


if __name__ == "__main__":
    main()
