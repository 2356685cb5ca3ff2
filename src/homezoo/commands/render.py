"""`homezoo render`: a conversation exactly as the chat template writes it for the model."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.model_path import find_model
from homezoo.commands.options import ModelArgument, TemplateOption, read_text
from homezoo.errors import OptionError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.text.template import ChatTemplate

DETAILS = "The text is printed exactly: no line break is added, unless to a terminal."

MessagesOption = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help='JSON: a list of {"role", "content"}, or an object with "messages" and "tools"',
        show_default=False,
    ),
]
ToolsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="JSON: a list of tools the model may call")
]
PromptOption = Annotated[
    bool,
    typer.Option(
        "--prompt/--no-prompt",
        help="end where the model's answer begins, or after the last message",
    ),
]


def command(
    model: ModelArgument,
    messages: MessagesOption,
    template: TemplateOption = None,
    tools: ToolsOption = None,
    prompt: PromptOption = True,
) -> None:
    """Reads the template alone: a file without weights will do."""
    with GGUFFile.open(find_model(model)) as file:
        metadata = dict(file.metadata)
        if template is not None:
            metadata["tokenizer.chat_template"] = read_text(template)
        chat_template = ChatTemplate.from_metadata(metadata)
    conversation = _read_json(messages)
    offered = None if tools is None else _list_of_objects(_read_json(tools), tools, "tools")
    if isinstance(conversation, dict):
        if offered is None and conversation.get("tools") is not None:
            offered = _list_of_objects(conversation["tools"], messages, "tools")
        conversation = conversation.get("messages")
    listed = _list_of_objects(conversation, messages, "messages")
    text = chat_template.render(listed, tools=offered, add_generation_prompt=prompt)
    sys.stdout.write(text + ("\n" if sys.stdout.isatty() else ""))


def _read_json(path: Path) -> Any:
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path} is not JSON: {error}") from None


def _list_of_objects(value: Any, path: Path, what: str) -> list[dict[str, Any]]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    found = type(value).__name__
    raise OptionError(f"{path} holds {found} as {what}; expected a list of JSON objects")
