"""How `homezoo fit` shows its findings to people."""

import sys
from typing import Any

from homezoo.commands.info import show_bytes
from homezoo.commands.table import print_table
from homezoo.commands.terminal import clean

_LABEL = 13  # characters of the first column


def print_report(found: dict[str, Any]) -> None:
    """The figures in words, then a table of quantisations with the one to choose."""
    style = _Style(sys.stdout.isatty())
    for label, text in _lines(found, style):
        print(f"{style.label(f'{label:<{_LABEL}}')}{clean(text) if not style.colours else text}")
    if found["quantisations"]:
        print()
        _print_choices(found)
    print()
    best = found["best_quantisation"]
    print(style.strong(f"choose {best}: " if best else "") + found["reason"])
    if best and found["repository"]:
        print(f"to fetch it: homezoo pull {found['repository']}:{best}")


class _Style:
    """Colours in a terminal, none elsewhere."""

    def __init__(self, colours: bool) -> None:
        self.colours = colours

    def label(self, text: str) -> str:
        return f"\033[1;36m{text}\033[0m" if self.colours else text

    def strong(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self.colours and text else text

    def verdict(self, good: bool | None, text: str) -> str:
        if not self.colours or good is None:
            return text
        return f"\033[{32 if good else 31}m{text}\033[0m"


def _lines(found: dict[str, Any], style: _Style) -> list[tuple[str, str]]:
    where = f" of {found['repository']}" if found["repository"] else ""
    size = show_bytes(found["memory"]["weights_bytes"])
    about = f"{found['architecture']}, {found['parameters']:,} parameters, {size}"
    lines = [
        ("model", clean(f"{found['model']}{where}: {about}")),
        ("memory", _memory_line(found, style)),
        *(("", part) for part in _parts(found["memory"])),
        ("context", _context_line(found, style)),
    ]
    if found["speeds"]:
        lines += _speed_lines(found)
    else:
        lines.append(("speed", "an encoder writes no text; its speed is not foretold"))
    return lines


def _memory_line(found: dict[str, Any], style: _Style) -> str:
    memory, fits = found["memory"], found["fits"]
    total = show_bytes(found["memory_bytes"])
    if fits is None:
        return f"{total} at the peak; how much this machine has is not known"
    verdict = style.verdict(fits, "fits" if fits else "does not fit")
    line = f"{total} at the peak, of {show_bytes(memory['limit_bytes'])} to be used: {verdict}"
    free = memory["available_bytes"]
    if fits and free is not None and free < found["memory_bytes"]:
        line += f" (but only {show_bytes(free)} are free now)"
    return line


def _parts(memory: dict[str, Any]) -> list[str]:
    cache = memory["cache"]
    other = "q8_0" if cache == "f16" else "f16"
    instead = memory[f"cache_{other}_bytes"]
    aside = f"; {show_bytes(instead)} with --cache {other}" if instead is not None else ""
    rows = (
        ("weights", memory["weights_bytes"], "mapped from the file"),
        ("cache", memory[f"cache_{cache}_bytes"], f"keys and values in {cache}{aside}"),
        ("buffers", memory["buffers_bytes"], "between the layers"),
        ("tokenizer", memory["tokenizer_bytes"], ""),
        ("program", memory["program_bytes"], "Python and libraries"),
    )
    return [f"{name:<10}{show_bytes(size):>9}  {what}".rstrip() for name, size, what in rows]


def _context_line(found: dict[str, Any], style: _Style) -> str:
    largest, trained = found["largest_context"], found["trained_context"]
    if largest >= trained:
        longest = f"the model's whole {trained:,} would fit"
    elif largest:
        longest = f"at most {largest:,} of the model's {trained:,} fit"
    else:
        longest = style.verdict(False, "none fits")
    return f"{found['context']:,} tokens; {longest}"


def _speed_lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    machine = found["machine"]
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    lines = [("speed", clean(f"with {threads} of {machine['name']}"))]
    for speed in found["speeds"]:
        seconds = speed["first_token_seconds"]
        lines.append(
            (
                "",
                f"prompt of {speed['prompt']:,} tokens: {_rate(speed['prefill'])}, "
                f"so the answer begins after {_seconds(seconds)}",
            )
        )
    first, last = found["speeds"][0]["decode"], found["speeds"][-1]["decode_full"]
    lines.append(("", f"answer: {_rate(first)}, and {_rate(last)} when the context is full"))
    return lines


def _rate(speed: float) -> str:
    return f"{_figure(speed)} tokens/s"


def _figure(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _print_choices(found: dict[str, Any]) -> None:
    rows = [
        (
            choice["name"],
            show_bytes(choice["weights"]),
            f"{choice['bits']:.1f}",
            show_bytes(choice["total"]),
            f"{choice['largest_context']:,}" if choice["largest_context"] else "none",
            "-" if choice["decode"] is None else _figure(choice["decode"]),
            {True: "yes", False: "no", None: "unknown"}[choice["fits"]],
        )
        for choice in found["quantisations"]
    ]
    heads = ("QUANTISATION", "SIZE", "BITS", "MEMORY", "LONGEST CONTEXT", "TOKENS/S", "FITS")
    print_table(heads, rows, right=(1, 2, 3, 4, 5))
