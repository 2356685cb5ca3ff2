"""What a caller can ask of a generation: one frozen dataclass, checked where it is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf, isnan
from types import MappingProxyType
from typing import Any

from homezoo.errors import OptionError
from homezoo.run.constrain import Constraint

# off: a pass for each token. lookup: guesses from what stood in the text before. auto: those, what
# a constraint forces, and a draft model where there is one. The answer is the same with each.
SPECULATE = ("off", "lookup", "auto")
SEED_END = 1 << 64  # seeds are 64-bit: half of the key of the Philox generator


@dataclass(frozen=True)
class GenerationOptions:
    """How tokens are chosen and when to stop. OptionError says which value is out of range.

    The filters act in this order: constraint, logit bias, penalties, top_k, typical_p, top_p,
    min_p, temperature, draw (llama.cpp's order). So top_p and min_p look at the model's own
    distribution, and temperature flattens only what they left.
    """

    max_tokens: int | None = field(
        default=None,
        metadata={"help": "tokens to generate at most; without it, to the context's end"},
    )
    temperature: float = field(
        default=0.8, metadata={"help": "0 always takes the likeliest token; higher is more varied"}
    )
    top_k: int = field(
        default=40, metadata={"help": "keep this many likeliest tokens; 0 keeps all"}
    )
    typical_p: float = field(
        default=1.0, metadata={"help": "keep the most typical tokens of this mass; 1 keeps all"}
    )
    top_p: float = field(
        default=0.95, metadata={"help": "keep the likeliest tokens of this mass; 1 keeps all"}
    )
    min_p: float = field(
        default=0.05,
        metadata={"help": "drop tokens below this share of the likeliest one's; 0 keeps all"},
    )
    repetition_penalty: float = field(
        default=1.0, metadata={"help": "divide the logits of recent tokens by this; 1 is off"}
    )
    presence_penalty: float = field(
        default=0.0, metadata={"help": "subtract this from the logits of recent tokens"}
    )
    frequency_penalty: float = field(
        default=0.0, metadata={"help": "subtract this for each recent occurrence of a token"}
    )
    penalty_window: int = field(
        default=64, metadata={"help": "how many last tokens are recent; 0 means all"}
    )
    logit_bias: Mapping[int, float] = field(
        default_factory=dict,
        hash=False,
        metadata={"help": "added to the logits of token ids; -inf forbids one"},
    )
    seed: int | None = field(
        default=None,
        metadata={"help": "the same seed gives the same answer; without it, a random one"},
    )
    stop: Sequence[str] = field(
        default=(), metadata={"help": "end before the first of these texts, which is never shown"}
    )
    ignore_end: bool = field(
        default=False, metadata={"help": "go on after the model ends its answer"}
    )
    top_logprobs: int | None = field(
        default=None,
        metadata={"help": "give log-probabilities of each token and of this many likeliest ones"},
    )
    speculate: str = field(
        default="auto",
        metadata={"help": "guess tokens ahead while that saves time: off, lookup, auto"},
    )
    constraint: Constraint | None = field(
        default=None, metadata={"help": "what the answer must look like"}
    )
    adapters: Mapping[str, float] | None = field(
        default=None,
        hash=False,
        metadata={"help": "attached adapters to use, name to strength; without it, all of them"},
    )

    def __post_init__(self) -> None:
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        object.__setattr__(self, "stop", stop)
        object.__setattr__(self, "logit_bias", MappingProxyType(dict(self.logit_bias)))
        if self.adapters is not None:
            if not isinstance(self.adapters, Mapping):
                raise OptionError(f"adapters is {self.adapters!r}; expected names and strengths")
            object.__setattr__(self, "adapters", MappingProxyType(dict(self.adapters)))
        self._check_whole("max_tokens", 1, None, optional=True)
        self._check_whole("top_k", 0)
        self._check_whole("penalty_window", 0)
        self._check_whole("seed", 0, SEED_END, optional=True)
        self._check_whole("top_logprobs", 0, optional=True)
        self._check_real("temperature", 0.0, inf, "0 or more")
        self._check_real("repetition_penalty", 0.0, inf, "more than 0", low_open=True)
        self._check_real("presence_penalty", -inf, inf, "a finite number", low_open=True)
        self._check_real("frequency_penalty", -inf, inf, "a finite number", low_open=True)
        self._check_real("typical_p", 0.0, 1.0, "more than 0, at most 1", True, high_open=False)
        self._check_real("top_p", 0.0, 1.0, "more than 0, at most 1", True, high_open=False)
        self._check_real("min_p", 0.0, 1.0, "0 to 1", high_open=False)
        self._check_contents()

    def change(self, **changes: Any) -> "GenerationOptions":
        """These options with some replaced; OptionError names an unknown one, lists the known."""
        known = [option.name for option in fields(self)]
        for name in changes:
            if name not in known:
                raise OptionError(f"unknown option {name!r}; expected one of {', '.join(known)}")
        return replace(self, **changes) if changes else self

    def _check_whole(
        self, name: str, low: int, end: int | None = None, optional: bool = False
    ) -> None:
        value = getattr(self, name)
        if value is None and optional:
            return
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < low or (end is not None and value >= end):
            above = f"{low} or more" if end is None else f"{low} to {end - 1}"
            raise OptionError(f"{name} is {value!r}; expected a whole number, {above}")

    def _check_real(
        self,
        name: str,
        low: float,
        high: float,
        expected: str,
        low_open: bool = False,
        high_open: bool = True,
    ) -> None:
        value = getattr(self, name)
        number = (
            isinstance(value, (int, float)) and not isinstance(value, bool) and not isnan(value)
        )
        inside = number and low <= value <= high
        if not inside or (low_open and value == low) or (high_open and value == high):
            raise OptionError(f"{name} is {value!r}; expected {expected}")

    def _check_contents(self) -> None:
        for text in self.stop:
            if not isinstance(text, str) or not text:
                raise OptionError(f"stop text is {text!r}; expected texts that are not empty")
        for token, bias in self.logit_bias.items():
            if not isinstance(token, int) or isinstance(token, bool) or token < 0:
                raise OptionError(f"logit_bias names token {token!r}; expected ids from 0 on")
            if not isinstance(bias, (int, float)) or isnan(bias) or bias == inf:
                raise OptionError(
                    f"logit_bias of token {token} is {bias!r}; expected a number below infinity"
                )
        if self.speculate not in SPECULATE:
            raise OptionError(
                f"speculate is {self.speculate!r}; expected one of {', '.join(SPECULATE)}"
            )
        if self.constraint is not None and not isinstance(self.constraint, Constraint):
            raise OptionError(
                f"constraint is {self.constraint!r}; expected Constraint.json_schema(…), "
                ".regex(…), .choices(…) or .grammar(…)"
            )
        if self.constraint is not None and self.ignore_end:
            raise OptionError("ignore_end is True beside a constraint; give only one of them")


def options_for_each(
    options: GenerationOptions | Sequence[GenerationOptions] | None, count: int, **changes: Any
) -> list[GenerationOptions]:
    """Options of `count` answers, from one object for all or a list; `changes` hold for all.

    OptionError for a list of another length.
    """
    if options is None or isinstance(options, GenerationOptions):
        return [(options or GenerationOptions()).change(**changes)] * count
    if len(options) != count:
        raise OptionError(f"options are a list of {len(options)} for {count} prompts")
    return [chosen.change(**changes) for chosen in options]
