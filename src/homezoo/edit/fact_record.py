"""Facts and units as a ledger stores them: JSON, hashes, and bytes of arrays."""

import hashlib
import json
from collections.abc import Sequence as Items
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from homezoo.edit.facts import Fact
from homezoo.edit.triples import LiteralValue
from homezoo.errors import EditError

_TUPLES = ("objects", "aliases", "accepted")


@dataclass(frozen=True, eq=False)
class Unit:
    """One thing to write: at this key, add this residual."""

    id: str
    fact: str  # the fact's id, or `owner_id` of those that share it
    place: int
    layer: int
    prompt: str
    target: dict[int, float]  # token id to its share of what is to follow
    key: np.ndarray  # float32 [K]
    residual: np.ndarray  # float32 [D]
    loss_before: float  # nats
    loss_after: float
    length: float  # |r| / |h|


def fact_id(fact: Fact) -> str:
    """SHA-256 of what is wanted, without where it came from: the same wish has the same id."""
    wish = [fact.subject, fact.predicate, fact.name, sorted(fact.objects), fact.operation]
    return hashlib.sha256(json.dumps(wish, ensure_ascii=False).encode()).hexdigest()


def draw_key(fact: Fact, salt: str) -> bytes:
    """Sorts facts as if by chance, always the same way; by subject and predicate alone."""
    return hashlib.sha256("\n".join([salt, *fact.key]).encode()).digest()


def owner_id(facts: Items[Fact]) -> str:
    """Whom units belong to: the id of one fact, or a hash of all facts that share them."""
    ids = sorted(map(fact_id, facts))
    return ids[0] if len(ids) == 1 else hashlib.sha256("\n".join(ids).encode()).hexdigest()


def unit_id(fact: str, place: int, profile: str) -> str:
    """SHA-256 of a fact's id, the unit's place in it and the profile it was computed under."""
    return hashlib.sha256(f"{fact}\n{place}\n{profile}".encode()).hexdigest()


def fact_to_json(fact: Fact) -> str:
    """All of a fact."""
    return json.dumps(asdict(fact), ensure_ascii=False, sort_keys=True)


def fact_from_json(text: str) -> Fact:
    """What `fact_to_json` wrote; EditError when it did not."""
    try:
        values: dict[str, Any] = json.loads(text)
        values |= {name: tuple(values[name]) for name in _TUPLES}
        values["targets"] = tuple(
            LiteralValue(**item) if isinstance(item, dict) else item for item in values["targets"]
        )
        return Fact(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise EditError(f"the ledger holds a fact that cannot be read: {error}") from None


def unit_to_row(unit: Unit) -> tuple[Any, ...]:
    """Values in the order of the table's columns."""
    target = json.dumps({str(token): share for token, share in sorted(unit.target.items())})
    arrays = [np.asarray(x, "<f4").tobytes() for x in (unit.key, unit.residual)]
    return (
        unit.id, unit.fact, unit.place, unit.layer, unit.prompt, target, *arrays,
        unit.loss_before, unit.loss_after, unit.length,
    )  # fmt: skip


def unit_from_row(row: tuple[Any, ...]) -> Unit:
    """What `unit_to_row` gave; EditError when it did not."""
    try:
        target = {int(token): float(share) for token, share in json.loads(row[5]).items()}
        key, residual = (np.frombuffer(data, "<f4") for data in row[6:8])
        id, fact, place, layer, prompt = row[:5]
        before, after, length = row[8:]
        return Unit(id, fact, place, layer, prompt, target, key, residual, before, after, length)
    except (ValueError, TypeError, AttributeError) as error:
        raise EditError(f"the ledger holds a unit that cannot be read: {error}") from None
