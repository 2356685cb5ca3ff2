"""A conversation with a model that goes on from turn to turn."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from homezoo.errors import OptionError
from homezoo.run.answer import Answer
from homezoo.run.conversation import Conversation
from homezoo.run.model import Model
from homezoo.run.options import SEED_END, GenerationOptions
from homezoo.run.stream import Stream


class Chat:
    """Remembers the messages; what was computed of them is not computed again.

    A turn that fails, or is cancelled before any text came, is not remembered.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        messages: Iterable[Mapping[str, Any]] = (),
        options: GenerationOptions | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **changes: Any,
    ) -> None:
        """`options` and keywords hold for every turn. OptionError for a wrong message or option."""
        self.model = model
        self.conversation = Conversation(system, messages)
        self.options = (options or GenerationOptions()).change(**changes)
        self.tools = tools
        self._running: Stream | None = None
        self._retries = 0

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far, without an answer that is still being made."""
        return self.conversation.messages

    def ask(self, text: str, **changes: Any) -> Answer:
        """Says something and gives the answer."""
        return self.stream(text, **changes).answer

    def stream(self, text: str, **changes: Any) -> Stream:
        """Says something; the answer is an iterator of pieces of text.

        An answer still running is ended first, as "cancelled". Raises what Model.chat raises, and
        then nothing has been said.
        """
        self.settle()
        self._retries = 0
        return self._start(text, self.options.change(**changes))

    def retry(self, **changes: Any) -> Stream:
        """Answers again what was said last; with a fixed seed, from the next seed on.

        OptionError when nothing has been said; whatever fails, the old answer stays.
        """
        self.settle()
        before = list(self.messages)
        options = self.options.change(**changes)
        if options.seed is not None and "seed" not in changes:
            options = options.change(seed=(options.seed + self._retries + 1) % SEED_END)
        try:
            stream = self._start(self.conversation.undo(), options, before)
        except BaseException:
            self.conversation.messages = before
            raise
        self._retries += 1
        return stream

    def undo(self) -> str:
        """Takes back the last turn and gives what was said; OptionError when there is none."""
        self.settle()
        return self.conversation.undo()

    def save(self, path: str | Path) -> None:
        """Writes the messages as JSON: a whole file, or the old one stays."""
        self.settle()
        self.conversation.save(path)

    def load(self, path: str | Path) -> None:
        """Goes on with saved messages instead; OptionError when the file holds something else."""
        self.settle()
        self.conversation.load(path)

    def settle(self) -> None:
        """Ends an answer that is still running, as "cancelled"."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _start(
        self,
        text: str,
        options: GenerationOptions,
        otherwise: list[dict[str, Any]] | None = None,
    ) -> Stream:
        """`otherwise` are the messages when no answer comes of it: by default those before."""
        if not text.strip():
            raise OptionError("the message is empty; say something")
        before = list(self.messages) if otherwise is None else otherwise
        messages = [*self.messages, {"role": "user", "content": text}]
        stream = self.model.stream_chat(messages, options, tools=self.tools)

        def remember(answer: Answer) -> None:
            self._running = None
            if answer.stop_reason == "cancelled" and not answer.text:
                self.conversation.messages = before
            else:
                self.conversation.add("assistant", answer.text)

        self.conversation.messages = messages
        stream.when_done(remember)
        self._running = stream
        return stream
