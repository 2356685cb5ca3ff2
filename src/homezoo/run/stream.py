"""The text of one answer as it is made."""

from collections.abc import Callable

from homezoo.run.answer import Answer
from homezoo.run.generate import Generation


class Stream:
    """An iterator of pieces of text, never part of a character; `answer` is the whole."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._pieces = generation.pieces()
        self._when_done: Callable[[Answer], None] | None = None

    def when_done(self, call: Callable[[Answer], None]) -> None:
        """Calls `call` once, when the answer is finished or cancelled."""
        self._when_done = call

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> str:
        """The next piece. After Ctrl-C the answer is "cancelled" and holds what there was."""
        try:
            return next(self._pieces)[1]
        except BaseException:  # StopIteration too
            self._tell()
            raise

    @property
    def answer(self) -> Answer:
        """The whole answer; computes what is left of it."""
        try:
            return self._generation.answers()[0]
        finally:
            self._tell()

    def cancel(self) -> None:
        """Ends the answer before its next token; may be called from another thread."""
        self._generation.cancel()

    def close(self) -> Answer:
        """Ends the answer here, and gives what there is."""
        self.cancel()
        return self.answer

    def _tell(self) -> None:
        call, self._when_done = self._when_done, None
        if call is not None:
            call(self._generation.answers()[0])
