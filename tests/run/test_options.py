"""Options are checked where they are made; each wrong value is named."""

from dataclasses import FrozenInstanceError
from math import inf, nan
from typing import Any

import pytest

from homezoo.errors import OptionError
from homezoo.run.constrain import Constraint
from homezoo.run.options import GenerationOptions

WRONG: list[tuple[str, Any]] = [
    ("max_tokens", 0),
    ("max_tokens", 1.5),
    ("temperature", -0.1),
    ("temperature", inf),
    ("temperature", "hot"),
    ("top_k", -1),
    ("top_k", True),
    ("top_p", 0.0),
    ("top_p", 1.1),
    ("typical_p", 0),
    ("min_p", -0.01),
    ("min_p", 1.01),
    ("repetition_penalty", 0.0),
    ("presence_penalty", nan),
    ("frequency_penalty", inf),
    ("penalty_window", -1),
    ("seed", -1),
    ("seed", 1 << 64),
    ("top_logprobs", -1),
    ("stop", ("fine", "")),
    ("stop", (3,)),
    ("logit_bias", {-1: 0.0}),
    ("logit_bias", {1: inf}),
    ("logit_bias", {1: nan}),
    ("logit_bias", {"a": 1.0}),
    ("constraint", "[a-z]+"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_out_of_range_is_an_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name.split("_")[0]) as caught:
        GenerationOptions(**{name: value})
    assert "\n" not in str(caught.value)


def test_the_ends_of_every_range_are_taken() -> None:
    GenerationOptions(
        max_tokens=1,
        temperature=0,
        top_k=0,
        top_p=1,
        typical_p=1,
        min_p=1,
        penalty_window=0,
        seed=0,
    )
    GenerationOptions(min_p=0, seed=(1 << 64) - 1, top_logprobs=0, logit_bias={0: -inf})


def test_an_unknown_option_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(OptionError, match=r"unknown option 'temprature'.*temperature"):
        GenerationOptions().change(temprature=1.0)


def test_changes_are_checked_too_and_leave_the_original() -> None:
    options = GenerationOptions(top_k=5)
    assert options.change(seed=3).top_k == 5 and options.seed is None
    with pytest.raises(OptionError):
        options.change(top_k=-5)


def test_options_cannot_be_changed_behind_their_back() -> None:
    bias = {1: 2.0}
    options = GenerationOptions(logit_bias=bias)
    bias[1] = inf
    assert options.logit_bias == {1: 2.0}
    with pytest.raises(TypeError):
        options.logit_bias[1] = 3.0  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        options.top_k = 3  # type: ignore[misc]


def test_one_stop_text_is_not_taken_for_a_list_of_letters() -> None:
    assert GenerationOptions(stop="END").stop == ("END",)


def test_a_constraint_and_ignore_end_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="ignore_end"):
        GenerationOptions(constraint=Constraint.regex("a"), ignore_end=True)
