"""Whether a reply holds a right answer, by rule: after folding case, marks and articles."""

import re
import unicodedata
from collections.abc import Sequence

_MARKS = re.compile(r"[^\w\s]|_")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def folded(text: str) -> str:
    """Lower case, without marks, accents and articles, single spaces (as SQuAD's script does)."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(_ARTICLES.sub(" ", _MARKS.sub(" ", plain)).split())


def is_exact(reply: str, answers: Sequence[str]) -> bool:
    """Whether the reply is an answer and nothing else."""
    return folded(reply) in {folded(answer) for answer in answers}


def is_right(reply: str, answers: Sequence[str]) -> bool:
    """Whether an answer stands in the reply as whole words."""
    words = f" {folded(reply)} "
    return any(f" {folded(answer)} " in words for answer in answers if folded(answer))
