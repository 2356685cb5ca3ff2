"""The operations of templates, each within its budget and each keeping the marks of its texts.

Operators, methods and filters that can make much out of little are checked before they run.
"""

import json
from collections.abc import Callable, Iterable, Mapping, MappingView
from datetime import datetime
from types import BuiltinMethodType, MethodType
from typing import Any

from homezoo.errors import TemplateError
from homezoo.text.marked import (
    OWN,
    MarkedText,
    holds_marked,
    join_text,
    substitute,
)
from homezoo.text.template_budget import INTEGER_BITS, Budget

# What templates may call on the plain values. Left out is what changes a value in place, gives
# bytes, or is of no use to text.
METHODS: tuple[tuple[Any, frozenset[str]], ...] = (
    (str, frozenset((
        "capitalize", "casefold", "center", "count", "endswith", "find", "format", "index",
        "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower",
        "isnumeric", "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower",
        "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex",
        "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip",
        "swapcase", "title", "upper", "zfill",
    ))),
    (Mapping, frozenset(("copy", "fromkeys", "get", "items", "keys", "values"))),
    (list, frozenset(("copy", "count", "index"))),
    (tuple, frozenset(("count", "index"))),
    (float, frozenset(("is_integer",))),
    (range, frozenset(("count", "index"))),
    ((int, set, frozenset, MappingView, bytes, complex, type), frozenset()),
)  # fmt: skip
_PADDING = {"center", "ljust", "rjust", "zfill"}
_FROM_RIGHT = {"rfind", "rindex", "rsplit", "rpartition"}


def is_allowed_attribute(owner: Any, name: str) -> bool:
    """Whether a template may use this attribute of a value; names with _ are refused elsewhere."""
    for type, names in METHODS:
        if isinstance(owner, type):
            return name in names
    return True


def operate(budget: Budget, operator: str, plain: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """`a operator b`, where `plain` is the operator's function."""
    budget.step()
    if operator == "%" and isinstance(a, str):
        return _percent(budget, a, b)
    if operator == "*":
        _check_product(budget, a, b)
    elif operator == "**":
        if not isinstance(b, (int, float)) or abs(b) > INTEGER_BITS:
            raise TemplateError(f"the chat template takes a power of {b!r:.40}; it may be hostile")
        if isinstance(a, int) and isinstance(b, int):
            budget.integer(a.bit_length() * abs(b))
    elif operator == "+" and isinstance(a, str) and isinstance(b, str):
        budget.text(len(a) + len(b))
        return plain(a, b)
    return budget.made(plain(a, b))


def _check_product(budget: Budget, a: Any, b: Any) -> None:
    for value, count in ((a, b), (b, a)):
        if isinstance(value, (str, list, tuple)) and isinstance(count, int):
            budget.text(budget.size(value) * max(count, 0))


def _percent(budget: Budget, pattern: str, values: Any) -> str:
    budget.pattern(pattern)
    budget.text(budget.size(values))
    if isinstance(pattern, MarkedText):
        return MarkedText(str.__mod__(pattern, values))
    if isinstance(values, Mapping) or not holds_marked(values):
        return _outside_if(holds_marked(values), pattern % values)
    given = values if isinstance(values, tuple) else (values,)
    return _fill(lambda filled: pattern % tuple(filled), given)


def _fill(render: Callable[[list[Any]], str], given: Iterable[Any]) -> str:
    """A pattern of the template's own, filled with values of which some are from outside."""
    values = list(given)
    places = [index for index, value in enumerate(values) if isinstance(value, str)]

    def with_texts(texts: list[str]) -> str:
        filled = list(values)
        for index, text in zip(places, texts, strict=True):
            filled[index] = text
        return str.__str__(render(filled))

    others = [value for value in values if not isinstance(value, str)]
    if holds_marked(others):
        return MarkedText(str.__str__(render(values)))
    return substitute(with_texts, [values[index] for index in places])


def _outside_if(outside: bool, value: Any) -> Any:
    return MarkedText(value) if outside and type(value) is str else value


def call(
    budget: Budget, function: Callable[..., Any], run: Callable[..., Any], args: Any, kw: Any
) -> Any:
    """`function(*args, **kw)` through `run`, which takes the function first."""
    budget.step()
    name = getattr(function, "__name__", "")
    wrapped = getattr(function, "__wrapped__", function)  # the sandbox wraps `format`
    owner = getattr(wrapped, "__self__", None)
    if not isinstance(owner, str) or not isinstance(wrapped, (MethodType, BuiltinMethodType)):
        return budget.made(run(function, *args, **kw))
    given = (*args, *kw.values())
    if name == "format":
        return _format(budget, owner, function, args, kw)
    check_method(budget, owner, name, args)
    if name == "join" and args:
        return join_texts(budget, args[0], owner)
    if type(owner) is str and holds_marked(given):
        function = getattr(MarkedText(owner, OWN * len(owner)), name)
    result = budget.made(run(function, *args, **kw))
    return _outside_if(holds_marked([owner, *given]), result)


def check_method(budget: Budget, text: str, name: str, args: tuple[Any, ...]) -> None:
    """TemplateError if a method of a text, with these arguments, would make or do too much."""
    if name in _PADDING:
        budget.width(*args)
    elif name in _FROM_RIGHT and args and isinstance(args[0], str):
        budget.search(text, args[0])
    elif name == "replace" and len(args) > 1 and all(isinstance(arg, str) for arg in args[:2]):
        budget.text(len(text) + text.count(args[0]) * len(args[1]))


def replace(budget: Budget, text: str, old: str, new: str, count: int) -> str:
    """`text.replace(old, new, count)`."""
    check_method(budget, text, "replace", (old, new))
    if type(text) is str and holds_marked(new):
        text = MarkedText(text, OWN * len(text))
    return text.replace(old, new, count)


def _format(budget: Budget, pattern: str, function: Any, args: Any, kw: Any) -> str:
    budget.pattern(pattern)
    budget.text(budget.size([*args, *kw.values()]))
    names = list(kw)
    if isinstance(pattern, MarkedText):
        return MarkedText(str.__str__(function(*args, **kw)))
    return _fill(
        lambda filled: function(
            *filled[: len(args)], **dict(zip(names, filled[len(args) :], strict=True))
        ),
        [*args, *kw.values()],
    )


def join_texts(budget: Budget, parts: Iterable[Any], separator: str) -> str:
    """`separator.join(parts)`; TypeError, as ever, for a part that is no text."""
    listed = []
    for part in parts:
        budget.text(len(separator) + (len(part) if isinstance(part, str) else 0))
        listed.append(part)
    return join_text(separator, listed)


def to_text(budget: Budget, value: Any) -> str:
    """A value as a template prints it."""
    if isinstance(value, str):
        budget.text(len(value))
        return value
    if isinstance(value, int):
        budget.integer(value.bit_length())
    else:
        budget.text(budget.size(value))
    return str(_outside_if(holds_marked(value), str(value)))


def to_json(
    budget: Budget,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as Hugging Face's templates expect it: no HTML escapes, characters as they are."""
    budget.width(indent, *(len(text) for text in separators or ()))
    if isinstance(indent, str):
        budget.width(len(indent))
    budget.text(budget.size(value))
    text = json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    return str(_outside_if(holds_marked(value), budget.made(text)))


def strftime_now(budget: Budget, format: str) -> str:
    """The present time, as `datetime.strftime` writes it."""
    budget.pattern(format)
    return str(_outside_if(holds_marked(format), datetime.now().strftime(format)))
