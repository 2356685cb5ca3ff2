"""Jinja's immutable sandbox with a budget and with marked texts: where chat templates run.

Jinja is imported by the functions here, when the first template is used.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import local
from typing import TYPE_CHECKING, Any

from homezoo.errors import TemplateError
from homezoo.text import template_operations as operations
from homezoo.text.marked import MarkedText, holds_marked, join_text
from homezoo.text.template_budget import Budget

if TYPE_CHECKING:
    from jinja2 import nodes

# Filters for HTML and for reading by people: slow, random, or made to repeat text.
_NO_FILTERS = {
    "filesizeformat", "forceescape", "pprint", "random", "striptags", "urlencode", "urlize",
    "wordcount", "wordwrap", "xmlattr",
}  # fmt: skip
_COUNTING_FILTERS = {"batch", "center", "indent", "round", "slice", "truncate"}


class Guards:
    """What the environment does differently; the other half of its class is Jinja's sandbox."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    binop_table: dict[str, Callable[[Any, Any], Any]]
    _current: local

    @property
    def budget(self) -> Budget:
        """That of the rendering which runs in this thread."""
        return self._current.budget

    @contextmanager
    def spending(self, budget: Budget) -> Iterator[None]:
        """Renders or compiles within a budget."""
        before = getattr(self._current, "budget", None)
        self._current.budget = budget
        try:
            yield
        finally:
            self._current.budget = before

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        allowed = operations.is_allowed_attribute(obj, attr)
        return allowed and super().is_safe_attribute(obj, attr, value)  # type: ignore[misc]

    def wrap_str_format(self, value: Any) -> Any:
        wrapped = super().wrap_str_format(value)  # type: ignore[misc]
        return wrapped if getattr(value, "__name__", "") == "format" else None

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return operations.operate(self.budget, operator, self.binop_table[operator], left, right)

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        sandboxed = super().call  # type: ignore[misc]

        def run(function: Any, *args: Any, **kwargs: Any) -> Any:
            return sandboxed(context, function, *args, **kwargs)

        return operations.call(self.budget, function, run, args, kwargs)

    def getitem(self, obj: Any, argument: Any) -> Any:
        self.budget.step()
        return super().getitem(obj, argument)  # type: ignore[misc]

    def concat(self, parts: Iterable[str]) -> str:
        return join_text("", parts)

    def _parse(self, source: str, name: str | None, filename: str | None) -> "nodes.Template":
        return _instrument(super()._parse(source, name, filename))  # type: ignore[misc]

    def _compile(self, source: str, filename: str) -> Any:
        self.budget.step()  # Python's compiler takes about half of the time
        return super()._compile(source, filename)  # type: ignore[misc]


def make_environment() -> Any:
    """A new environment, as transformers sets one up for chat templates, with the guards."""
    from jinja2 import pass_eval_context
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment: Any = type("GuardedEnvironment", (Guards, ImmutableSandboxedEnvironment), {})(
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,  # else parts of the template would run while it is compiled
        extensions=[_generation_blocks(), loopcontrols],
    )
    environment._current = local()

    def finalize(eval_context: Any, value: Any) -> str:
        return operations.to_text(environment.budget, value)

    environment.finalize = pass_eval_context(finalize)
    _set_filters(environment)
    _set_globals(environment)
    return environment


def _set_filters(environment: Any) -> None:
    def joined(eval_context: Any, value: Any, d: str = "", attribute: Any = None) -> str:
        from jinja2.filters import make_attrgetter

        if attribute is not None:
            value = map(make_attrgetter(environment, attribute), value)
        texts = (operations.to_text(environment.budget, part) for part in value)
        return operations.join_texts(environment.budget, texts, d)

    from jinja2 import pass_eval_context

    filters = environment.filters
    for name in _NO_FILTERS:
        del filters[name]
    for name, function in filters.items():
        filters[name] = _guarded_filter(environment, name, function)
    for name, function in environment.tests.items():
        environment.tests[name] = _guarded_test(environment, function)

    def replaced(value: Any, old: Any, new: Any, count: int | None = None) -> str:
        budget = environment.budget
        text, old, new = (operations.to_text(budget, part) for part in (value, old, new))
        return operations.replace(budget, text, old, new, -1 if count is None else count)

    filters["join"] = pass_eval_context(joined)
    filters["replace"] = replaced
    filters["string"] = lambda value: operations.to_text(environment.budget, value)
    filters["tojson"] = lambda *args, **kw: operations.to_json(environment.budget, *args, **kw)
    filters["_concat"] = lambda parts: operations.join_texts(
        environment.budget, [operations.to_text(environment.budget, part) for part in parts], ""
    )
    filters["_made"] = lambda value: environment.budget.made(value)
    filters["_step"] = lambda value: (environment.budget.step(), value)[1]
    filters["_tick"] = lambda characters: environment.budget.text(characters)


