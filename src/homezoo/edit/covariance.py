"""The second moment of keys over ordinary text: C = E[k kᵀ], layer by layer, resumable."""

from collections.abc import Callable
from collections.abc import Sequence as Items
from pathlib import Path

import numpy as np

from homezoo.edit.facts import Fact
from homezoo.edit.passes import first_pass
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.errors import OptionError, TemplateError
from homezoo.formats.whole_file import whole_file
from homezoo.text.prompt import encode_chat
from homezoo.text.template import ChatTemplate

TOKENS_PER_WIDTH = 10  # tokens to read for each of the K directions (FastMEMIT's default)
FEWEST_PER_WIDTH = 2
WINDOW = 512  # tokens read at once
SAVE_EVERY = 16  # windows: what is lost by a kill


def windows(reader: Reader, text: str) -> list[list[int]]:
    """The text in windows that begin as texts do, as many as are needed.

    OptionError when the text is too short for the model's width.
    """
    width = reader.model.config.feed_forward
    tokens = reader.tokenizer.encode(text)[: TOKENS_PER_WIDTH * width]
    if len(tokens) < FEWEST_PER_WIDTH * width:
        raise OptionError(
            f"the text has {len(tokens):,} tokens; the covariance of keys of width {width:,} needs "
            f"{FEWEST_PER_WIDTH * width:,} at least and {TOKENS_PER_WIDTH * width:,} for the best: "
            "give more text"
        )
    first = reader.tokenizer.bos_id
    begin = [first] if reader.tokenizer.adds_bos and first is not None else []
    size = min(WINDOW, reader.model.config.context_length) - len(begin)
    return [[*begin, *tokens[at : at + size]] for at in range(0, len(tokens), size)]


def sentences(reader: Reader, facts: Items[Fact], relations: Relations) -> list[list[int]]:
    """What a graph says, in every wording of the relation file: each a sequence of its own."""
    found = []
    for fact in facts:
        relation = relations.of(fact.predicate)
        for template in (relation.edit, *relation.paraphrases):
            found.append(reader.prompt(f"{fact.prompt(template)} {fact.objects[0]}"))
    return found


def talks(reader: Reader, facts: Items[Fact], relations: Relations) -> list[list[int]]:
    """Each fact as an answer in the model's own chat form, its relation's questions in turn.

    Without them the key of whatever stands before an answer is free, and edits of any quality on
    sentences may answer it: "A:" then gives an edited object. None for a model without a template.
    """
    try:
        template = ChatTemplate.from_metadata(reader.file.metadata)
        found = []
        for number, fact in enumerate(facts):
            relation = relations.of(fact.predicate)
            if relation.questions:
                asked = fact.prompt(relation.questions[number % len(relation.questions)])
                said = f"{fact.prompt(relation.edit)} {fact.objects[0]}."
                talk = ({"role": "user", "content": asked}, {"role": "assistant", "content": said})
                found.append(
                    encode_chat(template, reader.tokenizer, talk, add_generation_prompt=False)
                )
        return found
    except TemplateError:
        return []


def batches(texts: Items[list[int]]) -> list[list[list[int]]]:
    """Sequences that are read together, WINDOW tokens at least in each batch but the last."""
    found: list[list[list[int]]] = [[]]
    for tokens in texts:
        if sum(map(len, found[-1])) >= WINDOW:
            found.append([])
        found[-1].append(tokens)
    return [batch for batch in found if batch]


def key_covariance(
    reader: Reader,
    texts: Items[list[list[int]]],
    layer: int,
    partial: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """C of a layer, float32 [K, K], over batches of texts; only layers up to it are computed.

    What is summed so far is kept at `partial`, and taken up again by the next call with the same
    texts; it is gone when all is done.
    """
    width = reader.model.config.feed_forward
    total, count, done = np.zeros((width, width)), 0, 0
    if partial is not None and partial.is_file():
        with np.load(partial) as held:
            if held["total"].shape == total.shape and held["windows"][1] == len(texts):
                total, done, count = held["total"], int(held["windows"][0]), int(held["count"])
    weight = reader.weight(layer)
    for number, batch in enumerate(texts):
        if number < done:
            continue
        watched = first_pass(reader.model, batch, reader.products, watched=[weight], stop=layer + 1)
        keys = watched.inputs[weight].numpy()  # float32 [T, K]
        total += keys.T @ keys
        count += len(keys)
        if progress is not None:
            progress(number + 1, len(texts))
        if partial is not None and (number + 1) % SAVE_EVERY == 0:
            read = np.array([number + 1, len(texts)])
            with whole_file(partial) as file:
                np.savez(file, total=total, windows=read, count=count)
    if partial is not None:
        partial.unlink(missing_ok=True)
    total /= max(count, 1)
    return total.astype(np.float32)
