"""The entry point of `homezoo` and `zoo`: calls a word's module, shows errors as one line."""

import importlib
import io
import os
import sys
import warnings
from typing import Any

# Every word and what it does; its module, of the same name, is imported only when it is called.
WORDS = {
    "demo": "See what homezoo does, in minutes, with the model that comes with it.",
    "run": "Answer one prompt.",
    "chat": "Talk with a model.",
    "pull": "Fetch a model from the Hugging Face hub, or show what there is.",
    "list": "Show the models on this machine.",
    "fit": "Say what a model will need here, before it is fetched.",
    "licence": "Say where a model comes from and what its licences permit.",
    "doctor": "Look for faults that make a model answer badly, and mend what can be.",
    "info": "Say what a model file is, and what it needs.",
    "tokenize": "Show the tokens of a text.",
    "render": "Show a conversation as the model's chat template writes it.",
    "perplexity": "Measure how well a model predicts a text.",
    "bench": "Measure speed and memory.",
    "convert": "Make a GGUF file of a Hugging Face model.",
    "quantize": "Make a smaller file of a model.",
    "adapter": "Look at adapters, convert them, or merge them into a model.",
    "index": "Make documents searchable, and keep them so.",
    "search": "Find passages in an index.",
    "ask": "Answer a question from an index, with the places it rests on.",
    "edit": "Write facts of a graph into a model, each of them reversible.",
    "cost": "Say from how many calls on teaching pays, instead of sending context.",
    "compare": "Teach a model in every way, ask the same, and say which way pays.",
    "train": "Teach a model from examples, without a GPU.",
}

# Words that have words of their own; `adapter info` is the module commands/adapter/info.py.
GROUPS = {
    "adapter": {
        "info": "Say what an adapter changes, and where it comes from.",
        "merge": "Make a model file with adapters in its weights, and say what that costs.",
        "convert": "Make a GGUF adapter of a PEFT folder, or a PEFT folder of a GGUF adapter.",
    },
    "edit": {
        "profile": "Measure once where and how facts are written into a model.",
        "plan": "Say what a file of facts would change, without changing anything.",
        "assert": "Note facts in a ledger as wanted.",
        "retract": "End facts of a ledger; the base's own answers come back.",
        "suppress": "Note facts in a ledger as what the model must not say.",
        "diff": "Say what leads from one graph to another, as facts to assert and to retract.",
        "build": "Make one adapter of a ledger's active facts.",
        "verify": "Measure what an adapter's edits did and what they broke.",
        "explain": "Say which facts of a ledger answer a prompt.",
        "log": "Show the history of a ledger.",
        "export-nt": "Print a ledger's active facts as N-Triples.",
        "rebase": "Bind a ledger to another base; facts and history stay.",
    },
}

USAGE_STATUS = 2  # exit status of a wrong word or option, as shells have it
ERROR_STATUS = 1
INTERRUPT_STATUS = 130  # 128 + SIGINT, as shells have it


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line (that of the process by default) and returns the exit status."""
    _prepare_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = bool(os.environ.get("HOMEZOO_DEBUG"))
    if given[:1] == ["--debug"]:
        debug, given = True, given[1:]
    if not given or given[0] in ("--help", "-h", "help"):
        print(_help())
        return 0 if given else USAGE_STATUS
    if given[0] in ("--version", "version"):
        print(_version())
        return 0
    if given[0] not in WORDS:
        print(_unknown(given[0]), file=sys.stderr)
        return USAGE_STATUS
    if given[0] in GROUPS:
        return _run_group(given[0], given[1:], debug)
    return _run_word(given[0], given[1:], debug)


def leaves() -> dict[str, str]:
    """Every command line's beginning, such as `run` or `adapter info`, and what it does."""
    found: dict[str, str] = {}
    for word, text in WORDS.items():
        parts = {f"{word} {part}": help for part, help in GROUPS.get(word, {}).items()}
        found |= parts or {word: text}
    return found


