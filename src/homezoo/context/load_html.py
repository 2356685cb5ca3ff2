"""HTML to text with the standard library's parser: scripts and styles are never text."""

from html.parser import HTMLParser

from homezoo.context.document import Document, Outline
from homezoo.context.load_text import decode
from homezoo.errors import DocumentError

MOST_CHARACTERS = 8 << 20  # of markup; a page of more is data, not reading
_HIDDEN = {"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody",
    "td", "th", "tr", "ul", "body",
}  # fmt: skip
_HEADINGS = {f"h{n}": n for n in range(1, 7)}


def read_html(content: bytes) -> Document:
    """The visible text; offsets count in it. DocumentError for more markup than is read."""
    markup, notes = decode(content)
    if len(markup) > MOST_CHARACTERS:
        raise DocumentError(
            f"it has {len(markup):,} characters of HTML; at most {MOST_CHARACTERS:,} are read"
        )
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return Document("html", "".join(reader.parts), reader.outline.sections, notes=notes)


class _Reader(HTMLParser):
    """Collects text; a block element begins a new line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.outline = Outline()
        self._length = 0
        self._hidden: list[str] = []  # open elements whose content is not shown
        self._heading: tuple[int, int, list[str]] | None = None  # start, level, its text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag == "body":  # a head that was left open ends here
            self._hidden = []
        if self._hidden:
            return
        if tag in _BLOCKS:
            self._add("\n\n" if tag in _HEADINGS or tag == "p" else "\n")
        if tag in _HEADINGS:
            self._heading = (self._length, _HEADINGS[tag], [])

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            while self._hidden.pop() != tag:
                pass
        elif not self._hidden and tag in _BLOCKS:
            if self._heading and tag in _HEADINGS:
                start, level, words = self._heading
                self.outline.add(start, level, "".join(words))
                self._heading = None
            self._add("\n\n" if tag in _HEADINGS or tag == "p" else "\n")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        text = " ".join(data.split())
        if not text:
            text = " " if data else ""
        else:
            text = (" " if data[0].isspace() else "") + text + (" " if data[-1].isspace() else "")
        if self._heading:
            self._heading[2].append(text)
        self._add(text)

    def _add(self, text: str) -> None:
        """Text, without a second space or a third line break in a row."""
        last = self.parts[-1] if self.parts else "\n\n"
        if text.startswith("\n"):
            have = len(last) - len(last.rstrip("\n"))
            text = "\n" * max(0, len(text) - have)
        elif last.endswith((" ", "\n")):
            text = text.lstrip(" ")
        if text:
            self.parts.append(text)
            self._length += len(text)