def _guarded_filter(environment: Any, name: str, function: Callable[..., Any]) -> Any:
    """One of Jinja's filters within the budget; texts made from marked ones are marked."""
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0  # Jinja's own first argument

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        budget = environment.budget
        given = [*args[skipped:], *kwargs.values()]
        budget.step()
        if name in _COUNTING_FILTERS:
            budget.width(*given[1:])
        if name == "indent":
            lines = operations.to_text(budget, given[0]).count("\n")
            width = given[1] if len(given) > 1 else 4
            budget.text(lines * (len(width) if isinstance(width, str) else width))
        if name == "format":
            return operations.operate(budget, "%", _never, given[0], kwargs or tuple(given[1:]))
        if name == "sum" and any(isinstance(value, (list, tuple)) for value in given[1:]):
            raise TemplateError("the chat template adds up lists; it may be hostile")
        result = budget.made(function(*args, **kwargs))
        if isinstance(result, str) and type(result) is not MarkedText and holds_marked(given):
            return MarkedText(result)
        return result

    return guarded


def _guarded_test(environment: Any, function: Callable[..., Any]) -> Any:
    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        environment.budget.step()
        return function(*args, **kwargs)

    return guarded


def _never(left: Any, right: Any) -> Any:
    raise AssertionError("formatting does not use the operator's function")


def _set_globals(environment: Any) -> None:
    from jinja2.utils import Namespace

    class Names(Namespace):
        """A namespace that shows nothing of what it holds: its text cannot grow."""

        def __setitem__(self, name: str, value: Any) -> None:
            if name.startswith("_"):
                raise TemplateError(f"the chat template sets the private name {name!r:.40}")
            super().__setitem__(name, value)

        def __repr__(self) -> str:
            return "<Namespace>"

    def raise_exception(message: Any) -> None:
        raise TemplateError(" ".join(str(message).split())[:500])

    del environment.globals["lipsum"]
    environment.globals["namespace"] = Names
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda format: operations.strftime_now(
        environment.budget, format
    )


def _generation_blocks() -> Any:
    """The extension for `{% generation %}`, which marks answers for training; here nothing."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class GenerationBlocks(Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

        def _body(self, caller: Callable[[], str]) -> str:
            return caller()

    return GenerationBlocks


def _instrument(template: Any) -> Any:
    """Puts a report to the budget wherever the template repeats, makes or joins something."""
    from jinja2 import nodes
    from jinja2.visitor import NodeTransformer

    def filtered(node: Any, name: str) -> Any:
        return nodes.Filter(node, name, [], [], None, None).set_lineno(node.lineno)

    class Instrument(NodeTransformer):
        def visit_Concat(self, node: Any) -> Any:
            self.generic_visit(node)
            return filtered(nodes.List(node.nodes).set_lineno(node.lineno), "_concat")

        def visit_Operand(self, node: Any) -> Any:
            self.generic_visit(node)
            node.expr = filtered(node.expr, "_step")
            return node

        def visit_Getitem(self, node: Any) -> Any:
            self.generic_visit(node)
            return filtered(node, "_made") if isinstance(node.arg, nodes.Slice) else node

        def _literal(self, node: Any) -> Any:
            self.generic_visit(node)
            return node if getattr(node, "ctx", "load") == "store" else filtered(node, "_made")

        visit_List = visit_Tuple = visit_Dict = _literal

        def _body(self, node: Any) -> Any:
            texts = [text.data for part in node.body for text in part.find_all(nodes.TemplateData)]
            self.generic_visit(node)
            tick = filtered(nodes.Const(sum(map(len, texts))).set_lineno(node.lineno), "_tick")
            node.body.insert(0, nodes.ExprStmt(tick).set_lineno(node.lineno))
            return node

        visit_For = visit_Macro = visit_CallBlock = visit_FilterBlock = _body

    with_environment = Instrument().visit(template)
    with_environment.set_environment(template.environment)
    return with_environment
