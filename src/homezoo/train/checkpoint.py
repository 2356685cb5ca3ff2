"""Checkpoints: all that training needs to go on bit for bit, in one file, whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homezoo.errors import OptionError


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes `state` (tensors, numbers, texts, and lists and dicts of them) under its name."""
    import torch

    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_checkpoint(path: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """What was saved, if it was saved by the same run.

    `run` are settings, data and base as they are now. OptionError naming the first that differs,
    or for a file that is no checkpoint; nothing in it is executed.
    """
    import torch

    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        before = json.loads(state["run"])
    except FileNotFoundError:
        raise OptionError(f"{path} does not exist; start without --resume") from None
    except Exception as error:  # torch raises many kinds for what is no checkpoint
        raise OptionError(f"{path} is no checkpoint: {type(error).__name__}: {error}") from None
    now = json.loads(json.dumps(run))
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise OptionError(
                f"{path} was saved with {name} {before.get(name)!r}, and now it is "
                f"{now.get(name)!r}; give the same command again, or start without --resume"
            )
    return state
