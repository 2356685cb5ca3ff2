"""Where sentences begin, in any of the scripts that mark their ends."""

import re
from collections.abc import Iterator

# An end mark with what closes it, then space; a blank line; or the full stop of a script that
# puts no space after it.
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|\n[ \t\r]*\n\s*|[。！？]+[”’」』）]*\s*")
# Words whose full stop ends no sentence; in lower case, without the stop.
_SHORT = {
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "vs", "etc", "e.g", "i.e", "cf", "al",
    "fig", "no", "vol", "pp", "p", "ed", "eds", "approx", "dept", "inc", "ltd", "co", "jan",
    "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "z.b", "d.h",
    "u.a", "bzw", "ca", "nr",
}  # fmt: skip
_WORD_BEFORE = re.compile(r"(\S+)$")


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Spans that cover text[start:end] without gaps; each ends where the next sentence begins."""
    stop = len(text) if end is None else end
    begin = start
    for found in _END.finditer(text, start, stop):
        if found.end() >= stop:
            break
        if found[0][0] == "." and not _ends(text, found, begin):
            continue
        yield begin, found.end()
        begin = found.end()
    if begin < stop:
        yield begin, stop


def line_spans(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """The same for lines: the sentences of source code and tables."""
    stop = len(text) if end is None else end
    while start < stop:
        found = text.find("\n", start, stop)
        after = stop if found < 0 else found + 1
        yield start, after
        start = after


def _ends(text: str, found: "re.Match[str]", begin: int) -> bool:
    """Whether a full stop ends a sentence: not after a short form or an initial, nor before a
    small letter."""
    if "\n\n" in found[0]:
        return True
    after = text[found.end()]
    if after.islower():
        return False
    word = _WORD_BEFORE.search(text, max(begin, found.start() - 20), found.start())
    if word is None:
        return True
    before = word[1].lstrip("(\"'“‘[").lower()
    return before not in _SHORT and not (len(before) == 1 and before.isalpha())
