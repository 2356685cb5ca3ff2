"""The options that several commands share; those of generation come from its dataclass."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.errors import OptionError
from homezoo.run.constrain import Constraint
from homezoo.run.options import SPECULATE, GenerationOptions


class CacheFormat(str, Enum):
    """How keys and values are kept."""

    F16 = "f16"
    Q8_0 = "q8_0"


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="a .gguf file, `zookeeper`, or a name of `homezoo list`",
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option(help="threads to compute with; one for each core without it")
]
DraftOption = Annotated[
    str | None,
    typer.Option(help="a smaller model of the same vocabulary that guesses ahead", metavar="MODEL"),
]
ContextOption = Annotated[
    int | None, typer.Option(help="tokens that prompt and answer may have together")
]
CacheOption = Annotated[
    CacheFormat, typer.Option(help="format of the key-value cache; q8_0 takes half the memory")
]
AdapterOption = Annotated[
    list[str] | None,
    typer.Option(
        help="an adapter (a .gguf file or a PEFT folder) and how strongly it counts, 1 without it; "
        "can be given several times",
        metavar="FILE[:SCALE]",
    ),
]
MemoryOption = Annotated[
    float | None,
    typer.Option(help="GB of memory to keep within; what the machine has without it"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object")]
PromptCacheOption = Annotated[
    bool,
    typer.Option(
        "--prompt-cache",
        help="keep computed prompts on disk, so that a long one is paid once (docs/run.md)",
    ),
]
SystemOption = Annotated[
    str | None, typer.Option(help="what the model is told before the conversation")
]
TemplateOption = Annotated[
    Path | None,
    typer.Option(help="a chat template to use instead of the model's own", metavar="FILE"),
]

# Fields of GenerationOptions whose option has another name, is none, or needs more than its type.
_NAMES = {"typical_p": "--typical", "top_logprobs": "--logprobs"}
_HIDDEN = {"constraint", "adapters"}
_TYPES: dict[str, Any] = {"logit_bias": list[str], "stop": list[str]}
_METAVARS = {"logit_bias": "ID=VALUE", "stop": "TEXT", "speculate": "|".join(SPECULATE)}
# Each constraint, how it is made from the option's text, and the option's help.
_CONSTRAINTS: dict[str, tuple[Callable[[str], Constraint], str, str]] = {
    "schema": (
        lambda text: Constraint.json_schema(_text_of(text)),
        "FILE",
        "answer in JSON that fits this schema: a file, or the schema itself",
    ),
    "regex": (Constraint.regex, "PATTERN", "answer what this regular expression matches"),
    "grammar": (
        lambda text: Constraint.grammar(_text_of(text)),
        "FILE",
        "answer in this Lark grammar: a file, or the grammar itself",
    ),
}
_PANEL = "How the answer is chosen"


def bytes_of(memory: float | None) -> float | None:
    """Bytes of what --memory gives in GB; OptionError for none or less."""
    if memory is not None and memory <= 0:
        raise OptionError(f"--memory is {memory:g}; expected GB above 0")
    return None if memory is None else memory * 1e9


def with_generation_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with an option for each of GenerationOptions instead of its parameter `options`."""

    def expanded(**arguments: Any) -> None:
        names = [parameter.name for parameter in added]
        given = {name: arguments.pop(name) for name in names}
        command(**arguments, options=_generation_options(given))

    own = inspect.signature(command).parameters
    added = [
        _parameter(option) for option in fields(GenerationOptions) if option.name not in _HIDDEN
    ]
    added += [_constraint_parameter(name) for name in _CONSTRAINTS]
    parameters = [parameter for name, parameter in own.items() if name != "options"] + added
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    expanded.__doc__ = command.__doc__
    return expanded


def _parameter(option: "Field[Any]") -> inspect.Parameter:
    name = _NAMES.get(option.name, "--" + option.name.replace("_", "-"))
    declared = typer.Option(
        name,
        help=option.metadata["help"],
        metavar=_METAVARS.get(option.name),
        rich_help_panel=_PANEL,
        show_default=option.default not in (None, (), MISSING) and option.default is not False,
    )
    listed = option.name in _TYPES
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=() if listed else option.default,
        annotation=Annotated[_TYPES.get(option.name, option.type), declared],
    )


def _constraint_parameter(name: str) -> inspect.Parameter:
    _, metavar, text = _CONSTRAINTS[name]
    declared = typer.Option(f"--{name}", help=text, metavar=metavar, rich_help_panel=_PANEL)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, declared],
    )


def _generation_options(given: dict[str, Any]) -> GenerationOptions:
    """Checked options from what the command line gave; OptionError."""
    asked = {name: given.pop(name) for name in _CONSTRAINTS}
    asked = {name: text for name, text in asked.items() if text is not None}
    if len(asked) > 1:
        raise OptionError(f"--{' and --'.join(asked)} exclude each other; give one of them")
    constraint = None
    for name, text in asked.items():
        constraint = _CONSTRAINTS[name][0](text)
    given["logit_bias"] = dict(_bias(text) for text in given["logit_bias"] or ())
    given["stop"] = tuple(given["stop"] or ())
    return GenerationOptions(**given, constraint=constraint)


def _bias(text: str) -> tuple[int, float]:
    token, _, value = text.partition("=")
    try:
        return int(token), float(value)
    except ValueError:
        raise OptionError(f"--logit-bias is {text!r}; expected ID=VALUE, such as 42=-1.5") from None


def _text_of(given: str) -> str:
    """The text of the file that `given` names, or `given` itself when it has braces or a colon."""
    if any(mark in given for mark in "{:\n"):
        return given
    return read_text(Path(given))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; OptionError when it is not UTF-8, OSError when it is unreadable."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise OptionError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None
