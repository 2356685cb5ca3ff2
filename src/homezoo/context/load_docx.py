"""DOCX with the standard library: a bounded look into the zip, a bounded walk over its XML."""

import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from xml.etree import ElementTree

from homezoo.context.document import Document, Outline
from homezoo.errors import DocumentError

MOST_XML = 64 << 20  # bytes of word/document.xml once unpacked; a long novel has 10 MB
MOST_MEMBERS = 10_000
_BODY = "word/document.xml"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STYLE = re.compile(r"(?:Heading|berschrift|Titre|Kop)\s*(\d)$|(Title)$")
_DEPTH = 200  # of nested elements; Word's own stay below 30


def read_docx(content: bytes) -> Document:
    """Paragraphs, tables and headings of the main text.

    Raises DocumentError for a damaged file, a zip bomb, or XML that declares entities.
    """
    outline = Outline()
    parts: list[str] = []
    length = 0
    for text, level in _paragraphs(_body(content)):
        if level:
            outline.add(length, level, text)
        parts.append(text + "\n\n")
        length += len(text) + 2
    return Document("docx", "".join(parts), outline.sections)


def _body(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise DocumentError(f"its zip has {len(members):,} members; this is no DOCX file")
            with archive.open(_BODY) as file:  # the size that the zip states may be a lie
                body = file.read(MOST_XML + 1)
    except KeyError:
        raise DocumentError(f"it is no DOCX file: it holds no {_BODY}") from None
    # zipfile raises these for a damaged archive, an unknown compression, a password, an early end
    # and a bad name.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise DocumentError(f"it is no sound DOCX file: {error}") from None
    if len(body) > MOST_XML:
        raise DocumentError(
            f"its text unpacks to more than {MOST_XML:,} bytes (a zip bomb?); split it"
        )
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body or b"<\0!\0D\0" in body:
        raise DocumentError("its XML declares a document type, which no word processor does")
    return body


def _paragraphs(body: bytes) -> Iterator[tuple[str, int]]:
    """Text and heading level (0 for none) of each paragraph that has text."""
    depth = 0
    try:
        for event, element in ElementTree.iterparse(BytesIO(body), ("start", "end")):
            depth += 1 if event == "start" else -1
            if depth > _DEPTH:
                raise DocumentError(f"its XML is nested more than {_DEPTH} deep")
            if event == "end" and element.tag == _W + "p":
                text = "".join(_pieces(element)).strip()
                if text:
                    yield text, _level(element)
                element.clear()
    except ElementTree.ParseError as error:
        raise DocumentError(f"its XML is damaged: {error}") from None


def _pieces(paragraph: ElementTree.Element) -> Iterator[str]:
    for node in paragraph.iter():
        if node.tag == _W + "t":
            yield node.text or ""
        elif node.tag == _W + "tab":
            yield "\t"
        elif node.tag in (_W + "br", _W + "cr"):
            yield "\n"


def _level(paragraph: ElementTree.Element) -> int:
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    found = _STYLE.search(style.get(_W + "val", "")) if style is not None else None
    return 0 if found is None else int(found[1] or 1)
