"""The report of `homezoo edit verify`: lines for a terminal, and a page of HTML."""

from html import escape

from homezoo.edit.grade import MEASURES, Grades

FAILURES_SHOWN = 10


def lines_of(grades: Grades) -> list[str]:
    """Figures with intervals, by measure and by relation, drift, and what failed."""
    width = max(map(len, MEASURES))
    lines = [f"{name:<{width}}  {grades.rates[name]}" for name in MEASURES if name in grades.rates]
    if any("probability" in name for name in grades.rates):
        lines.append(f"{'score':<{width}}  {grades.score:.1%} (harmonic mean of the probabilities)")
    if grades.drift is not None:
        lines.append(
            f"{'ordinary text':<{width}}  perplexity {grades.drift.perplexity_ratio:.4f} of the "
            f"base's, KL {grades.drift.divergence:.5f} nats ({grades.drift.tokens:,} tokens)"
        )
    for predicate, rates in grades.by_relation.items():
        shown = ", ".join(f"{name} {rate.hits}/{rate.total}" for name, rate in rates.items()
                          if "probability" not in name)  # fmt: skip
        lines.append(f"<{predicate}>: {shown}")
    edits = [case for case in grades.failed if case.measure == "efficacy"]
    for case in edits[:FAILURES_SHOWN]:
        lines.append(f"not answered: {case.prompt!r} is not {case.answers[0]!r}")
    if len(edits) > FAILURES_SHOWN:
        lines.append(f"and {len(edits) - FAILURES_SHOWN} more")
    return lines


def page(title: str, grades: Grades, picture: str) -> str:
    """One HTML file without scripts; nothing in it is fetched."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(str(rate))}</td>"
        f"<td>{escape(MEASURES[name])}</td></tr>"
        for name, rate in grades.rates.items()
    )
    rest = "".join(f"<li>{escape(line)}</li>" for line in lines_of(grades)[len(grades.rates) :])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        "<style>body{font:16px/1.5 sans-serif;max-width:56em;margin:2em auto;padding:0 1em}"
        "td{padding:.2em 1em .2em 0;vertical-align:top}</style>"
        f"<h1>{escape(title)}</h1>{picture}<table>{rows}</table><ul>{rest}</ul></html>\n"
    )