def _run_group(word: str, arguments: list[str], debug: bool) -> int:
    """Runs a word's own word, or says which there are."""
    words = GROUPS[word]
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        width = max(map(len, words)) + 2
        listed = "\n".join(f"  {name:<{width}}{text}" for name, text in words.items())
        print(f"{WORDS[word]}\n\nUsage: homezoo {word} COMMAND [OPTIONS]\n\n{listed}")
        return 0 if arguments else USAGE_STATUS
    if arguments[0] not in words:
        print(_unknown(arguments[0], words, f"homezoo {word}"), file=sys.stderr)
        return USAGE_STATUS
    return _run_word(f"{word} {arguments[0]}", arguments[1:], debug)


def _run_word(word: str, arguments: list[str], debug: bool) -> int:
    """Runs a known word; whatever goes wrong becomes one line, unless `debug` lets it through."""
    from homezoo.errors import HomezooError

    try:
        command = make_command(word)
        with (
            warnings.catch_warnings(),
            command.make_context(f"homezoo {word}", arguments) as context,
        ):
            warnings.showwarning = _show_warning
            return int(command.invoke(context) or 0)
    except KeyboardInterrupt:
        return INTERRUPT_STATUS
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (lives until the process ends)
        return ERROR_STATUS
    except Exception as error:
        if _is_exit(error):
            return int(error.exit_code)  # type: ignore[attr-defined]
        if debug:
            raise
        if _is_usage_error(error):
            message = error.format_message()  # type: ignore[attr-defined]
            _complain(word, f"{message} (see homezoo {word} --help)")
            return USAGE_STATUS
        if isinstance(error, HomezooError | OSError):
            _complain(word, str(error))
        else:
            described = f"{type(error).__name__}: {error}"
            _complain(word, f"internal error: {described} (HOMEZOO_DEBUG=1 shows where)")
        return ERROR_STATUS


def make_command(word: str) -> Any:
    """The command of a word, built by typer from the function `command` of its module."""
    import typer

    module = importlib.import_module(f"homezoo.commands.{word.replace(' ', '.').replace('-', '_')}")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    settings = {"help_option_names": ["--help", "-h"]}
    text = "\n\n".join([leaves()[word], getattr(module, "DETAILS", "")]).strip()
    app.command(help=text, context_settings=settings)(module.command)
    return typer.main.get_command(app)


def _is_exit(error: Exception) -> bool:
    import typer

    return isinstance(error, typer.Exit)


def _is_usage_error(error: Exception) -> bool:
    """Whether typer refused the command line.

    Its class of such errors belongs to click, which newer versions of typer carry inside themselves
    and older ones import, so it is found as the base of one that typer names.
    """
    import typer

    return isinstance(error, typer.BadParameter.__base__ or typer.BadParameter)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _complain(word: str, message: str) -> None:
    line = " ".join(message.split())
    print(f"homezoo {word}: {line}", file=sys.stderr)


def _help() -> str:
    width = max(map(len, WORDS)) + 2
    words = "\n".join(f"  {word:<{width}}{text}" for word, text in WORDS.items())
    return f"""\
homezoo runs GGUF language models on your own CPU.

Usage: homezoo COMMAND [MODEL] [OPTIONS]

{words}

MODEL is the path of a .gguf file, a name that `homezoo list` shows, or `zookeeper`: a tiny
model that comes with homezoo and knows the animals of a zoo (`stories` is another, of tales).
`homezoo COMMAND --help` shows a command's options, `homezoo --version` the version.

Try: homezoo run zookeeper "What does the lion eat?\""""


def _unknown(word: str, words: dict[str, str] = WORDS, owner: str = "homezoo") -> str:
    import difflib

    close = difflib.get_close_matches(word, words, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"commands: {', '.join(words)}"
    return f"{owner}: there is no command {word!r}; {hint} (see {owner} --help)"


def _version() -> str:
    from homezoo import __version__

    return f"homezoo {__version__}"


def _prepare_streams() -> None:
    """Text goes out as UTF-8 into files and pipes; a terminal that lacks a character shows `?`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="replace", newline="\n")
