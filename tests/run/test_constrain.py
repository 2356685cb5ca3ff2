"""Constrained answers always fit, whatever is drawn; what cannot be compiled is one clear error."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homezoo.errors import ConstraintError
from homezoo.run.constrain import Constraint, ConstraintCompiler

# Every byte, some longer tokens that cross the borders of JSON's parts, a control token, an end.
TOKENS = [bytes([byte]) for byte in range(256)] + [
    b'{"', b'"}', b'": "', b'", "', b'":', b"  ", b"name", b"age", b"true", b"<s>", b"</s>",
]  # fmt: skip
CONTROL, END = len(TOKENS) - 2, len(TOKENS) - 1
COMPILER = ConstraintCompiler(TOKENS, [CONTROL], [END], lambda text: list(text.encode()))
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b", None]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def random_walk(constraint: Constraint, seed: int, most: int = 2000) -> bytes | None:
    """An answer made of random allowed tokens; None when it does not end in `most`."""
    random = np.random.default_rng(seed)
    matcher, answer = COMPILER.start(constraint), b""
    for _ in range(most):
        if matcher.finished:
            return answer
        allowed = np.flatnonzero(matcher.allowed())
        assert CONTROL not in allowed
        assert (END in allowed) == matcher.complete
        token = int(random.choice(allowed))
        if token == END:
            return answer
        matcher.accept(token)
        answer += TOKENS[token]
    return None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_any_answer_to_a_schema_parses_and_fits(seed: int) -> None:
    answer = random_walk(Constraint.json_schema(SCHEMA), seed)
    assert answer is not None
    parsed = json.loads(answer)
    assert list(parsed) == ["name", "age", "tags"]
    assert isinstance(parsed["name"], str) and len(parsed["name"]) <= 12
    assert isinstance(parsed["age"], int) and 0 <= parsed["age"] <= 150
    assert len(parsed["tags"]) <= 3 and all(tag in ("a", "b", None) for tag in parsed["tags"])


def test_white_space_between_the_parts_of_json_is_bounded() -> None:
    matcher = COMPILER.start(Constraint.json_schema({"const": [1]}))
    longest = 0
    for token in b"[ ":
        matcher.accept(token)
    assert not matcher.allowed()[ord(" ")]
    matcher = COMPILER.start(Constraint.json_schema({"const": [1]}))
    for token in b"[\n":
        matcher.accept(token)
    while matcher.allowed()[ord(" ")]:
        matcher.accept(ord(" "))
        longest += 1
    assert longest == 20


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_any_answer_to_a_regex_matches_it_whole(seed: int) -> None:
    pattern = r"(ab|cd){1,3}-[0-9]{2,4}(\.[xyzé]{0,2})?"
    answer = random_walk(Constraint.regex(pattern), seed)
    assert answer is not None and re.fullmatch(pattern, answer.decode())


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1),
    st.integers(0, 2**32),
)
def test_any_answer_to_choices_is_one_of_them(texts: list[str], seed: int) -> None:
    answer = random_walk(Constraint.choices(texts), seed)
    assert answer is not None and answer.decode() in texts


def test_every_choice_can_be_reached() -> None:
    found = {
        random_walk(Constraint.choices(["yes", "yes, please", "no"]), seed) for seed in range(60)
    }
    assert found == {b"yes", b"yes, please", b"no"}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_any_answer_to_a_grammar_is_of_it(seed: int) -> None:
    grammar = 'start: sum\nsum: "(" sum "+" sum ")" | DIGIT\nDIGIT: /[0-9]/'
    answer = random_walk(Constraint.grammar(grammar), seed)
    if answer is not None:  # a sum may grow without end
        assert isinstance(eval(answer, {"__builtins__": {}}), int)


def test_without_a_schema_any_object_fits() -> None:
    matcher = COMPILER.start(Constraint.json_schema())
    assert not matcher.allowed()[ord("[")]
    for token in b'{"x": [1, {"y": null}]}':
        assert matcher.allowed()[token]
        matcher.accept(token)
    assert matcher.complete


def test_a_schema_can_be_given_as_text() -> None:
    assert Constraint.json_schema(json.dumps(SCHEMA)) == Constraint.json_schema(SCHEMA)


@pytest.mark.parametrize("source", ['{"type":', "[1]", '"string"', 7, ["type"]])
def test_what_is_no_schema_is_an_error(source: Any) -> None:
    with pytest.raises(ConstraintError, match="JSON schema cannot be read.*expected a JSON object"):
        Constraint.json_schema(source)


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (Constraint.json_schema({"type": "text"}), "JSON schema cannot be used: .*text"),
        (Constraint.json_schema({"$ref": "#/nothing"}), "nothing"),
        (Constraint.json_schema({"not": {"type": "string"}}), 'Unimplemented keys: ."not"'),
        (Constraint.regex("(a"), "regular expression cannot be used: .*unclosed group"),
        (Constraint.regex("(?=a)b"), "look-around"),
        (Constraint.grammar('first: "a"'), "no start rule"),
    ],
)
def test_what_cannot_be_compiled_is_one_line_that_says_why(
    constraint: Constraint, message: str
) -> None:
    with pytest.raises(ConstraintError, match=message) as caught:
        COMPILER.start(constraint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("texts", [[], [""], ["a", ""], "yes"])
def test_choices_need_texts(texts: Any) -> None:
    with pytest.raises(ConstraintError, match="choices are"):
        Constraint.choices(texts)


def test_a_token_that_was_not_allowed_is_an_error() -> None:
    matcher = COMPILER.start(Constraint.choices(["yes"]))
    with pytest.raises(ConstraintError, match="choices cannot be followed"):
        matcher.accept(ord("n"))


def test_a_vocabulary_without_an_end_still_completes() -> None:
    compiler = ConstraintCompiler(TOKENS[:256], [], [], lambda text: list(text.encode()))
    matcher = compiler.start(Constraint.choices(["yes"]))
    for token in b"yes":
        assert matcher.allowed().shape == (256,)
        matcher.accept(token)
    assert matcher.finished


def test_a_vocabulary_that_adds_a_space_can_still_be_forced() -> None:
    tokens = [*TOKENS, b" yes"]
    compiler = ConstraintCompiler(tokens, [CONTROL], [END], lambda text: [len(TOKENS)])
    matcher = compiler.start(Constraint.choices(["yes"]))
    assert matcher.allowed()[ord("y")]
