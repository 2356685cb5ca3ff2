"""What every kind of document becomes: its text, where sections and pages begin, and notes."""

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Section:
    """From `start` on, the text stands under these headings, outermost first."""

    start: int
    path: tuple[str, ...]


@dataclass
class Document:
    """`text` is what offsets count in: the file's own characters where it is text already."""

    kind: str  # text, markdown, source, html, pdf, docx
    text: str
    sections: list[Section] = field(default_factory=list)  # in order of their starts
    pages: list[int] = field(default_factory=list)  # where each page begins; empty without pages
    notes: list[str] = field(default_factory=list)  # what a reader should know, one line each

    def heading_at(self, place: int) -> tuple[str, ...]:
        """The headings that a character stands under."""
        number = bisect_right([section.start for section in self.sections], place) - 1
        return self.sections[number].path if number >= 0 else ()

    def page_at(self, place: int) -> int | None:
        """The page of a character, counted from 1."""
        return bisect_right(self.pages, place) or None if self.pages else None


class Outline:
    """Collects sections while a document is read: a heading ends those of its level or deeper."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self._open: list[tuple[int, str]] = []

    def add(self, start: int, level: int, title: str) -> None:
        """A heading of a level (1 is the outermost) that begins at a character."""
        self._open = [(depth, name) for depth, name in self._open if depth < level]
        self._open.append((level, " ".join(title.split())[:200]))
        self.sections.append(Section(start, tuple(name for _, name in self._open)))
