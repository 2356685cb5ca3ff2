"""How an edited model goes on writing: fluency and consistency of texts, beside those of the base.

Fluency is the entropy of a text's n-grams: it falls when a model begins to repeat itself.
Consistency is how much a text about an edited subject has the words of texts about others that
truly have the new object (Meng et al. 2022a, section 4; the references here are the graph's own
sentences).
"""

import re
from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass

from homezoo.edit.ask import Asker, Pair
from homezoo.edit.fact_record import draw_key
from homezoo.edit.facts import Fact
from homezoo.edit.intervals import Mean, consistency, fluency, mean_of
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations

LENGTH = 100  # tokens of a text
REFERENCES = 40  # sentences for each text, at most
WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Written:
    """Means over texts of one model."""

    fluency: Mean
    consistency: Mean


@dataclass(frozen=True)
class Texts:
    """Of the base and of the edited model, on the same prompts."""

    base: Written
    edited: Written
    count: int
    shown: tuple[str, str]  # the edited model's text that repeats itself most: its prompt and it


def measure_texts(
    reader: Reader,
    deltas: Mapping[str, Pair],
    edits: Items[Fact],
    known: Items[Fact],
    relations: Relations,
    count: int,
    templates: int = 1,
) -> Texts | None:
    """Texts about `count` edited subjects at most, in wordings that were not used to edit.

    None without an edit to write about.
    """
    chosen = sorted(
        (f for f in edits if f.operation == "assert"), key=lambda fact: draw_key(fact, "texts")
    )[:count]
    if not chosen:
        return None
    prompts = [_prompt(fact, relations, templates) for fact in chosen]
    ids = [reader.prompt(prompt) for prompt in prompts]
    changed = {fact.key for fact in edits}
    kept = [fact for fact in known if fact.key not in changed]
    references = [_references(fact, kept, relations) for fact in chosen]
    written: list[Written] = []
    texts: list[str] = []
    flows: list[float] = []
    for side in ({}, deltas):
        texts = [reader.text(found) for found in Asker(reader, side).continue_greedily(ids, LENGTH)]
        words = [WORDS.findall(text) for text in texts]
        alike = [consistency(mine, theirs) for mine, theirs in zip(words, references, strict=True)
                 if theirs]  # fmt: skip
        flows = [fluency(mine) for mine in words]
        written.append(Written(mean_of(flows), mean_of(alike)))
    poorest = flows.index(min(flows))
    return Texts(written[0], written[1], len(chosen), (prompts[poorest], texts[poorest]))


def _prompt(fact: Fact, relations: Relations, templates: int) -> str:
    relation = relations.of(fact.predicate)
    held_out = relation.split(templates)[1] if relation.paraphrases else ()
    return fact.prompt((*held_out, relation.edit)[0])


def _references(fact: Fact, known: Items[Fact], relations: Relations) -> list[list[str]]:
    """Words of the sentences of others that truly have one of the fact's objects."""
    found = []
    for other in known:
        if other.predicate == fact.predicate and set(other.objects) & set(fact.objects):
            relation = relations.of(other.predicate)
            for template in (relation.edit, *relation.paraphrases):
                found.append(WORDS.findall(f"{other.prompt(template)} {other.objects[0]}."))
    return found[:REFERENCES]
