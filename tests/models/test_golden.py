"""The real small model writes its golden text, token for token, on the reference backend."""

from pathlib import Path

import pytest

from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.reference import compile_reference

# 200 tokens after BOS, greedy; llama2.c and llama.cpp both print it.
GOLDEN = """\
Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. \
She said, "I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she"""


def text_of(pieces: list[str]) -> str:
    """SentencePiece pieces as text: ▁ is a space, <0x0A> a byte, and the first space is no part."""
    return "".join(pieces).replace("▁", " ").replace("<0x0A>", "\n").removeprefix(" ")


@pytest.mark.parametrize("exact", [True, False])
def test_golden_text(stories_path: Path, exact: bool) -> None:
    with GGUFFile.open(stories_path) as file:
        pieces = file.metadata["tokenizer.ggml.tokens"]
        model = load_model(file)
        cache = KVCache.for_model(model.config, 256)
        sequence, run = Sequence(cache), compile_reference(model, cache, exact)
        new = [int(file.metadata["tokenizer.ggml.bos_token_id"])]
        answer = []
        for _ in range(200):
            new = [int(run(build_batch([(sequence, new)]))[0].argmax())]
            answer.append(new[0])
        assert text_of([pieces[token] for token in answer]) == GOLDEN
