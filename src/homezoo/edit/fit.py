"""Measures a model's editing profile: where it holds facts, what its keys look like, which λ."""

import hashlib
import re
from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.edit.ask import Asker
from homezoo.edit.facts import Fact
from homezoo.edit.grade import known_facts
from homezoo.edit.profile import Measured, Profile, Protected
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.sites import Position, subject_end
from homezoo.edit.wishes import Wishes
from homezoo.errors import OptionError

Progress = Callable[[str, int, int], None]
CONTEXT_WORDS = 3, 10  # fewest and most words of a text before the prompt
DRIFT_TOKENS = 5120
KEYS_AT_ONCE = 2048  # tokens of one pass


def fit_profile(
    reader: Reader,
    text: str,
    facts: Items[Fact],
    relations: Relations,
    folder: Path,
    wishes: Wishes | None = None,
    progress: Progress | None = None,
) -> Measured:
    """The profile of a model, with its arrays; partial sums are kept in `folder`.

    `text` is ordinary text of what the model will read. `facts` are what it may know: those that
    it answers right say where facts are, are protected, and choose λ. OptionError when they are too
    few and `wishes` does not say what they would have.
    """
    from homezoo.edit.covariance import batches, key_covariance, sentences, talks, windows
    from homezoo.edit.localise import find_pairs, localise

    wishes = wishes or Wishes()
    tell = progress or (lambda stage, done, total: None)
    texts = windows(reader, text)
    known = known_facts(reader, facts, relations, Asker(reader))
    measured: dict[str, Any] = {"known": len(known), "asked": len(facts)}
    position, layers = wishes.position, wishes.layers
    if position is None or layers is None:
        found = localise(reader, find_pairs(reader, known, relations), _stage(tell, "localising"))
        measured |= {"rates": found.rates, "pairs": found.pairs}
        position, layers = position or found.position, layers or (found.layer,)
    if max(layers) >= reader.layers:
        raise OptionError(f"layer {max(layers)}; the model has 0 to {reader.layers - 1}")
    profile = _profile(reader, text, wishes, position, tuple(layers), measured)  # checks wishes
    covariances, protected = {}, {}
    # The graph's own sentences too: their other words must not be changed along with the answers.
    said = sentences(reader, known, relations) + talks(reader, known, relations)
    read = batches([*texts, *said])
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    for layer in layers:
        partial = folder / f"partial-{layer}-{digest}.npz"
        stage = _stage(tell, f"covariance of layer {layer}")
        covariances[layer] = key_covariance(reader, read, layer, partial, stage)
        if known:
            protected[layer] = protected_keys(reader, known, relations, position, layer)
    tokens = sum(len(sequence) for batch in read for sequence in batch)
    profile = replace(profile, tokens=tokens)
    drift = np.array([id for part in texts for id in part][:DRIFT_TOKENS], np.int32)
    whole = Measured(profile, covariances, protected, tuple(known), drift)
    if wishes.strength is None or wishes.protected is None:
        from homezoo.edit.sweep import sweep

        whole = sweep(reader, whole, relations, wishes, tell)
    return whole


def _profile(
    reader: Reader,
    text: str,
    wishes: Wishes,
    position: Position,
    layers: tuple[int, ...],
    measured: dict[str, Any],
) -> Profile:
    """Settings before any trial; OptionError for what cannot be wished."""
    return Profile(
        base=reader.identity.weights,
        architecture=reader.model.config.architecture,
        width=reader.model.config.feed_forward,
        position=position,
        layers=layers,
        strength=float(wishes.planned) if wishes.strength is None else wishes.strength,
        contexts=tuple(choose_contexts(reader, text, wishes.contexts)),
        templates=wishes.templates,
        method=wishes.method,
        spread=wishes.spread,
        gain=1.0 if wishes.gain is None else wishes.gain,
        protected=wishes.protected or 0.0,
        search=wishes.search,
        measured=measured,
    )


def choose_contexts(reader: Reader, text: str, count: int) -> list[str]:
    """Short sentences of the text that can stand before any prompt."""
    found: list[str] = []
    low, high = CONTEXT_WORDS
    for sentence in re.findall(r"[^.!?\n]+[.!?]", text[: 1 << 20]):
        sentence = " ".join(sentence.split())
        words = len(sentence.split())
        if low <= words <= high and sentence not in found:
            found.append(sentence)
    step = max(1, len(found) // max(count, 1))
    return found[::step][:count]


def protected_keys(
    reader: Reader, known: Items[Fact], relations: Relations, position: Position, layer: int
) -> Protected:
    """Keys at the places where the known facts would be written, on the untouched base."""
    from homezoo.edit.passes import first_pass

    sequences, places = [], []
    for fact in known:
        template = relations.of(fact.predicate).edit
        prompt = fact.prompt(template)
        head = reader.prompt(prompt)
        answer = reader.answer(prompt, fact.objects[0])
        sequences.append([*head, *answer[:-1]])
        if position == "prompt_last":
            places.append([len(head) - 1 + n for n in range(len(answer))])
        else:
            places.append([subject_end(reader, template, fact.name)])
    weight, keys, owners, at = reader.weight(layer), [], [], 0
    while at < len(sequences):
        end, tokens = at, 0
        while end < len(sequences) and (end == at or tokens + len(sequences[end]) <= KEYS_AT_ONCE):
            tokens += len(sequences[end])
            end += 1
        part = first_pass(
            reader.model, sequences[at:end], reader.products, watched=[weight], stop=layer + 1
        )
        rows = [part.row(n, place) for n in range(end - at) for place in places[at + n]]
        keys.append(part.inputs[weight][rows].numpy())
        owners += [at + n for n in range(end - at) for _ in places[at + n]]
        at = end
    return Protected(np.concatenate(keys), np.array(owners, np.int64))


def with_settings(measured: Measured, **changes: Any) -> Measured:
    """The same arrays under other settings."""
    return replace(measured, profile=replace(measured.profile, **changes))


def _stage(tell: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(name, done, total)
