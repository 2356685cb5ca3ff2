"""Stop strings: texts that end an answer, and of which no part is ever shown."""

from collections.abc import Sequence

from homezoo.errors import OptionError


class StopStrings:
    """Watches text as it comes, and holds back what may become a stop string.

    The text ends before the stop string that is complete first; of several that become complete
    with the same character, before the one that starts first.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        """Raises OptionError for an empty string, which would stop every answer at once."""
        if isinstance(strings, str):
            strings = (strings,)
        if "" in strings:
            raise OptionError("a stop string is empty; give at least one character")
        self._strings = tuple(strings)
        self._held = ""
        self._stopped = False

    def push(self, text: str) -> tuple[str, bool]:
        """Text that can be shown now, and whether the answer has ended; then give no more."""
        if self._stopped or not text:
            return "", self._stopped
        text = self._held + text
        ends = [(text.find(stop) + len(stop), -len(stop)) for stop in self._strings if stop in text]
        if ends:
            end, length = min(ends)
            self._stopped = True
            self._held = ""
            return text[: end + length], True
        kept = max((_overlap(text, stop) for stop in self._strings), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], False

    def finish(self) -> str:
        """What was held back and became no stop string; empty after a stop."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text are the beginning of a stop string."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
