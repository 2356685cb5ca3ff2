"""What may be done with a model: the strictest answer of everything it is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from homezoo.formats.adapter_origin import DATA_LICENCE_KEY, UNKNOWN_LICENCE, Licences
from homezoo.zoo.licence_table import AND, Answer, Permits
from homezoo.zoo.lineage import Link, trace

USES = tuple(field.name for field in fields(Permits))
NOTE = "a summary, not legal advice: the licences' own texts decide"


def combine(chain: Sequence[Link]) -> Permits:
    """The strictest answer of the chain for each use; all unknown for an empty one."""
    if not chain:
        return Permits(*[Answer.UNKNOWN] * len(USES))
    return Permits(*(max(getattr(link.permits, use) for link in chain) for use in USES))


def expression(chain: Sequence[Link]) -> str:
    """Every licence of the chain as one SPDX expression, `unknown` where one link's is."""
    ids: dict[str, None] = {}
    for link in chain:
        if link.licence is None:
            return UNKNOWN_LICENCE
        ids |= dict.fromkeys(link.licence.id.split(AND))
    return AND.join(ids) or UNKNOWN_LICENCE


def made_from(
    metadata: Mapping[str, Any],
    card: Mapping[str, Any],
    name: str,
    data: str | None = None,
    data_licence: str | None = None,
) -> Licences:
    """Licences of what is made from a model, by `trace`'s arguments, and a data set or none.

    `data_licence` is what the user states of `data`; what is known of a data set of that name
    holds beside it. Words of the user that are no known licence are kept, and `whole` is unknown.
    """
    base = trace(metadata, card, name)
    if data is None:
        return Licences(expression(base), None, expression(base))
    keys = {"general.dataset.0.name": data, DATA_LICENCE_KEY: data_licence}
    taught = trace(keys, {}, data)[:-1]  # without the model of these keys, which is none
    if data_licence:
        taught.append(Link("data", data, data_licence, None))
    found = expression(taught)
    if found == UNKNOWN_LICENCE and all(link.stated for link in taught):
        found = ", ".join(dict.fromkeys(str(link.stated) for link in taught))
    return Licences(expression(base), found, expression([*base, *taught]))


def report(chain: Sequence[Link]) -> dict[str, Any]:
    """Everything `homezoo licence` says about a chain, ready for JSON."""
    permits = combine(chain)
    obligations: dict[str, None] = {}
    for link in chain:
        obligations |= dict.fromkeys(link.licence.obligations if link.licence else ())
    return {
        "chain": [_describe(link) for link in chain],
        "permits": _answers(permits),
        "because": {use: _because(chain, use) for use in USES},
        "obligations": list(obligations),
        "unknown": [link.name for link in chain if link.licence is None],
        "note": NOTE,
    }


def short_licence(stated: str | None) -> str:
    """One line about a licence that is stated, for a table: `apache-2.0: commercial use yes`."""
    link = Link("model", "", stated, None)
    if stated is None:
        return "not stated"
    if link.licence is None:
        return f"{stated} (unknown here: read it)"
    return f"{link.licence.id}, commercial use: {link.permits.commercial.word}"


def _describe(link: Link) -> dict[str, Any]:
    licence = link.licence
    return {
        "role": link.role,
        "name": link.name,
        "licence": licence.id if licence else None,
        "licence_name": licence.name if licence else None,
        "stated": link.stated,
        "stated_by": link.by,
        "source": licence.source if licence else link.link,
        "permits": _answers(link.permits),
    }


def _answers(permits: Permits) -> dict[str, str]:
    return {use: getattr(permits, use).word for use in USES}


def _because(chain: Sequence[Link], use: str) -> list[str]:
    """The names whose licences decide a use that is not simply permitted."""
    answers = {link.name: getattr(link.permits, use) for link in chain}
    worst = max(answers.values(), default=Answer.UNKNOWN)
    return (
        [] if worst is Answer.YES else [name for name, found in answers.items() if found == worst]
    )
