"""What must not break: facts and text of the profile, asked before an adapter is accepted."""

from collections.abc import Mapping
from collections.abc import Sequence as Items

from homezoo.edit.ask import Pair
from homezoo.edit.facts import Fact
from homezoo.edit.grade import Grades, grade, make_cases
from homezoo.edit.profile import Measured
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations

MOST_FORGOTTEN = 0.10  # of the known facts that were not edited
FEWEST_FACTS = 20  # fewer canaries cannot tell a tenth
MOST_PERPLEXITY = 1.10  # edited over base


def check_canaries(
    reader: Reader,
    measured: Measured,
    relations: Relations,
    deltas: Mapping[str, Pair],
    edits: Items[Fact],
) -> list[str]:
    """What the edits broke, in words; empty when nothing."""
    templates = measured.profile.templates
    cases = [case for case in make_cases(edits, measured.known, relations, templates)
             if case.measure == "retention"]  # fmt: skip
    return broken_by(grade(reader, deltas, cases, measured.text))


def broken_by(grades: Grades) -> list[str]:
    """The canaries that are below their limits."""
    found = []
    kept = grades.rates.get("retention")
    if kept is not None and kept.total >= FEWEST_FACTS and 1 - kept.value > MOST_FORGOTTEN:
        found.append(f"retention is {kept}; at most {MOST_FORGOTTEN:.0%} may be forgotten")
    drift = grades.drift
    if drift is not None and drift.perplexity_ratio > MOST_PERPLEXITY:
        found.append(
            f"perplexity of ordinary text is {drift.perplexity_ratio:.3f} times the base's; "
            f"at most {MOST_PERPLEXITY}"
        )
    return found
