"""From an open file to a model that can run, and how much context it gets."""

import warnings

from homezoo.errors import OptionError, UnsupportedError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.models.load import Model, load_model

# Positions of the cache unless asked otherwise: half a megabyte each on a 7B model, so 2 GB at
# most.
DEFAULT_CONTEXT = 4096


def load_checked(gguf: GGUFFile) -> Model:
    """The model of a file; UnsupportedError for one of which a tensor cannot be computed with."""
    for name, type in gguf.unsupported.items():
        raise UnsupportedError(
            f"{gguf.path}: tensor {name!r} is in format {type}, which cannot run; "
            "get the model in another quantisation, such as Q4_0 or Q4_K_M"
        )
    return load_model(gguf)


def choose_context(config: ModelConfig, wanted: int | None) -> int:
    """Positions of the cache: by default what the model was trained on, at most 4096.

    Warns of more than that; OptionError where the model has no positions beyond it.
    """
    trained = config.context_length
    if wanted is None:
        return min(trained, DEFAULT_CONTEXT)
    if wanted > trained and config.kind.learned_positions:
        raise OptionError(
            f"a context of {wanted}, but the model has learned {trained} positions; "
            f"ask for {trained} or fewer"
        )
    if wanted > trained:
        warnings.warn(
            f"a context of {wanted}, but the model was trained on {trained}; "
            "answers beyond that are likely to be worse",
            stacklevel=3,
        )
    return wanted
