"""The messages of a conversation: added, taken back, saved and loaded."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from homezoo.errors import OptionError
from homezoo.formats.whole_file import whole_file

ROLES = ("system", "user", "assistant", "tool")


class Conversation:
    """A system message, if any, then turns; each turn begins with what the user said."""

    def __init__(
        self, system: str | None = None, messages: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """OptionError when something is not a message."""
        self.messages: list[dict[str, Any]] = [checked(message) for message in messages]
        if system is not None:
            self.system = system

    @property
    def system(self) -> str | None:
        """What the model is told first."""
        first = self.messages[0] if self.messages else None
        return str(first["content"]) if first and first["role"] == "system" else None

    @system.setter
    def system(self, text: str | None) -> None:
        if self.system is not None:
            del self.messages[0]
        if text:
            self.messages.insert(0, {"role": "system", "content": text})

    def add(self, role: str, content: str) -> None:
        """A message at the end."""
        self.messages.append(checked({"role": role, "content": content}))

    def undo(self) -> str:
        """Takes back the last turn and gives what the user said; OptionError when there is none."""
        for place in range(len(self.messages) - 1, -1, -1):
            if self.messages[place]["role"] == "user":
                said = str(self.messages[place]["content"])
                del self.messages[place:]
                return said
        raise OptionError("nothing has been said yet; there is no turn to take back")

    def save(self, path: str | Path) -> None:
        """Writes the messages as JSON, which `load` reads: a whole file, or the old one stays."""
        path = Path(path)
        text = json.dumps(self.messages, ensure_ascii=False, indent=2) + "\n"
        with whole_file(path, private=True) as file:
            file.write(text.encode())

    def load(self, path: str | Path) -> None:
        """Replaces all messages by those of a file; OptionError when it holds something else."""
        path = Path(path)
        try:
            messages = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:  # wrong UTF-8 is a ValueError too
            raise OptionError(f"{path} is not JSON: {error}") from None
        try:
            if not isinstance(messages, list):
                raise OptionError(f"it is {type(messages).__name__}, not a list of messages")
            self.messages = [checked(message) for message in messages]
        except OptionError as error:
            raise OptionError(f"{path} holds no conversation: {error}") from None


def checked(message: Any) -> dict[str, Any]:
    """A copy of a message; OptionError says what is wrong with one that is none."""
    if not isinstance(message, Mapping):
        raise OptionError(f"message is {message!r:.60}; expected role and content")
    if message.get("role") not in ROLES:
        raise OptionError(
            f"the role of a message is {message.get('role')!r:.60}; expected one of "
            f"{', '.join(ROLES)}"
        )
    if not isinstance(message.get("content"), str) and not message.get("tool_calls"):
        raise OptionError(
            f"the content of a message is {message.get('content')!r:.60}; expected a text"
        )
    return dict(message)
