"""Where facts are written: their plans by layer, as a profile wants them."""

import hashlib
from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import replace

from homezoo.edit.fact_record import fact_id
from homezoo.edit.facts import Fact
from homezoo.edit.profile import Profile
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.shared import merge_shared
from homezoo.edit.sites import Plan, plan


def plan_facts(
    reader: Reader, facts: Items[Fact], profile: Profile, relations: Relations
) -> dict[int, list[Plan]]:
    """Where each fact is to be written, by layer; facts at the same place share a plan.

    What is suppressed is edited towards the neutral answer.
    """
    plans: dict[int, list[Plan]] = {layer: [] for layer in profile.layers}
    for fact in facts:
        relation = relations.of(fact.predicate)
        templates, _ = relation.split(profile.templates)
        wanted = fact
        if fact.operation == "suppress":
            wanted = replace(fact, objects=(relation.neutral,))
        made = plan(reader, wanted, templates, profile.position, profile.contexts)
        plans[_layer(profile, fact)].append(replace(made, fact=fact))  # its id is that of the wish
    if profile.position == "subject_last":
        return {layer: merge_shared(some) for layer, some in plans.items()}
    return plans


def owners_of(plans: Mapping[int, Items[Plan]]) -> dict[str, tuple[Fact, ...]]:
    """Whom the plans' units belong to, by id: the facts of each plan."""
    return {plan.id: plan.facts for some in plans.values() for plan in some}


def _layer(profile: Profile, fact: Fact) -> int:
    """By the fact alone, or by its subject, whose facts must be written together."""
    if profile.position == "subject_last":
        return profile.layer_of(hashlib.sha256(fact.subject.encode()).hexdigest())
    return profile.layer_of(fact_id(fact))
