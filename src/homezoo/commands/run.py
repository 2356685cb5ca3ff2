"""`homezoo run`: one answer to one prompt, alone on standard output."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.adapters import attach_adapters
from homezoo.commands.faults import warn_of_faults
from homezoo.commands.model_path import find_model
from homezoo.commands.options import (
    AdapterOption,
    CacheFormat,
    CacheOption,
    ContextOption,
    DraftOption,
    JsonOption,
    MemoryOption,
    ModelArgument,
    PromptCacheOption,
    SystemOption,
    TemplateOption,
    ThreadsOption,
    bytes_of,
    read_text,
    with_generation_options,
)
from homezoo.commands.terminal import note, read_input, warn, write
from homezoo.errors import OptionError, TemplateError
from homezoo.run.answer import Answer
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions
from homezoo.run.prompt_store import stored_prompts
from homezoo.run.stream import Stream

DETAILS = "Prints the answer alone; the speed goes to standard error."
TEMPLATE_KEY = "tokenizer.chat_template"

PromptArgument = Annotated[
    str | None, typer.Argument(help="standard input without it", show_default=False)
]
RawOption = Annotated[
    bool, typer.Option("--raw", help="continue the prompt as it is, without the chat template")
]
SpecialOption = Annotated[
    bool, typer.Option("--special", help="with --raw: names of control tokens are those tokens")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="do not print the speed")]


@with_generation_options
def command(
    model: ModelArgument,
    prompt: PromptArgument = None,
    *,
    raw: RawOption = False,
    special: SpecialOption = False,
    system: SystemOption = None,
    template: TemplateOption = None,
    adapter: AdapterOption = None,
    threads: ThreadsOption = None,
    context: ContextOption = None,
    cache: CacheOption = CacheFormat.F16,
    memory: MemoryOption = None,
    draft: DraftOption = None,
    prompt_cache: PromptCacheOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    options: GenerationOptions,
) -> None:
    """Opens the model, streams the answer, tells the speed."""
    _check(raw, special, system, template, as_json, options)
    path = find_model(model)
    helper = None if draft is None else find_model(draft)
    text = read_input("prompt") if prompt is None else prompt
    start = time.perf_counter()
    with (
        Model.open(
            path,
            threads=threads,
            context=context,
            cache=cache.value,
            draft=helper,
            memory=bytes_of(memory),
        ) as opened,
        stored_prompts(opened, prompt_cache),
    ):
        attach_adapters(opened, adapter)
        stream = _start(opened, text, raw, special, system, template, options)
        loaded = time.perf_counter() - start
        warn(opened.tokenizer.warnings)
        warn_of_faults(opened)
        if as_json:
            used = {"adapters": dict(opened.adapters)} if adapter else {}
            print(json.dumps(as_object(stream.answer, loaded) | used, ensure_ascii=False))
        else:
            _show(stream)
        if not quiet and not as_json:
            note(speed_line(stream.answer, options, loaded))


def _check(
    raw: bool,
    special: bool,
    system: str | None,
    template: Path | None,
    as_json: bool,
    options: GenerationOptions,
) -> None:
    """Refuses options that have no effect together, so that none is ignored silently."""
    if raw and (system is not None or template is not None):
        raise OptionError("--raw takes the prompt as it is; it excludes --system and --template")
    if special and not raw:
        raise OptionError(
            "--special goes with --raw only; in a chat, text never forms control tokens"
        )
    if options.top_logprobs is not None and not as_json:
        raise OptionError("--logprobs are printed with --json only; add it")


def _start(
    model: Model,
    text: str,
    raw: bool,
    special: bool,
    system: str | None,
    template: Path | None,
    options: GenerationOptions,
) -> Stream:
    """The stream of the answer to a raw prompt, or to a conversation of one message."""
    if raw:
        return model.stream(text, options, special=special)
    if not text.strip():
        raise OptionError("the prompt is empty; give one as argument or on standard input")
    use_template(model, template)
    messages = [{"role": "system", "content": system}] if system is not None else []
    return model.stream_chat([*messages, {"role": "user", "content": text}], options)


def use_template(model: Model, path: Path | None) -> None:
    """Makes the model use the chat template of a file, or checks that it has one of its own.

    Raises TemplateError when there is none, saying what else can be done.
    """
    if path is not None:
        from homezoo.text.template import ChatTemplate

        model.template = ChatTemplate.from_metadata(
            {**model.metadata, TEMPLATE_KEY: read_text(path)}
        )
    elif TEMPLATE_KEY not in model.metadata:
        raise TemplateError(
            f"{model.path.name} has no chat template: it was made to continue texts; "
            "use `homezoo run --raw`, or give a template with --template FILE"
        )


def _show(stream: Stream) -> None:
    try:
        for piece in stream:
            write(piece)
    finally:
        write("\n")


def as_object(answer: Answer, load_seconds: float) -> dict[str, Any]:
    """What --json prints."""
    timings = answer.timings
    shown: dict[str, Any] = {
        "text": answer.text,
        "tokens": list(answer.tokens),
        "stop_reason": answer.stop_reason,
        "prompt_tokens": answer.prompt_tokens,
        "cached_tokens": answer.cached_tokens,
        "seed": answer.seed,
        "timings": {
            "load_seconds": load_seconds,
            **asdict(timings),
            "prefill_tokens_per_second": timings.prefill_tokens_per_second,
            "decode_tokens_per_second": timings.decode_tokens_per_second,
        },
    }
    if answer.logprobs is not None:
        shown["logprobs"] = [asdict(place) for place in answer.logprobs]
    return shown


def speed_line(
    answer: Answer, options: GenerationOptions, load_seconds: float | None = None
) -> str:
    """One line: tokens and tokens per second, why it ended, and the seed where one mattered."""
    timings = answer.timings
    parts = [] if load_seconds is None else [f"opened in {load_seconds:.2f} s"]
    if timings.prefill_tokens:
        cached = f" ({answer.cached_tokens} of them known)" if answer.cached_tokens else ""
        speed = timings.prefill_tokens_per_second
        parts.append(f"prompt {answer.prompt_tokens} tokens{cached} at {speed:.1f}/s")
    if timings.decode_tokens:
        guessed = f" ({timings.right_guesses} guessed ahead)" if timings.right_guesses else ""
        speed = timings.decode_tokens_per_second
        parts.append(f"answer {len(answer.tokens)} tokens{guessed} at {speed:.1f}/s")
    parts.append(f"ended by {_ENDINGS[answer.stop_reason]}")
    if options.temperature > 0:
        parts.append(f"seed {answer.seed}")
    return f"[{'; '.join(parts)}]"


_ENDINGS = {
    "end": "the model",
    "stop": "a stop text",
    "length": "--max-tokens",
    "context": "the context's size (see --context)",
    "cancelled": "Ctrl-C",
}
