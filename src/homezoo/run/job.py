"""One answer on its way: takes logits, chooses a token, says what can be shown, when to stop."""

import time
from codecs import getincrementaldecoder
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from homezoo.models.cache import Adapters, Sequence
from homezoo.run.answer import Answer, StopReason, Timings, TokenLogprob, token_logprob
from homezoo.run.constrain import Constraint, ConstraintMatcher
from homezoo.run.options import GenerationOptions
from homezoo.run.sampling import Sampler
from homezoo.text.detokenize import TextStream
from homezoo.text.stop import StopStrings
from homezoo.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Request:
    """What to continue, and how."""

    tokens: list[int]
    options: GenerationOptions
    continues: bool  # the answer goes on with the prompt's text, and is no text of its own


class ExactText:
    """The text of a constrained answer: every byte that was matched, a first space too."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        """Whole characters that are there once this token is."""
        return self._decoder.decode(self._tokenizer.token_bytes(id))

    def finish(self) -> str:
        """U+FFFD for a character that never became whole, or nothing."""
        return self._decoder.decode(b"", final=True)


class Job:
    """The state of one answer between passes."""

    def __init__(
        self,
        request: Request,
        tokenizer: Tokenizer,
        context: int,
        start_matcher: Callable[[Constraint], ConstraintMatcher],
        adapters: Adapters = (),
    ) -> None:
        """Raises OptionError or ConstraintError for what this vocabulary cannot do."""
        options = request.options
        self.options = options
        self.prompt = request.tokens
        self.adapters = adapters
        self.stop_reason: StopReason | None = None
        self.sequence: Sequence | None = None
        self.pending: list[int] = []  # tokens to compute next: of the prompt, later the newest one
        self._context = context
        self._sampler = Sampler(options, tokenizer.vocab_size)
        self._matcher = start_matcher(options.constraint) if options.constraint else None
        self._end_ids = frozenset(() if options.ignore_end else tokenizer.end_ids)
        self._characters = self._text_stream(request, tokenizer)
        self._stops = StopStrings(options.stop)
        self._history = list(request.tokens)
        self._shown: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._cached = 0
        self._choices = 0
        self._guessed = 0
        self._right = 0
        self._started = self._first = self._last = time.perf_counter()

    def _text_stream(self, request: Request, tokenizer: Tokenizer) -> TextStream | ExactText:
        if self._matcher is not None:
            return ExactText(tokenizer)
        return tokenizer.stream(after=request.tokens if request.continues else ())

    @property
    def positions(self) -> int:
        """How many positions the answer may come to need: all but its last token are computed."""
        most = self.options.max_tokens
        return self._context if most is None else min(self._context, len(self.prompt) + most - 1)

    @property
    def history(self) -> list[int]:
        """The prompt and the answer so far; not to be changed."""
        return self._history

    def choose(self, logits: np.ndarray, history: list[int]) -> int:
        """What the answer's own sampler would take after `history`, without its constraint."""
        return self._sampler.choose(logits, history)

    def forced_tokens(self) -> list[int]:
        """Tokens of the only text that a constraint allows next; often none."""
        return [] if self._matcher is None else self._matcher.forced()

    def allowed_prefix(self, tokens: list[int]) -> list[int]:
        """The beginning of some tokens that a constraint allows next."""
        return tokens if self._matcher is None else self._matcher.allowed_prefix(tokens)

    def start(self, sequence: Sequence) -> None:
        """Takes the sequence that holds what is computed of the prompt already."""
        self.sequence = sequence
        self._cached = len(sequence)
        self.pending = self.prompt[len(sequence) :]
        self._started = self._first = self._last = time.perf_counter()

    def take(self, logits: np.ndarray) -> str:
        """The next token from logits float32 [V] after all that was pending; gives text to show."""
        allowed = None if self._matcher is None else self._matcher.allowed()
        token = self._sampler.choose(logits, self._history, allowed)
        self._last = time.perf_counter()
        if not self._choices:
            self._first = self._last
        self._choices += 1
        if token in self._end_ids:
            return self._finish("end")
        self._history.append(token)
        if self.options.top_logprobs is not None:
            self._logprobs.append(token_logprob(logits, token, self.options.top_logprobs))
        if self._matcher is not None:
            self._matcher.accept(token)
        shown, stopped = self._stops.push(self._characters.push(token))
        self._shown.append(shown)
        if stopped:
            self.stop_reason = "stop"
            return shown
        return shown + self._go_on(token)

    def cancel(self) -> None:
        """Ends an unfinished answer where it is."""
        if self.stop_reason is None:
            self._finish("cancelled")

    def count_guesses(self, guessed: int, right: int) -> None:
        """So many tokens were guessed and checked in a pass, so many of them were right."""
        self._guessed += guessed
        self._right += right

    def answer(self) -> Answer:
        """What came of it, once it is finished."""
        assert self.stop_reason is not None
        return Answer(
            text="".join(self._shown),
            tokens=tuple(self._history[len(self.prompt) :]),
            stop_reason=self.stop_reason,
            prompt_tokens=len(self.prompt),
            cached_tokens=self._cached,
            seed=self._sampler.seed,
            timings=Timings(
                prefill_tokens=len(self.prompt) - self._cached,
                prefill_seconds=self._first - self._started,
                decode_tokens=max(0, self._choices - 1),
                decode_seconds=self._last - self._first,
                guessed_tokens=self._guessed,
                right_guesses=self._right,
            ),
            logprobs=None if self.options.top_logprobs is None else tuple(self._logprobs),
        )

    def _answer_length(self) -> int:
        return len(self._history) - len(self.prompt)

    def _go_on(self, token: int) -> str:
        """Whether the answer ends after this token; else the token is to be computed."""
        if self._matcher is not None and self._matcher.finished:
            return self._finish("end")
        if self._answer_length() == self.options.max_tokens:
            return self._finish("length")
        if len(self._history) > self._context:  # the token itself has no place to be computed in
            return self._finish("context")
        self.pending = [token]
        return ""

    def _finish(self, reason: StopReason) -> str:
        """Ends, and gives the text that was held back for a stop text or a whole character."""
        self.stop_reason = reason
        shown, stopped = self._stops.push(self._characters.finish())
        if not stopped:
            shown += self._stops.finish()
        else:
            self.stop_reason = "stop"
        self._shown.append(shown)
        return shown
