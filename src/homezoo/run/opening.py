"""From an open file to a model that can run, and how much context it gets."""

import warnings

from homezoo.errors import OptionError, UnsupportedError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.cache import CACHE_TYPES, CacheType
from homezoo.models.config import ModelConfig
from homezoo.models.footprint import PROGRAM_BYTES, footprint, position_bytes, whole_blocks
from homezoo.models.load import Model, load_model
from homezoo.ops.memory import usable_memory
from homezoo.run.engine import Engine

# Positions of the cache unless asked otherwise: half a megabyte each on a 7B model, so 2 GB at
# most.
DEFAULT_CONTEXT = 4096
GB = 1e9


def open_engine(
    gguf: GGUFFile,
    context: int | None,
    cache: CacheType,
    backend: str,
    threads: int | None,
    parallel: int,
    memory: float | None,
) -> Engine:
    """The engine of a file's model, with a context that keeps within the memory.

    `memory` is in bytes; by default what this machine, or the control group, has but a reserve.
    Raises UnsupportedError, OptionError as `load_checked`, `choose_context` and `keep_within` do.
    """
    loaded = load_checked(gguf)
    positions = choose_context(loaded.config, context)
    limit = usable_memory() if memory is None else int(memory)
    # what is out of its range the engine refuses
    if limit is not None and cache in CACHE_TYPES and min(parallel, positions) >= 1:
        positions = keep_within(gguf, positions, cache, parallel, limit, context is not None)
    return Engine(loaded, positions, cache, backend, threads, parallel)


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


def keep_within(
    gguf: GGUFFile, positions: int, cache: CacheType, parallel: int, limit: int, asked: bool
) -> int:
    """The context that keeps weights, cache and all else within `limit` bytes.

    That is `positions`, or fewer, with a warning, where the user `asked` for none. OptionError
    where they were asked for, or none at all fits.
    """
    config = ModelConfig.from_metadata(gguf.metadata, gguf.tensors)
    each = (position_bytes(config, cache) or 0) * config.layers
    least = gguf.file_bytes + each * whole_blocks(positions) * parallel + PROGRAM_BYTES
    if 2 * least < limit:
        return positions  # far from it: not worth the milliseconds that the account takes
    plan = footprint(gguf, gguf.file_bytes, positions, cache, parallel)
    if plan.total <= limit:
        return positions
    largest = plan.largest_context(limit, parallel)
    needed = f"{plan.total / GB:.1f} GB of memory, and {limit / GB:.1f} GB may be used"
    if largest == 0:
        raise OptionError(
            f"{gguf.path.name} needs {needed}; `homezoo fit` shows which quantisation fits, and "
            "--memory GB allows more"
        )
    smaller = " or --cache q8_0" if cache == "f16" else ""
    if asked:
        raise OptionError(
            f"a context of {positions} needs {needed}; ask for --context {largest} or less"
            f"{smaller}, or allow more with --memory GB"
        )
    warnings.warn(
        f"the context is {largest} tokens instead of {positions}, which would need {needed}; "
        "--memory GB allows more",
        stacklevel=4,
    )
    return largest
