"""The option --adapter: files given by users, attached to an open model under short names."""

from collections.abc import Sequence
from pathlib import Path

from homezoo.commands.terminal import clean, note
from homezoo.errors import OptionError
from homezoo.formats.adapter_file import Adapter, read_adapter
from homezoo.models.config import ModelConfig
from homezoo.run.model import Model


def attach_adapters(model: Model, given: Sequence[str] | None) -> None:
    """Attaches every FILE[:SCALE]; what reading and attaching raise, OptionError for a bad scale.

    Files of the same name in different folders are told apart by a number.
    """
    for text in given or ():
        path, strength = split_scale(text)
        name, count = path.stem, 1
        while name in model.adapters:
            count += 1
            name = f"{path.stem}-{count}"
        model.attach(open_adapter(path, model.config), strength, name)


def open_adapter(path: Path, model: ModelConfig | None) -> Adapter:
    """The adapter of a file, or of a PEFT folder for a model; OptionError when there is none."""
    if not path.exists():
        raise OptionError(f"there is no adapter {path}; give a .gguf file or a PEFT folder")
    if not path.is_dir() or model is None:
        return read_adapter(path)
    from homezoo.zoo.peft_read import read_peft

    adapter, notes = read_peft(path, model)
    for text in notes:
        note(f"note: {clean(text)}")
    return adapter


def split_scale(text: str) -> tuple[Path, float]:
    """`a.gguf:0.5` to its path and 0.5; without a scale, 1. OptionError for what is no number."""
    if Path(text).expanduser().exists():  # a colon may be part of the name
        return Path(text).expanduser(), 1.0
    file, colon, scale = text.rpartition(":")
    if not colon:
        return Path(text).expanduser(), 1.0
    try:
        return Path(file).expanduser(), float(scale)
    except ValueError:
        raise OptionError(
            f"--adapter is {text!r}: there is no such file, and {scale!r} is no scale; "
            "expected FILE or FILE:SCALE, such as lesson.gguf:0.5"
        ) from None
