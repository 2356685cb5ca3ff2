"""The messages of a chat: added, taken back, saved and loaded."""

import json
from pathlib import Path
from typing import Any

from homezoo.commands.options import read_text
from homezoo.errors import OptionError

ROLES = ("system", "user", "assistant", "tool")


class Conversation:
    """A system message, if any, then turns; each turn begins with what the user said."""

    def __init__(self, system: str | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.system = system

    @property
    def system(self) -> str | None:
        """What the model is told first."""
        first = self.messages[0] if self.messages else None
        return first["content"] if first and first["role"] == "system" else None

    @system.setter
    def system(self, text: str | None) -> None:
        if self.system is not None:
            del self.messages[0]
        if text:
            self.messages.insert(0, {"role": "system", "content": text})

    def add(self, role: str, content: str) -> None:
        """A message at the end."""
        self.messages.append({"role": role, "content": content})

    def undo(self) -> str:
        """Takes back the last turn and gives what the user said; OptionError when there is none."""
        for place in range(len(self.messages) - 1, -1, -1):
            if self.messages[place]["role"] == "user":
                said = str(self.messages[place]["content"])
                del self.messages[place:]
                return said
        raise OptionError("nothing has been said yet")

    def save(self, path: Path) -> None:
        """Writes the messages as JSON, which `load` and `homezoo render` read."""
        text = json.dumps(self.messages, ensure_ascii=False, indent=2)
        path.write_text(text + "\n", "utf-8")

    def load(self, path: Path) -> None:
        """Replaces all messages by those of a file; OptionError when it holds something else."""
        try:
            messages = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise OptionError(f"{path} is not JSON: {error}") from None
        if not isinstance(messages, list) or not all(map(_is_message, messages)):
            raise OptionError(
                f"{path} holds no conversation; expected a list of messages with a role "
                f"({', '.join(ROLES)}) and a text as content"
            )
        self.messages = messages


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("role") in ROLES
        and isinstance(value.get("content"), str)
    )
