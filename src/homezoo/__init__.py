"""Runs GGUF language models on your own CPU; `from homezoo import Model` is where to begin."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homezoo.errors import HomezooError
    from homezoo.formats.gguf_read import GGUFFile
    from homezoo.run.answer import Answer
    from homezoo.run.bundled import STORIES, ZOOKEEPER
    from homezoo.run.chat import Chat
    from homezoo.run.constrain import Constraint
    from homezoo.run.model import Model
    from homezoo.run.options import GenerationOptions
    from homezoo.run.stream import Stream
    from homezoo.text.tokenizer import Tokenizer

__version__ = "0.1.0"
__all__ = [
    "STORIES",
    "ZOOKEEPER",
    "Answer",
    "Chat",
    "Constraint",
    "GGUFFile",
    "GenerationOptions",
    "HomezooError",
    "Model",
    "Stream",
    "Tokenizer",
    "__version__",
]

# Where each public name lives; loaded when it is first asked for, so that the import costs nothing.
_HOMES = {
    "STORIES": "homezoo.run.bundled",
    "ZOOKEEPER": "homezoo.run.bundled",
    "Answer": "homezoo.run.answer",
    "Chat": "homezoo.run.chat",
    "Constraint": "homezoo.run.constrain",
    "GGUFFile": "homezoo.formats.gguf_read",
    "GenerationOptions": "homezoo.run.options",
    "HomezooError": "homezoo.errors",
    "Model": "homezoo.run.model",
    "Stream": "homezoo.run.stream",
    "Tokenizer": "homezoo.text.tokenizer",
}


def __getattr__(name: str) -> Any:
    """A public name (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'homezoo' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
