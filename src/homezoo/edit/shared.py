"""Facts that are written at the same place: one residual must say all of them.

At subject_last the tokens up to the subject are often the same in several relations ("Leo lives
in", "Leo eats"), so the keys are the same too. Two residuals for one key would be averaged by least
squares, and both facts would fail; so one residual is sought for all facts of such a subject
together (MEMIT-Merge, Dong et al. 2025).
"""

from collections.abc import Sequence as Items
from dataclasses import replace

from homezoo.edit.fact_record import fact_id
from homezoo.edit.sites import Path, Plan, Site

Head = tuple[int, ...]  # the tokens up to a unit, without a context: what its key depends on


def merge_shared(plans: Items[Plan]) -> list[Plan]:
    """The plans; those that share a unit's tokens become one, whatever their order was."""
    heads = [_heads(plan) for plan in plans]
    first: dict[Head, int] = {}
    root = list(range(len(plans)))

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    for number, mine in enumerate(heads):
        for head in mine:
            root[find(number)] = find(first.setdefault(head, number))
    groups: dict[int, list[int]] = {}
    for number in range(len(plans)):
        groups.setdefault(find(number), []).append(number)
    return [_one([plans[n] for n in members], [heads[n] for n in members])
            for members in groups.values()]  # fmt: skip


def _heads(plan: Plan) -> list[Head]:
    """Of each unit."""
    found: dict[int, Head] = {}
    for path in plan.paths:
        if path.context == 0:
            found |= {unit: path.tokens[: position + 1] for position, unit in path.written}
    return [found[number] for number in range(len(plan.sites))]


def _one(plans: list[Plan], heads: list[list[Head]]) -> Plan:
    """One plan of several; a plan whose units all differ stays as it is."""
    distinct = sorted({head for mine in heads for head in mine})
    if len(plans) == 1 and len(distinct) == len(heads[0]):
        return plans[0]
    order = sorted(range(len(plans)), key=lambda n: fact_id(plans[n].fact))
    place = {head: number for number, head in enumerate(distinct)}
    prompts: list[list[Site]] = [[] for _ in distinct]
    paths: list[Path] = []
    questions = 0
    for n in order:
        unit = [place[head] for head in heads[n]]
        for site in plans[n].sites:
            prompts[unit[site.place]].append(site)
        for path in plans[n].paths:
            written = tuple(dict.fromkeys((at, unit[old]) for at, old in path.written))
            wanted = tuple((at, questions + q, target) for at, q, target in path.wanted)
            paths.append(replace(path, written=written, wanted=wanted))
        questions += 1 + max(q for path in plans[n].paths for _, q, _ in path.wanted)
    sites = tuple(_site(number, group) for number, group in enumerate(prompts))
    facts = [plans[n].fact for n in order]
    return Plan(facts[0], sites, tuple(paths), tuple(facts[1:]))


def _site(place: int, group: list[Site]) -> Site:
    """For people: every prompt, and what is to follow in equal shares."""
    target: dict[int, float] = {}
    for site in group:
        for token, share in site.target.items():
            target[token] = target.get(token, 0.0) + share / len(group)
    return Site(place, " / ".join(dict.fromkeys(site.prompt for site in group)), target)
