"""How much memory a run may take, and what it will take: the plan that chooses checkpointing."""

from dataclasses import dataclass
from pathlib import Path

from homezoo.errors import OptionError
from homezoo.models.config import ModelConfig
from homezoo.ops.memory import available_memory, group_limit

GB = 1e9
FLOAT = 4  # bytes
# Python with PyTorch and this package, before anything is computed (measured, docs/training.md).
PROCESS_BYTES = 0.35 * GB
_LOSS_ROWS = 128  # labelled rows whose logits are in memory at once
_LOGITS = 1 << 24  # of them in all, which makes fewer rows with the largest vocabularies
_LOGIT_COPIES = 3  # logits, their softmax, and the gradient
_ADAM = 4  # weights, gradients and two moments
_SPARE = 0.9  # of what is free, when the user names no limit


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of each part, and how many layers keep their activations instead of computing them
    again in the backward pass."""

    weights: int  # of the file, mapped: the system may share and drop them
    trained: int  # parameters, gradients, moments
    inputs: int  # of layers that are computed again
    kept: int  # activations of the layers that keep them, and what the one at work needs besides
    loss: int
    process: int
    kept_layers: int
    layers: int  # that training passes back through

    @property
    def total(self) -> int:
        """All parts."""
        parts = (self.weights, self.trained, self.inputs, self.kept, self.loss, self.process)
        return sum(parts)


def plan_memory(
    config: ModelConfig,
    file_bytes: int,
    trained: int,
    length: int,
    layers: int,
    limit: float | None,
) -> MemoryPlan:
    """The plan for passes of `length` tokens back through the last `layers` layers.

    `trained` is a number of parameters, `limit` in bytes; None when nobody knows it. OptionError
    when even with every layer computed again the limit is too small.
    """
    activation = layer_floats(config) * length * FLOAT
    work = work_floats(config) * length * FLOAT
    entering = config.width * length * FLOAT
    rows = min(loss_rows(config.vocab_size), length)
    fixed = {
        "weights": file_bytes,
        "trained": trained * _ADAM * FLOAT,
        "loss": rows * config.vocab_size * FLOAT * _LOGIT_COPIES,
        "process": int(PROCESS_BYTES),
        "layers": layers,
    }

    def plan(kept: int) -> MemoryPlan:
        inputs = (layers - kept) * entering
        activations = kept * activation + work
        return MemoryPlan(kept=activations, inputs=inputs, kept_layers=kept, **fixed)

    least = plan(1)
    if limit is None:
        return least
    if least.total > limit:
        raise OptionError(
            f"training needs {least.total / GB:.1f} GB and {limit / GB:.1f} GB are to be used; "
            "make --length, --rank or --layers smaller, or give more with --memory"
        )
    kept = 1
    while kept < layers and plan(kept + 1).total <= limit:
        kept += 1
    return plan(kept)


def loss_rows(vocabulary: int) -> int:
    """Labelled rows whose logits are in memory at once: 128, or 64 with 250,000 tokens.

    Fewer would unpack the output matrix too often. The gradient's bits do not depend on it.
    """
    return min(_LOSS_ROWS, max(32, _LOGITS // vocabulary // 32 * 32))


def layer_floats(config: ModelConfig) -> int:
    """Numbers that a layer keeps for its backward pass, for each token.

    The stream before and between its halves, both norms of it and what some architectures add;
    queries, keys and values as they come and as they are rotated; what attention gives; gate, up
    and their product. On LLaMA's shape 0.87 of this was measured (docs/LOG.md).
    """
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    return 5 * config.width + 3 * queries + 3 * keys + 3 * config.feed_forward


def work_floats(config: ModelConfig) -> int:
    """Numbers for each token that the layer at work needs besides: gradients, and parts of them.

    Those of keys and values come for each query head before they are added up.
    """
    queries = config.heads * config.head_width
    return 4 * config.width + 5 * queries + 4 * config.feed_forward


def free_memory() -> int | None:
    """Bytes that this process may still take, with some to spare; None where nobody tells."""
    found = [value for value in (available_memory(), group_limit(Path("/"))) if value]
    return int(min(found) * _SPARE) if found else None
