"""Every kind of document becomes text with places; hostile ones become an error that says why."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from context.made_documents import docx, docx_bomb, paragraph, pdf

from homezoo.context.document import Document
from homezoo.context.extractor import Extractor
from homezoo.context.load import load, read_bytes
from homezoo.errors import DocumentError


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    with Extractor() as one:
        yield one


def loaded(extractor: Extractor, name: str, content: bytes) -> Document:
    return load(Path(name), content, extractor)


def test_markdown_keeps_its_characters_and_knows_its_headings(extractor: Extractor) -> None:
    text = "intro\n# Zoo #\nlions\n```sh\n# no heading\n```\n## Food\nmeat\n# Staff\nAnna\n"
    document = loaded(extractor, "a.md", text.encode())
    assert document.text == text and document.kind == "markdown"
    assert document.heading_at(text.index("intro")) == ()
    assert document.heading_at(text.index("no heading")) == ("Zoo",)
    assert document.heading_at(text.index("meat")) == ("Zoo", "Food")
    assert document.heading_at(text.index("Anna")) == ("Staff",)


def test_html_gives_visible_text_alone(extractor: Extractor) -> None:
    page = (
        "<html><head><title>T</title><style>p{x}</style></head><body onload='evil()'>"
        "<h1>Care &amp; Food</h1><script>alert('stolen')</script><p>Lions  eat\nmeat.</p>"
        "<ul><li>One<li>Two</ul><h2>Night</h2><p>They <b>sleep</b>.</p>"
        "<noscript>hidden</noscript></body></html>"
    )
    document = loaded(extractor, "a.html", page.encode())
    text = "Care & Food Lions eat meat. One Two Night They sleep."
    assert " ".join(document.text.split()) == text
    assert document.heading_at(document.text.index("eat")) == ("Care & Food",)
    assert document.heading_at(document.text.index("sleep")) == ("Care & Food", "Night")
    assert "\n" in document.text[document.text.index("One") : document.text.index("Two")]


def test_docx_paragraphs_and_headings(extractor: Extractor) -> None:
    body = paragraph("Zoo", "Heading1") + paragraph("Lions eat &lt;meat&gt;.") + paragraph("")
    body += paragraph("Night", "Heading2") + paragraph("They sleep.")
    document = loaded(extractor, "a.docx", docx(body))
    assert document.text == "Zoo\n\nLions eat <meat>.\n\nNight\n\nThey sleep.\n\n"
    assert document.heading_at(document.text.index("They")) == ("Zoo", "Night")


def test_pdf_pages(extractor: Extractor) -> None:
    pytest.importorskip("pypdf", reason="pypdf, the extra `rag`, is not installed")
    document = loaded(extractor, "a.pdf", pdf(["Lions eat meat.", "Bears sleep."]))
    assert document.text == "Lions eat meat.\nBears sleep.\n"
    assert document.page_at(document.text.index("Bears")) == 2
    assert document.page_at(0) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_with_or_without_its_mark(extractor: Extractor, encoding: str) -> None:
    assert loaded(extractor, "a.txt", "Löwe 🦁".encode(encoding)).text == "Löwe 🦁"


def test_a_few_wrong_bytes_are_noted(extractor: Extractor) -> None:
    document = loaded(extractor, "a.txt", b"caf\xe9 " + b"good text " * 100)
    assert document.text.startswith("caf\ufffd good")
    assert document.notes == [
        "1 characters are no utf-8, the first at byte 3; they are shown as \ufffd"
    ]


def test_lone_surrogates_do_not_get_through(extractor: Extractor) -> None:
    content = b"\xff\xfe" + "a".encode("utf-16-le") * 300 + b"\x00\xd8"
    assert loaded(extractor, "a.txt", content).text.encode()


HOSTILE = {
    "cp1252 prose": ("a.txt", "Größe ändern öfter möglich".encode("cp1252") * 20, "is no utf-8"),
    "binary": ("a.txt", b"\x7fELF\0\0\0", "byte 4 is zero"),
    "random bytes": ("a.md", bytes(range(128, 256)) * 50, "cannot be read"),
    "only spaces": ("a.txt", b" \n\t ", "holds no text"),
    "empty": ("a.md", b"", "holds no text"),
    "unknown kind": ("a.exe", b"MZ", "are not read"),
    "no zip": ("a.docx", b"PK\3\4 not a zip", "no sound DOCX"),
    "other zip": ("a.docx", docx("", member="x.xml"), "holds no word/document.xml"),
    "broken xml": ("a.docx", docx("<w:p>"), "XML is damaged"),
    "entities": (
        "a.docx",
        docx(paragraph("&b;"), '<!DOCTYPE x [<!ENTITY b "lol">]>'),
        "declares a document type",
    ),
    "deep xml": ("a.docx", docx("<w:p>" * 5000 + "</w:p>" * 5000), "nested more than 200"),
    "scripts only": ("a.html", b"<script>" + b"x" * 1000, "holds no text"),
    "huge html": ("a.html", b"<p>" * (3 << 20), "of HTML; at most"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_with_the_reason(extractor: Extractor, case: str) -> None:
    name, content, reason = HOSTILE[case]
    with pytest.raises(DocumentError, match=reason):
        loaded(extractor, name, content)


def test_a_zip_bomb_is_not_unpacked(extractor: Extractor) -> None:
    bomb = docx_bomb(300)
    assert len(bomb) < 1 << 20
    with pytest.raises(DocumentError, match="unpacks to more than"):
        loaded(extractor, "a.docx", bomb)


def test_a_pdf_of_ten_thousand_pages_is_refused(extractor: Extractor) -> None:
    pytest.importorskip("pypdf", reason="pypdf, the extra `rag`, is not installed")
    with pytest.raises(DocumentError, match="10,000 pages; at most 5,000"):
        loaded(extractor, "a.pdf", pdf(["x"] * 10_000))


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.4 nothing",
        pdf(["Lions eat meat."])[:300],
        pdf(["x"]).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]"),  # pages that hold themselves
        b"not a pdf at all",
    ],
    ids=["head only", "cut short", "endless", "other"],
)
def test_a_damaged_pdf_is_refused(extractor: Extractor, content: bytes) -> None:
    pytest.importorskip("pypdf", reason="pypdf, the extra `rag`, is not installed")
    with pytest.raises(DocumentError):
        loaded(extractor, "a.pdf", content)
    assert "fine" in loaded(extractor, "a.html", b"<p>fine").text  # and the reader still reads


def test_a_reader_that_takes_too_long_is_given_up() -> None:
    with Extractor(seconds=0.01) as impatient:
        began = time.monotonic()
        with pytest.raises(DocumentError, match=r"more than 0\.01 seconds"):
            impatient.extract("docx", docx_bomb(60))
        assert time.monotonic() - began < 20
    with Extractor() as extractor:
        assert extractor.extract("html", b"<p>next").text.strip() == "next"


def test_deeply_nested_html_and_endless_lines_are_text(extractor: Extractor) -> None:
    deep = loaded(extractor, "a.html", b"<div>" * 50_000 + b"bottom")
    assert deep.text.strip() == "bottom"
    assert len(loaded(extractor, "a.txt", b"a" * 1_000_000).text) == 1_000_000


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(DocumentError, match="at most 67,108,864 are read"):
        read_bytes(large)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.txt")
        with pytest.raises(DocumentError, match="no regular file"):
            read_bytes(tmp_path / "pipe.txt")
