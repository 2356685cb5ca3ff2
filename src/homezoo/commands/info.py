"""`homezoo info`: what a model file is, whether it runs, and the memory that it needs."""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from homezoo.commands.model_path import find_model
from homezoo.commands.options import JsonOption, ModelArgument
from homezoo.errors import HomezooError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.tensor import Tensor
from homezoo.models.cache import CACHE_TYPES
from homezoo.models.config import ModelConfig
from homezoo.models.footprint import footprint, position_bytes, whole_blocks
from homezoo.models.load import load_model

ContextOption = Annotated[
    int | None,
    typer.Option(help="tokens to estimate memory for; all without it", min=1),
]
LABEL_WIDTH = 16  # of the plain table
LICENCE_KEYS = ("general.license", "general.license.name", "general.license.link")
SIZES = (
    "block_count",
    "embedding_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.sliding_window",
    "rope.scaling.type",
)


def command(
    model: ModelArgument, context: ContextOption = None, as_json: JsonOption = False
) -> None:
    """Prints a table of facts, or with --json one object."""
    with GGUFFile.open(find_model(model)) as file:
        facts = describe(file, context)
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        _print_table(facts)


def describe(file: GGUFFile, context: int | None = None) -> dict[str, Any]:
    """Everything `info` says, ready for JSON; sizes in bytes."""
    metadata, tensors = file.metadata, file.tensors
    size = sum(tensor.data.nbytes for tensor in tensors.values())
    parameters = sum(tensor.rows * tensor.width for tensor in tensors.values())
    architecture = metadata.get("general.architecture")
    return {
        "file": str(file.path),
        "gguf_version": file.version,
        "name": metadata.get("general.name"),
        "architecture": architecture,
        "parameters": parameters,
        "tensor_bytes": size,
        "bits_per_weight": round(8 * size / parameters, 2) if parameters else None,
        "quantisation": _mix(tensors),
        "unsupported_tensors": dict(Counter(file.unsupported.values())),
        "context": metadata.get(f"{architecture}.context_length"),
        "sizes": {key: _plain(metadata.get(f"{architecture}.{key}")) for key in SIZES},
        "vocabulary": len(metadata.get("tokenizer.ggml.tokens", ())),
        "tokenizer": metadata.get("tokenizer.ggml.model"),
        "pre_tokenizer": metadata.get("tokenizer.ggml.pre"),
        "chat_template": isinstance(metadata.get("tokenizer.chat_template"), str),
        "licence": next((str(metadata[key]) for key in LICENCE_KEYS if key in metadata), None),
        **_running(file, context),
    }


def _running(file: GGUFFile, context: int | None) -> dict[str, Any]:
    """Whether the model runs, why not, and the memory of its cache."""
    try:
        if file.unsupported:
            name, kind = next(iter(file.unsupported.items()))
            raise HomezooError(f"tensor {name} is in format {kind}, which homezoo cannot compute")
        config = load_model(file).config
        positions = config.context_length if context is None else context
        plan = footprint(file, file.file_bytes, positions)
    except HomezooError as error:
        return {"runs": False, "reason": str(error), "memory": None}
    caches = {f"cache_{type}_bytes": _cache_bytes(config, positions, type) for type in CACHE_TYPES}
    rest = {"beside_cache_bytes": plan.total - plan.cache, "total_bytes": plan.total}
    return {"runs": True, "reason": None, "memory": {"context": positions, **caches, **rest}}


def _cache_bytes(config: ModelConfig, positions: int, type: str) -> int | None:
    """Keys and values of `positions` in whole blocks; None where heads do not fit the format."""
    each = position_bytes(config, type)
    return None if each is None else each * config.layers * whole_blocks(positions)


def _mix(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, int]]:
    """Tensors and bytes of each block format, largest share first."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        counts[tensor.type.name] += 1
        sizes[tensor.type.name] += tensor.data.nbytes
    return {name: {"tensors": counts[name], "bytes": size} for name, size in sizes.most_common()}


def _plain(value: Any) -> Any:
    """A metadata value as JSON has it; an array (one number per layer) as a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def _print_table(facts: dict[str, Any]) -> None:
    rows = [(label, _printable(value)) for label, value in _lines(facts)]
    if not sys.stdout.isatty():
        print("\n".join(f"{label:<{LABEL_WIDTH}}{value}" for label, value in rows))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for label, value in rows:
        table.add_row(Text(label, "bold cyan"), Text(value, overflow="fold"))
    Console(highlight=False).print(table)


def _printable(text: str) -> str:
    """A value from the file, without characters that would move or colour the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    mix = ", ".join(
        f"{kind} {part['bytes'] / facts['tensor_bytes']:.0%}"
        for kind, part in facts["quantisation"].items()
    )
    other = ", ".join(f"{kind} ({n} tensors)" for kind, n in facts["unsupported_tensors"].items())
    sizes = facts["sizes"]
    lines = [
        ("file", f"{facts['file']} (GGUF version {facts['gguf_version']})"),
        ("name", facts["name"]),
        ("architecture", facts["architecture"]),
        ("parameters", f"{facts['parameters']:,}" if facts["parameters"] else "none"),
        ("size", _size_line(facts) if facts["parameters"] else None),
        ("quantisation", mix),
        ("not supported", other),
        ("layers", sizes["block_count"]),
        ("width", sizes["embedding_length"]),
        ("heads", f"{sizes['attention.head_count']} over {sizes['attention.head_count_kv']}"),
        ("sliding window", sizes["attention.sliding_window"]),
        ("rope scaling", sizes["rope.scaling.type"]),
        ("context", f"{facts['context']:,} tokens" if facts["context"] else None),
        ("vocabulary", f"{facts['vocabulary']:,} tokens"),
        ("tokenizer", " ".join(filter(None, (facts["tokenizer"], facts["pre_tokenizer"])))),
        ("chat template", "yes" if facts["chat_template"] else "no (use `run --raw`)"),
        ("licence", facts["licence"] or "not stated in the file"),
        ("runs", "yes" if facts["runs"] else f"no: {facts['reason']}"),
    ]
    if facts["memory"]:
        lines.append(("memory", _memory_line(facts["memory"])))
    return [(label, str(value)) for label, value in lines if value not in (None, "")]


def _size_line(facts: dict[str, Any]) -> str:
    return f"{show_bytes(facts['tensor_bytes'])}, {facts['bits_per_weight']} bits per weight"


def _memory_line(memory: dict[str, int | None]) -> str:
    caches = " or ".join(
        f"{show_bytes(size)} ({type})"
        for type in CACHE_TYPES
        if (size := memory[f"cache_{type}_bytes"]) is not None
    )
    rest = show_bytes(memory["beside_cache_bytes"] or 0)
    return f"{rest} with the mapped file, and a cache of {caches} for {memory['context']:,} tokens"


def show_bytes(size: int) -> str:
    """`3.9 GB`: decimal units, as file managers and download pages count."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
