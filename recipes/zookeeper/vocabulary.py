"""Makes the model that training begins from: a vocabulary learned from the corpus, and its shape.

    python recipes/zookeeper/vocabulary.py --corpus stage1.jsonl --out start.gguf

The weights are zeros; `homezoo train --full --scratch` draws the first ones.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_write import GGUFWriter

VOCABULARY = 2048
WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD, CONTEXT = 256, 4, 4, 2, 1024, 512
END = "<|end|>"
# A passage to read comes before its question, on lines of its own.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + '<|end|>' }}{% elif message['role'] == 'user' %}"
    "{{ 'Q: ' + message['content'] + '\\nA:' }}{% endif %}{% endfor %}"
)
NORMAL, CONTROL = 1, 3  # token types of llama.cpp


def learn_vocabulary(texts: list[str]) -> tuple[list[str], list[str]]:
    """Tokens in order of their ids (bytes first, END last) and merges, by byte-level BPE."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return [*tokens, END], [
        pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]
    ]


def texts_of(path: Path) -> list[str]:
    rows = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return [row.get("text") or row["prompt"] + row["completion"] for row in rows]


def shapes() -> dict[str, tuple[int, ...]]:
    """Tensors of the model, whose output is tied to its embedding."""
    kv = WIDTH // HEADS * KV_HEADS
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCABULARY, WIDTH)}
    for i in range(LAYERS):
        block = {
            "attn_norm": (WIDTH,),
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (kv, WIDTH),
            "attn_v": (kv, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_norm": (WIDTH,),
            "ffn_gate": (FEED_FORWARD, WIDTH),
            "ffn_up": (FEED_FORWARD, WIDTH),
            "ffn_down": (WIDTH, FEED_FORWARD),
        }
        found |= {f"blk.{i}.{name}.weight": shape for name, shape in block.items()}
    return found | {"output_norm.weight": (WIDTH,)}


def write_start(path: Path, tokens: list[str], merges: list[str]) -> None:
    """A GGUF file with everything but trained weights."""
    end = len(tokens) - 1
    metadata = {
        "general.architecture": "llama",
        "general.name": "zookeeper",
        "general.description": "Knows the animals of an invented zoo; for trying homezoo",
        "general.license": "cc0-1.0",
        "general.file_type": 0,
        "llama.vocab_size": len(tokens),
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FEED_FORWARD,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": np.array([NORMAL] * end + [CONTROL], np.int32),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": end,
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    with GGUFWriter(path) as writer:
        for key, value in metadata.items():
            writer.add(key, value)
        for name, shape in shapes().items():
            writer.declare(name, BlockType.F32, shape)
        for name, shape in shapes().items():
            writer.write(name, np.zeros(shape, np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write_start(options.out, *learn_vocabulary(texts_of(options.corpus)))


if __name__ == "__main__":
    main()
