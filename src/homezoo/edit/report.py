"""The report of `homezoo edit verify`: lines for a terminal, and a page of HTML."""

from collections.abc import Mapping
from html import escape

from homezoo.edit.grade import MEASURES, Grades
from homezoo.edit.texts import Texts

FAILURES_SHOWN = 10


def lines_of(
    grades: Grades, texts: Texts | None = None, sizes: Mapping[str, float] | None = None
) -> list[str]:
    """Figures with intervals, by measure and by relation, drift, and what failed.

    `sizes` are |Delta| / |W| by the name of the weight.
    """
    width = max(map(len, MEASURES))
    lines = [f"{name:<{width}}  {grades.rates[name]}" for name in MEASURES if name in grades.rates]
    if any("probability" in name for name in grades.rates):
        lines.append(f"{'score':<{width}}  {grades.score:.1%} (harmonic mean of the probabilities)")
    if grades.drift is not None:
        lines.append(
            f"{'ordinary text':<{width}}  perplexity {grades.drift.perplexity_ratio:.4f} of the "
            f"base's, KL {grades.drift.divergence:.5f} nats ({grades.drift.tokens:,} tokens)"
        )
    lines += _further(width, texts, sizes or {})
    for predicate, rates in grades.by_relation.items():
        shown = ", ".join(f"{name} {rates[name].hits}/{rates[name].total}" for name in MEASURES
                          if name in rates and "(" not in name)  # fmt: skip
        lines.append(f"<{predicate}>: {shown}")
    for hushed in grades.suppressed[:FAILURES_SHOWN]:
        lines.append(f"suppressed: {hushed.prompt!r} goes on with {hushed.object!r} with a "
                     f"probability of {hushed.after:.2%} (base {hushed.before:.2%})")  # fmt: skip
    edits = [case for case in grades.failed if case.measure == "efficacy"]
    for case in edits[:FAILURES_SHOWN]:
        lines.append(f"not answered: {case.prompt!r} is not {case.answers[0]!r}")
    if len(edits) > FAILURES_SHOWN:
        lines.append(f"and {len(edits) - FAILURES_SHOWN} more")
    return lines


def _further(width: int, texts: Texts | None, sizes: Mapping[str, float]) -> list[str]:
    """What is no rate: texts, and how large the change is."""
    lines = []
    if texts is not None:
        lines.append(f"{'fluency':<{width}}  {texts.edited.fluency}, base {texts.base.fluency}: "
                     f"entropy of n-grams, {texts.count} texts")  # fmt: skip
        if texts.edited.consistency.count:
            alike = f"{texts.edited.consistency}, base {texts.base.consistency}"
            lines.append(f"{'consistency':<{width}}  {alike}: words of those with the new object")
    for name, size in sizes.items():
        lines.append(f"{'size of the change':<{width}}  {size:.4f} of {name}'s norm")
    return lines


def page(
    title: str,
    grades: Grades,
    picture: str,
    texts: Texts | None = None,
    sizes: Mapping[str, float] | None = None,
) -> str:
    """One HTML file without scripts; nothing in it is fetched."""
    measured = [(name, grades.rates[name]) for name in MEASURES if name in grades.rates]
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(rate))}</td>"
        f"<td>{escape(MEASURES[name])}</td></tr>"
        for name, rate in measured
    )
    rest = "".join(f"<li>{escape(line)}</li>"
                   for line in lines_of(grades, texts, sizes)[len(measured) :])  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        "<style>body{font:16px/1.5 sans-serif;max-width:56em;margin:2em auto;padding:0 1em}"
        "td{padding:.2em 1em .2em 0;vertical-align:top}</style>"
        f"<h1>{escape(title)}</h1>{picture}<table>{rows}</table><ul>{rest}</ul></html>\n"
    )
