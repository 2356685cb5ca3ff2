"""From rows to prompts and answers: the named templates that put an example into text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homezoo.errors import DataError, OptionError
from homezoo.train.rows import Completion, Conversation, Instruction, Row, Text

# Prompts of tatsu-lab/stanford_alpaca, train.py: they must be the same to the letter, since models
# were trained on them. There the prompt ends at the colon; tloen/alpaca-lora ends it with a new
# line, and with a SentencePiece vocabulary that changes the first token of the answer.
_TASK = "Below is an instruction that describes a task"
_RESPOND = "Write a response that appropriately completes the request.\n\n"
_WITH_INPUT = (
    f"{_TASK}, paired with an input that provides further context. {_RESPOND}"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
_WITHOUT_INPUT = f"{_TASK}. {_RESPOND}### Instruction:\n{{instruction}}\n\n### Response:"

CHAT = "chat"  # the model's own
RAW = "raw"  # no template: prompt and answer as they are
_ENDINGS = {"alpaca": "", "alpaca-lora": "\n"}
NAMES = (CHAT, *_ENDINGS, RAW)


@dataclass(frozen=True)
class Example:
    """A prompt, which is not learned, and its answer, which is; both as plain text."""

    prompt: str
    answer: str


def check_template(name: str) -> str:
    """The name, if it is one; OptionError."""
    if name not in NAMES:
        raise OptionError(f"template {name!r}; expected one of {', '.join(NAMES)}")
    return name


def default_template(rows: list[Row], has_chat: bool) -> str:
    """The template for data whose user names none: the model's own for tasks and conversations.

    Without one, tasks are put into Alpaca's. Completions and texts are taken as they are.
    """
    if all(isinstance(row, Completion | Text) for row in rows):
        return RAW
    return CHAT if has_chat else "alpaca"


def make_example(template: str, row: Row) -> Example:
    """A row in a template of text (any but `chat`); DataError when it does not fit into it."""
    if isinstance(row, Text):
        return Example("", row.text)
    if template == RAW:
        if isinstance(row, Completion):
            return Example(row.prompt, row.completion)
        raise DataError("is a task or conversation, which `raw` cannot hold; choose a template")
    instruction, given, answer = _task(row)
    form = _WITH_INPUT if given else _WITHOUT_INPUT
    prompt = form.format(instruction=instruction, input=given)
    return Example(prompt + _ENDINGS[template], answer)


def make_messages(row: Row) -> list[Mapping[str, Any]]:
    """A row as a conversation, for the model's own template; DataError for plain text."""
    if isinstance(row, Conversation):
        return list(row.messages)
    if isinstance(row, Text):
        raise DataError("is plain text, which is no conversation")
    instruction, given, answer = _task(row)
    asked = f"{instruction}\n\n{given}" if given else instruction
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _task(row: Row) -> tuple[str, str, str]:
    """Instruction, input and answer of a row that is a task, or one question and its answer."""
    if isinstance(row, Instruction):
        return row.instruction, row.input, row.output
    if isinstance(row, Completion):
        return row.prompt, "", row.completion
    if isinstance(row, Conversation):
        roles = [message["role"] for message in row.messages]
        if roles == ["user", "assistant"]:
            question, answer = (str(message.get("content", "")) for message in row.messages)
            return question, "", answer
        raise DataError(
            f"has messages of {', '.join(roles)}; this template holds one of user and one of "
            "assistant; use --template chat"
        )
    raise DataError("is plain text, which this template cannot hold")
