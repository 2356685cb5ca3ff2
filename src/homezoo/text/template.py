"""Chat templates: from a conversation to the text that a model was trained to read."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np

from homezoo.errors import TemplateError
from homezoo.text.marked import OWN, MarkedText
from homezoo.text.template_budget import Budget
from homezoo.text.vocabulary import PREFIX

KEY = "tokenizer.chat_template"
_MAX_SOURCE = 65_536  # characters: compiles in half a second; the longest known has 20,000
_MAX_DEPTH = 100  # of what a caller gives; JSON schemas of tools are the deepest
_SPM_DEFAULTS = {"bos": 1, "eos": 2}  # as in tokenizer.py, for files that name no ids
# Names of whoever speaks are the template's business: some put them between <| and |>.
ROLES = frozenset((
    "assistant", "context", "critic", "developer", "document", "documents", "environment",
    "function", "ipython", "knowledge", "model", "observation", "system", "thinking", "tool",
    "tool_response", "tools", "user",
))  # fmt: skip
_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")


class ChatTemplate:
    """A compiled chat template. Safe to use from several threads at once.

    Rendering equals `apply_chat_template` of transformers, in a sandbox with limits on time and
    size, because the template comes with the model's file, from anybody.
    """

    def __init__(
        self, source: str, bos_token: str, eos_token: str, tools_source: str | None = None
    ) -> None:
        """`tools_source`: the template for conversations with tools, if it is another one."""
        self.source = source
        self.tools_source = tools_source
        self.bos_token = bos_token
        self.eos_token = eos_token
        self._environment: Any = None
        self._compiled: dict[str, Any] = {}
        self._lock = Lock()

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], name: str | None = None) -> "ChatTemplate":
        """The template of a GGUF file; `name` asks for one of several, such as tool_use or rag.

        Raises TemplateError when the file has no such template.
        """
        names = sorted(key.removeprefix(f"{KEY}.") for key in metadata if key.startswith(f"{KEY}."))
        source = metadata.get(KEY if name in (None, "default") else f"{KEY}.{name}")
        if source is None and name is not None:
            has = ", ".join(names) or "none with a name"
            raise TemplateError(f"the file has no chat template named {name!r}; it has {has}")
        if source is None:
            raise TemplateError(
                "the file has no chat template (tokenizer.chat_template); continue plain text with "
                "--raw, or give a template with --template FILE"
            )
        tools_source = metadata.get(f"{KEY}.tool_use") if name is None else None
        for text in (source, tools_source):
            if text is not None and not isinstance(text, str):
                raise TemplateError(f"{KEY} is {text!r:.40}; expected a text")
        texts = [_token_text(metadata, which) for which in ("bos", "eos")]
        return cls(source, texts[0], texts[1], tools_source)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The text of a conversation, up to where its answer begins if `add_generation_prompt`.

        `variables` are what the template knows beside that, such as enable_thinking. Raises
        TemplateError for a template that is broken or hostile, or refuses the conversation.
        """
        return str.__str__(self.render_marked(messages, tools, add_generation_prompt, **variables))

    def render_marked(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> MarkedText:
        """Like `render`, with a mark at every character that is not the template's own."""
        given = {
            "messages": [_message(message) for message in _plain(messages, "messages")],
            "tools": _plain(tools, "tools"),
            "documents": None,
        } | {name: _plain(value, name) for name, value in variables.items()}
        budget = Budget(_size(given))
        source = self.source if tools is None or self.tools_source is None else self.tools_source
        template = self._compile(source)
        try:
            with self._environment.spending(budget):
                text = template.render(
                    {
                        "bos_token": self.bos_token,
                        "eos_token": self.eos_token,
                        **given,
                        "add_generation_prompt": add_generation_prompt,
                    }
                )
        except TemplateError:
            raise
        except Exception as error:  # a hostile template can raise anything
            raise TemplateError(f"the chat template fails: {_one_line(error)}") from None
        return text if isinstance(text, MarkedText) else MarkedText(text, OWN * len(text))

    def _compile(self, source: str) -> Any:
        """Jinja's template; TemplateError if the source is none, or too long to be one."""
        with self._lock:
            if source in self._compiled:
                return self._compiled[source]
            if len(source) > _MAX_SOURCE:
                raise TemplateError(
                    f"the chat template has {len(source)} characters; the most is {_MAX_SOURCE}"
                )
            if self._environment is None:
                from homezoo.text.sandbox import make_environment

                self._environment = make_environment()
            try:
                with self._environment.spending(Budget(0)):
                    self._compiled[source] = self._environment.from_string(source)
            except Exception as error:  # errors of syntax, recursion, memory
                line = getattr(error, "lineno", None)
                place = f" (line {line})" if line else ""
                raise TemplateError(
                    f"the chat template cannot be read{place}: {_one_line(error)}"
                ) from None
            return self._compiled[source]


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _token_text(metadata: Mapping[str, Any], which: str) -> str:
    """The text of BOS or EOS, empty if the vocabulary has none."""
    tokens = metadata.get(f"{PREFIX}tokens", ())
    default = _SPM_DEFAULTS[which] if metadata.get(f"{PREFIX}model") == "llama" else None
    id = metadata.get(f"{PREFIX}{which}_token_id", default)
    return str(tokens[int(id)]) if id is not None and 0 <= int(id) < len(tokens) else ""


def _plain(value: Any, what: str, depth: int = 0) -> Any:
    """A marked copy made of JSON's kinds of values only: others have methods to misuse."""
    if depth > _MAX_DEPTH:
        raise TemplateError(f"{what} are nested deeper than {_MAX_DEPTH} levels")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return MarkedText(str.__str__(value))
    if isinstance(value, np.generic):
        return _plain(value.item(), what, depth)
    if isinstance(value, Mapping):
        return {
            _plain(key, what, depth + 1): _plain(item, what, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(item, what, depth + 1) for item in value]
    raise TemplateError(
        f"{what} hold a value of type {type(value).__name__}; expected JSON's kinds"
    )


def _message(message: Any) -> dict[str, Any]:
    """A message as templates expect it: a known role is theirs, reasoning goes by all its names."""
    if not isinstance(message, dict):
        raise TemplateError(
            f"a message is {message!r:.40}; expected an object with role and content"
        )
    role = message.get("role")
    if isinstance(role, str) and role in ROLES:
        message["role"] = str.__str__(role)
    reasoning = next(
        (message[key] for key in _REASONING_KEYS if message.get(key) is not None), None
    )
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def _size(value: Any) -> int:
    """Characters and items of plain data."""
    if isinstance(value, str):
        return len(value) + 1
    if isinstance(value, dict):
        return 1 + sum(_size(key) + _size(item) for key, item in value.items())
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1
