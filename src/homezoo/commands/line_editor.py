"""Lines typed by the user: editing and history in a terminal, plain reading elsewhere."""

import os
import sys
from pathlib import Path

from homezoo.commands.terminal import note

HISTORY_LINES = 1000
CONTINUED = "\\"  # a line that ends so goes on in the next


class LineEditor:
    """Reads messages. With a history file, earlier ones come back with the arrow keys."""

    def __init__(self, history: Path | None) -> None:
        """`history` is read now and written by `close`; None keeps nothing."""
        self._interactive = sys.stdin is not None and sys.stdin.isatty()
        self._history = history if self._interactive else None
        self._load()

    def read(self, prompt: str) -> str:
        """One message, of several lines where each but the last ends in a backslash.

        Raises EOFError at the end of input and KeyboardInterrupt for Ctrl-C.
        """
        lines = [self._line(prompt)]
        while lines[-1].endswith(CONTINUED):
            lines[-1] = lines[-1].removesuffix(CONTINUED)
            lines.append(self._line("." * len(prompt.rstrip()) + " "))
        return "\n".join(lines)

    def close(self) -> None:
        """Saves the history, readable by this user only; says so when that is impossible."""
        if self._history is None:
            return
        try:
            import readline
        except ImportError:
            return
        try:
            self._history.parent.mkdir(parents=True, exist_ok=True)
            self._history.touch(mode=0o600)
            readline.set_history_length(HISTORY_LINES)
            readline.write_history_file(self._history)
        except OSError as error:
            note(f"the history was not saved: {error}")

    def _load(self) -> None:
        if not self._interactive:
            return
        try:
            import readline  # gives input() its editing keys, too
        except ImportError:  # Windows: its console edits lines itself
            return
        if self._history is not None and self._history.is_file():
            try:
                readline.read_history_file(self._history)
            except OSError as error:
                note(f"the history was not read: {error}")

    def _line(self, prompt: str) -> str:
        if not self._interactive:
            return input()
        try:
            return input(prompt)
        except EOFError:
            note("")  # ends the line of the prompt
            raise


def state_folder() -> Path:
    """Where homezoo keeps what is neither data nor settings, as each system has it."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "homezoo"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "homezoo"
    base = os.environ.get("XDG_STATE_HOME")
    return Path(base or Path.home() / ".local" / "state") / "homezoo"
