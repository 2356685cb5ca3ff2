"""A model whose weights, cache and buffers are each some ten megabytes, with a tokenizer."""

from pathlib import Path

from random_models import random_model

from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter


def write_wide_model(path: Path, stories: Path) -> Path:
    """Writes it; `stories` is the model that gives its tokenizer."""
    model = random_model(
        width=256, feed_forward=2048, heads=8, kv_heads=8, head_width=128, vocab=512, layers=4
    )
    with GGUFFile.open(stories) as donor, GGUFWriter(path) as writer:
        for key, value in model.metadata.items():
            writer.add(key, value)
        for key in donor.metadata:
            if key.startswith("tokenizer."):
                type, items = donor.metadata.type_of(key)
                writer.add(key, donor.metadata[key], type, items)
        for name, tensor in model.tensors.items():
            writer.declare(name, tensor.type, tensor.shape)
        for name, tensor in model.tensors.items():
            writer.write(name, tensor.data)
    return path
