"""The vocabulary of a random-weight model: copied from a GGUF file, or made up.

Used by make_models.py.
"""

from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase, printable

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter

SPACE = "\u2581"  # what SentencePiece writes for a space
# Token types of llama.cpp (llama_token_type).
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def add_vocabulary(writer: GGUFWriter, path: Path | None, size: int) -> None:
    """Adds the `tokenizer.*` metadata of the file at `path`, or of a made vocabulary of `size`."""
    if path is None:
        add_made_vocabulary(writer, size)
        return
    with GGUFFile.open(path) as file:
        found = len(file.metadata["tokenizer.ggml.tokens"])
        if found != size:
            raise GGUFError(f"{path} has {found} tokens; the model's shape needs {size}")
        others = [key for key in file.metadata if not key.startswith("tokenizer.")]
        writer.copy_metadata(file.metadata, skip=others)


def made_pieces(size: int) -> list[str]:
    """`size` different pieces: characters, then letter groups of 2 to 4, with and without a space.

    Each group's shorter prefixes come before it, so that merging characters can reach it.
    """
    pieces = [SPACE, *(character for character in printable if character.isprintable())]
    pieces.remove(" ")
    groups = (
        "".join(letters) for n in (1, 2, 3, 4) for letters in product(ascii_lowercase, repeat=n)
    )
    grown = (piece for group in groups for piece in (SPACE + group, group))
    known = set(pieces)
    pieces += islice((piece for piece in grown if piece not in known), size - len(pieces))
    return pieces


def add_made_vocabulary(writer: GGUFWriter, size: int) -> None:
    """A SentencePiece-style vocabulary with byte fallback, as LLaMA's is laid out."""
    head = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = head + made_pieces(size - len(head))
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (size - len(head))]
    scores = np.zeros(size, dtype=np.float32)
    scores[len(head) :] = -np.arange(size - len(head))  # earlier pieces merge first
    writer.add("tokenizer.ggml.model", "llama")
    writer.add("tokenizer.ggml.pre", "default")
    writer.add("tokenizer.ggml.tokens", tokens)
    writer.add("tokenizer.ggml.scores", scores)
    writer.add("tokenizer.ggml.token_type", np.array(types, dtype=np.int32))
    writer.add("tokenizer.ggml.bos_token_id", 1)
    writer.add("tokenizer.ggml.eos_token_id", 2)
    writer.add("tokenizer.ggml.unknown_token_id", 0)
    writer.add("tokenizer.ggml.add_bos_token", True)
    writer.add("tokenizer.ggml.add_eos_token", False)
