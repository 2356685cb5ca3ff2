"""Where a model holds its facts: at which position and layer an answer can be swapped.

The state of one prompt is put into another of the same form, after each layer in turn; where the
answer becomes the other's, the fact has been read by then (interchange, Geiger et al. 2021).
"""

from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Any

import numpy as np

from homezoo.edit.facts import Fact
from homezoo.edit.passes import FirstPass, TailOps, first_pass
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.sites import Position, subject_end
from homezoo.errors import OptionError

ENOUGH = 0.9  # share of answers that must change at the subject
# and at the prompt's end: with 0.90 the fact was not yet read by other wordings (docs/LOG.md)
READ = 0.95
LOWER_PART = 0.6  # of the layers, in which a subject's position may be chosen
FEWEST_PAIRS, MOST_PAIRS = 10, 60


@dataclass(frozen=True)
class Pair:
    """Two prompts of equal length that differ in the subject."""

    tokens: tuple[int, ...]
    others: tuple[int, ...]
    subject: int  # position of the subject's last token, the same in both
    answer: int  # first token of the other's object


@dataclass(frozen=True)
class Location:
    """Where to write, and what was measured: share of changed answers by position and layer."""

    position: Position
    layer: int
    rates: dict[str, list[float]]
    pairs: int


def find_pairs(reader: Reader, facts: Items[Fact], relations: Relations) -> list[Pair]:
    """Pairs of known facts of one relation whose prompts have one form and other first tokens."""
    forms: dict[tuple[str, int, int], list[tuple[tuple[int, ...], int]]] = {}
    for fact in facts:
        template = relations.of(fact.predicate).edit
        prompt = fact.prompt(template)
        tokens = tuple(reader.prompt(prompt))
        end = subject_end(reader, template, fact.name)
        first = reader.answer(prompt, fact.objects[0])[0]
        forms.setdefault((fact.predicate, len(tokens), end), []).append((tokens, first))
    pairs = []
    for (_, _, end), members in sorted(forms.items()):
        for (tokens, mine), (others, theirs) in zip(members, members[1:] + members[:1],
                                                    strict=True):  # fmt: skip
            if mine != theirs:
                pairs.append(Pair(tokens, others, end, theirs))
    step = max(1, len(pairs) // MOST_PAIRS)
    return pairs[::step][:MOST_PAIRS]


def localise(
    reader: Reader, pairs: Items[Pair], progress: Callable[[int, int], None] | None = None
) -> Location:
    """The position and layer to write at. OptionError when there are too few pairs, or nowhere."""
    if len(pairs) < FEWEST_PAIRS:
        raise OptionError(
            f"{len(pairs)} pairs of known facts have prompts of one form; at least {FEWEST_PAIRS} "
            "are needed to find where the model holds facts: give a graph that it knows, or "
            "--position and --layer"
        )
    layers = reader.layers
    one = _read(reader, [pair.tokens for pair in pairs])
    two = _read(reader, [pair.others for pair in pairs])
    rates: dict[str, list[float]] = {"subject_last": [], "prompt_last": []}
    for layer in range(layers):
        for name, found in rates.items():
            places = [p.subject if name == "subject_last" else len(p.tokens) - 1 for p in pairs]
            found.append(_swapped(reader, pairs, one, two, layer, places))
        if progress is not None:
            progress(layer + 1, layers)
    position, layer = choose(rates)
    return Location(position, layer, rates, len(pairs))


def choose(rates: dict[str, list[float]]) -> tuple[Position, int]:
    """subject_last in the last lower layer that still holds it, else prompt_last in the first.

    After layer 0 a subject's state is little more than its name, and to swap names proves nothing:
    edits there changed everything about the subject. So it does not count (docs/LOG.md).
    """
    subject, prompt = rates["subject_last"], rates["prompt_last"]
    low = [n for n, r in enumerate(subject[: int(LOWER_PART * len(subject))]) if n and r >= ENOUGH]
    if low:
        return "subject_last", low[-1]
    held = [n for n, r in enumerate(prompt[:-1]) if r >= READ]
    if held:
        return "prompt_last", held[0]
    if len(prompt) > 1 and prompt[-2] >= ENOUGH:  # the last layer in which writing has effects
        return "prompt_last", len(prompt) - 2
    raise OptionError(
        f"no layer changes the answer in {READ:.0%} of the pairs (best: subject "
        f"{max(subject):.0%}, prompt {max(prompt):.0%}); give --position and --layer"
    )


def _read(reader: Reader, sequences: Items[Items[int]]) -> FirstPass:
    return first_pass(
        reader.model, sequences, reader.products, states=range(1, reader.layers + 1), keeps=True
    )


def _swapped(
    reader: Reader, pairs: Items[Pair], one: FirstPass, two: FirstPass, layer: int,
    places: Items[int],
) -> float:  # fmt: skip
    """Share of pairs whose answer becomes the other's when the state after `layer` does."""
    import torch

    model = reader.model
    ops = TailOps(one, places, model.config.head_width, reader.products)
    entering: Any = one.states[layer + 1][torch.from_numpy(ops.rows)].clone()
    rows = [one.row(n, place) for n, place in enumerate(places)]  # the same in both passes
    entering[[ops.place(row) for row in rows]] = two.states[layer + 1][rows]
    last = [ops.place(one.row(n, len(pair.tokens) - 1)) for n, pair in enumerate(pairs)]
    with torch.no_grad():
        states = model.through(ops, entering, layer + 1)[last]
        said = model.logits(ops, model.finish(ops, states)).argmax(1).numpy()
    return float(np.mean(said == np.array([pair.answer for pair in pairs])))
