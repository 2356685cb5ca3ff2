"""Shows Markdown while it is written: finished blocks stay, the last one is redrawn."""

import re
from types import TracebackType
from typing import TYPE_CHECKING

from homezoo.commands.terminal import clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REFRESH_PER_SECOND = 12  # fast enough to read along, slow enough to cost nothing
SPARE_LINES = 2  # of the terminal's height, which redrawing must not exceed
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.M)


class MarkdownStream:
    """Takes pieces of text in a `with` block; whatever ends it, the text so far stays shown."""

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        self._console = console
        self._text = ""  # of the block being written
        self._live = Live(
            console=console,
            transient=True,
            refresh_per_second=REFRESH_PER_SECOND,
            get_renderable=self._tail,
        )

    def __enter__(self) -> "MarkdownStream":
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        rest, self._text = self._text, ""
        self._live.stop()
        if rest.strip():
            self._console.print(markdown(rest))

    def push(self, piece: str) -> None:
        """Adds a piece; prints for good what it finished."""
        finished, self._text = split_finished(self._text + clean(piece))
        if finished.strip():
            self._console.print(markdown(finished))
            self._console.print()

    def _tail(self) -> "RenderableType":
        """The last lines of the block being written, as many as the terminal has room for."""
        from rich.segment import Segment, Segments

        lines = self._console.render_lines(markdown(self._text), pad=False)
        shown = lines[-max(1, self._console.height - SPARE_LINES) :]
        return Segments([segment for line in shown for segment in (*line, Segment.line())])


def split_finished(text: str) -> tuple[str, str]:
    """What is before the last blank line outside a code fence, and the rest."""
    end = text.rfind("\n\n")
    while end >= 0:
        if len(_FENCE.findall(text[:end])) % 2 == 0:
            return text[:end], text[end:].lstrip("\n")
        end = text.rfind("\n\n", 0, end)
    return "", text


def markdown(text: str) -> "RenderableType":
    """Markdown for the terminal. Tags stay visible as text, links show where they lead."""
    from markdown_it import MarkdownIt
    from rich.markdown import Markdown

    shown = Markdown(text, hyperlinks=False)
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    shown.parsed = parser.parse(text)
    return shown
