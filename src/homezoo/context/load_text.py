"""Text and Markdown: bytes to characters, and where headings stand."""

import codecs
import re

from homezoo.context.document import Document, Outline
from homezoo.errors import DocumentError

# Byte order marks; the longer of UTF-32 and UTF-16 first, as one begins with the other.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MOST_WRONG = 0.02  # share of characters that may be unreadable: above it, it is no text
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


def decode(content: bytes) -> tuple[str, list[str]]:
    """The characters, and notes on what could not be read.

    UTF-8, or UTF-16 and UTF-32 that say so. Wrong bytes become U+FFFD with a note. Raises
    DocumentError for what is no text: zero bytes, or too much that cannot be read.
    """
    mark, encoding = next(
        ((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8")
    )
    content = content[len(mark) :]
    if encoding == "utf-8" and b"\0" in content:
        at = content.index(b"\0")
        raise DocumentError(f"it is no text: byte {at} is zero (UTF-16 needs its mark)")
    try:
        return _settled(content.decode(encoding)), []
    except UnicodeDecodeError as error:
        text = content.decode(encoding, "replace")
        wrong = text.count("\ufffd")
        if wrong > max(2, _MOST_WRONG * len(text)):
            raise DocumentError(
                f"it is no {encoding} text: {wrong:,} of {len(text):,} characters cannot be read, "
                f"the first at byte {error.start:,}; convert it to UTF-8"
            ) from None
        note = (
            f"{wrong:,} characters are no {encoding}, the first at byte {error.start:,}; "
            "they are shown as \ufffd"
        )
        return _settled(text), [note]


def _settled(text: str) -> str:
    """Without lone surrogates, which UTF-16 and UTF-32 can smuggle in and no tokenizer spells."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def read_markdown(text: str) -> Document:
    """Markdown as it is, with the places of its headings; those in code blocks are none."""
    outline, fence, place = Outline(), "", 0
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = ""
        elif mark:
            fence = mark[1]
        elif len(line) < 1000 and (found := _HEADING.match(line.rstrip("\r\n"))):
            outline.add(place, len(found[1]), found[2])
        place += len(line)
    return Document("markdown", text, outline.sections)
