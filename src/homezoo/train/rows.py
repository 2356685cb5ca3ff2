"""What a row of training data may be, whatever file it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homezoo.errors import DataError

# ShareGPT's names of who speaks, and OpenAI's.
_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
_EXPECTED = "expected instruction and output, messages, prompt and completion, or text"


@dataclass(frozen=True)
class Instruction:
    """A task and its answer, as in Stanford Alpaca; `input` may be empty."""

    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class Conversation:
    """Messages of {"role", "content"}; every assistant's one is learned."""

    messages: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Completion:
    """A beginning that is given, and how it goes on."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class Text:
    """Plain text, all of which is learned."""

    text: str


Row = Instruction | Conversation | Completion | Text


def rows_of(value: Any) -> list[Row]:
    """The rows that one JSON value stands for: one, or one for each of a seed task's instances.

    Keys: instruction, input, output (Alpaca); messages (OpenAI) or conversations (ShareGPT);
    prompt and completion; text. Raises DataError saying what is wrong with it.
    """
    if isinstance(value, str):
        return [Text(_filled(value, "the text"))]
    if not isinstance(value, Mapping):
        raise DataError(f"is {type(value).__name__}; expected an object with keys")
    if "messages" in value or "conversations" in value:
        return [_conversation(value.get("messages", value.get("conversations")))]
    if "instruction" in value:
        return _instructions(value)
    if "prompt" in value:
        return [_completion(value)]
    if "text" in value:
        return [Text(_filled(value["text"], "text"))]
    keys = ", ".join(map(repr, list(value)[:6])) or "none"
    raise DataError(f"has the keys {keys}; {_EXPECTED}")


def _instructions(value: Mapping[str, Any]) -> list[Row]:
    instruction = _filled(value["instruction"], "instruction")
    instances = value.get("instances", [value])
    if not isinstance(instances, Sequence) or not instances:
        raise DataError("has no instances; expected a list of {input, output}")
    rows: list[Row] = []
    for instance in instances:
        if not isinstance(instance, Mapping):
            raise DataError(f"has an instance that is {type(instance).__name__}")
        given = instance.get("input") or ""
        output = _filled(instance.get("output"), "output")
        rows.append(Instruction(instruction, _text(given, "input"), output))
    return rows


def _completion(value: Mapping[str, Any]) -> Row:
    prompt = value["prompt"]
    answer = value.get("completion", value.get("response"))
    if isinstance(prompt, list) and isinstance(answer, list):  # TRL's conversational form
        return _conversation([*prompt, *answer])
    return Completion(_text(prompt, "prompt"), _filled(answer, "completion"))


def _conversation(messages: Any) -> Conversation:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise DataError("has no messages; expected a list of {role, content}")
    found: list[Mapping[str, Any]] = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping):
            raise DataError(f"message {number} is {type(message).__name__}; expected an object")
        if "from" in message:
            speaker = str(message["from"])
            message = {"role": _ROLES.get(speaker, speaker), "content": message.get("value")}
        if not isinstance(message.get("role"), str):
            raise DataError(f"message {number} has the role {message.get('role')!r}")
        answers = message["role"] == "assistant"
        if not isinstance(message.get("content"), str) and not message.get("tool_calls"):
            raise DataError(f"message {number} has the content {message.get('content')!r:.40}")
        if answers and not message.get("content") and not message.get("tool_calls"):
            raise DataError(f"message {number}, an answer, is empty")
        found.append(dict(message))
    if not any(message["role"] == "assistant" for message in found):
        raise DataError("has no message of the role assistant, so nothing to learn")
    return Conversation(tuple(found))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{name} is {value!r:.40}; expected text")
    return value


def _filled(value: Any, name: str) -> str:
    if not _text(value, name).strip():
        raise DataError(f"{name} is empty")
    return str(value)
