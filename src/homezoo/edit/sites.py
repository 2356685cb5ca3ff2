"""Where a fact is written: the positions of its prompts at which a residual is added, and why.

`prompt_last`: one unit for each token of the object, at the token before it. `subject_last`: one
unit for the fact, at the last token of the subject. Objects of a relation that has many share the
units of the tokens with which they begin alike.
"""

from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Literal

from homezoo.edit.fact_record import owner_id
from homezoo.edit.facts import Fact
from homezoo.edit.reader import Reader
from homezoo.edit.relations import SLOT
from homezoo.errors import FactError

Position = Literal["prompt_last", "subject_last"]
POSITIONS: tuple[str, ...] = ("prompt_last", "subject_last")


@dataclass(frozen=True)
class Site:
    """One unit to find: what is to follow, as token id to share."""

    place: int  # number among the fact's units
    prompt: str  # for people
    target: dict[int, float]


@dataclass(frozen=True)
class Path:
    """One sequence that is read to find units: prompt and object less its last token.

    Rows that ask one thing in several contexts have one question's number.
    """

    tokens: tuple[int, ...]
    written: tuple[tuple[int, int], ...]  # position and number of the unit added there
    wanted: tuple[tuple[int, int, dict[int, float]], ...]  # position, question, what is to follow
    context: int  # 0: nothing before the prompt


@dataclass(frozen=True)
class Plan:
    """All that is read for one fact, or for several that are written at the same place."""

    fact: Fact
    sites: tuple[Site, ...]
    paths: tuple[Path, ...]
    others: tuple[Fact, ...] = ()  # that share the units

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All of them."""
        return (self.fact, *self.others)

    @property
    def id(self) -> str:
        """Whom the units belong to; depends on nothing but the facts."""
        return owner_id(self.facts)


def subject_end(reader: Reader, template: str, name: str, before: str = "") -> int:
    """Position of the last token of the subject's last mention in the template's prompt.

    FactError when it shares a token with what follows.
    """
    head, _, _ = template.rpartition(SLOT)
    until = reader.prompt(f"{head.replace(SLOT, name)}{name}", before)
    whole = reader.prompt(template.replace(SLOT, name), before)
    if whole[: len(until)] != until:
        raise FactError(
            f"in {template!r} the name {name!r} shares a token with what follows; "
            "put a space after {s}"
        )
    return len(until) - 1


def plan(
    reader: Reader,
    fact: Fact,
    templates: Items[str],
    position: Position,
    contexts: Items[str] = (),
) -> Plan:
    """The units of a fact and the sequences that say them, for each template and context."""
    sites: list[Site] = []
    paths: list[Path] = []
    questions = 0
    for template in templates:
        prompt = fact.prompt(template)
        objects = [tuple(reader.answer(prompt, target)) for target in fact.objects]
        shares = _shares(objects)
        nodes = {prefix: n for n, prefix in enumerate(shares)}
        start, first = len(sites), questions
        questions += len(nodes)
        if position == "prompt_last":
            sites += [
                Site(start + nodes[prefix], (prompt + reader.text(prefix)).rstrip(), follow)
                for prefix, follow in shares.items()
            ]
        else:
            sites.append(Site(start, prompt, shares[()]))
        for number, before in enumerate(("", *contexts)):
            head = reader.prompt(prompt, before)
            for target in fact.objects:
                ids = tuple(reader.answer(prompt, target, before))
                if ids not in objects:
                    raise FactError(
                        f"{target!r} has other tokens after {before[-20:]!r}; leave that context"
                    )
                last = len(head) - 1
                steps = range(len(ids))
                if position == "prompt_last":
                    written = tuple((last + n, start + nodes[ids[:n]]) for n in steps)
                else:
                    written = ((subject_end(reader, template, fact.name, before), start),)
                wanted = tuple((last + n, first + nodes[ids[:n]], shares[ids[:n]]) for n in steps)
                paths.append(Path((*head, *ids[:-1]), written, wanted, number))
    return Plan(fact, tuple(sites), tuple(paths))


def _shares(objects: Items[tuple[int, ...]]) -> dict[tuple[int, ...], dict[int, float]]:
    """For each beginning of an object, what follows it: a tree of the objects, shortest first.

    Of a token's share each object that goes on with it counts alike.
    """
    found: dict[tuple[int, ...], dict[int, float]] = {}
    for ids in objects:
        for n, id in enumerate(ids):
            follow = found.setdefault(ids[:n], {})
            follow[id] = follow.get(id, 0.0) + 1.0
    return {
        prefix: {id: count / sum(follow.values()) for id, count in follow.items()}
        for prefix, follow in sorted(found.items(), key=lambda item: len(item[0]))
    }
