"""What tests of `homezoo edit` share: the type of the fixture `run`, and what a model answers."""

from collections.abc import Callable
from pathlib import Path

from homezoo.formats.adapter_file import read_adapter
from homezoo.run.model import Model

Run = Callable[..., str]  # arguments of a command line, and the status that is expected


def answer(path: Path, prompt: str, adapter: Path | None = None) -> str:
    with Model.open(path, threads=1) as model:
        if adapter is not None:
            model.attach(read_adapter(adapter))
        return model.generate(prompt, temperature=0.0, max_tokens=6).text
