"""`homezoo chat`: a conversation with a model in the terminal."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from homezoo.commands.adapters import attach_adapters
from homezoo.commands.faults import warn_of_faults
from homezoo.commands.line_editor import LineEditor, state_folder
from homezoo.commands.markdown_stream import MarkdownStream
from homezoo.commands.model_path import find_model
from homezoo.commands.options import (
    AdapterOption,
    CacheFormat,
    CacheOption,
    ContextOption,
    DraftOption,
    MemoryOption,
    ModelArgument,
    PromptCacheOption,
    SystemOption,
    TemplateOption,
    ThreadsOption,
    bytes_of,
    with_generation_options,
)
from homezoo.commands.run import speed_line, use_template
from homezoo.commands.terminal import note, warn, write
from homezoo.errors import HomezooError, OptionError
from homezoo.run.chat import Chat
from homezoo.run.conversation import Conversation
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions
from homezoo.run.prompt_store import stored_prompts
from homezoo.run.stream import Stream

DETAILS = "Type /help for the words that are not said to the model. Ctrl-C stops an answer."
PROMPT = "> "

PlainOption = Annotated[
    bool, typer.Option("--plain", help="show answers as they are, not as Markdown")
]
NoHistoryOption = Annotated[bool, typer.Option("--no-history", help="do not keep what was typed")]


@with_generation_options
def command(
    model: ModelArgument,
    system: SystemOption = None,
    template: TemplateOption = None,
    adapter: AdapterOption = None,
    threads: ThreadsOption = None,
    context: ContextOption = None,
    cache: CacheOption = CacheFormat.F16,
    memory: MemoryOption = None,
    draft: DraftOption = None,
    prompt_cache: PromptCacheOption = False,
    plain: PlainOption = False,
    no_history: NoHistoryOption = False,
    *,
    options: GenerationOptions,
) -> None:
    """Opens the model and talks until /exit, Ctrl-D or the end of input."""
    if options.top_logprobs is not None:
        raise OptionError("--logprobs are not shown in a chat; use `homezoo run --json`")
    path = find_model(model)
    helper = None if draft is None else find_model(draft)
    with (
        Model.open(
            path,
            threads=threads,
            context=context,
            cache=cache.value,
            draft=helper,
            memory=bytes_of(memory),
        ) as opened,
        stored_prompts(opened, prompt_cache),
    ):
        attach_adapters(opened, adapter)
        use_template(opened, template)
        warn(opened.tokenizer.warnings)
        warn_of_faults(opened)
        editor = LineEditor(None if no_history else state_folder() / "chat_history")
        note(f"{path.name}, context of {opened.context:,} tokens; /help for help, Ctrl-D to leave")
        try:
            chat = Chat(opened, system=system, options=options)
            Talk(chat, markdown=not plain and sys.stdout.isatty()).run(editor)
        finally:
            editor.close()


class Talk:
    """The loop: reads a line, does a /word or lets the model answer."""

    def __init__(self, chat: Chat, markdown: bool) -> None:
        """`markdown` shows answers formatted, which needs a terminal."""
        self._chat = chat
        self._markdown = markdown
        self._words: dict[str, tuple[Callable[[str], None], str]] = {
            "/help": (self._help, "this list"),
            "/system": (self._system, "TEXT: what the model is told first; without TEXT, show it"),
            "/save": (self._save, "FILE: write the conversation as JSON"),
            "/load": (self._load, "FILE: go on with a saved conversation"),
            "/retry": (self._retry, "answer again what you said last"),
            "/undo": (self._undo, "take back what you said last, and its answer"),
            "/clear": (self._clear, "begin anew; the system text stays"),
        }

    def run(self, editor: LineEditor) -> None:
        """Until /exit or the end of input. Errors and Ctrl-C end an answer, not the program."""
        while True:
            try:
                line = editor.read(PROMPT).rstrip()
                if line in ("/exit", "/quit"):
                    return
                if line.startswith("/"):
                    self._obey(line)
                elif line:
                    self._show(self._chat.stream(line))
            except EOFError:
                return
            except KeyboardInterrupt:
                self._chat.settle()
                note("\n(/exit or Ctrl-D leaves)")
            except (HomezooError, OSError) as error:
                note(f"error: {error}")

    def _obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word not in self._words:
            raise OptionError(
                f"there is no word {word}; /help lists them (a space before / says it)"
            )
        self._words[word][0](rest.strip())

    def _show(self, stream: Stream) -> None:
        """The answer as it comes, then its speed; Ctrl-C ends it."""
        try:
            if self._markdown:
                from rich.console import Console

                with MarkdownStream(Console()) as shown:
                    for piece in stream:
                        shown.push(piece)
            else:
                for piece in stream:
                    write(piece)
                write("\n")
        except KeyboardInterrupt:
            note("")
        note(
            speed_line(stream.close(), self._chat.options)
        )  # closed: Ctrl-C may have come while text was shown

    def _help(self, _: str) -> None:
        for word, (_action, text) in self._words.items():
            note(f"  {word:<9}{text}")
        note("  /exit    leave (Ctrl-D too); a line that ends in \\ goes on in the next")

    def _system(self, text: str) -> None:
        if text:
            self._chat.conversation.system = text
        note(f"system: {self._chat.conversation.system or '(none)'}")

    def _save(self, name: str) -> None:
        self._chat.save(_path(name, "/save"))
        note(f"{len(self._chat.messages)} messages saved")

    def _load(self, name: str) -> None:
        self._chat.load(_path(name, "/load"))
        note(f"{len(self._chat.messages)} messages loaded")

    def _retry(self, _: str) -> None:
        self._show(self._chat.retry())

    def _undo(self, _: str) -> None:
        note(f"taken back: {self._chat.undo()}")

    def _clear(self, _: str) -> None:
        self._chat.conversation = Conversation(self._chat.conversation.system)
        note("a new conversation")


def _path(name: str, word: str) -> Path:
    if not name:
        raise OptionError(f"{word} needs the name of a file")
    return Path(name).expanduser()
