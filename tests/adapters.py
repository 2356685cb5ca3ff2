"""Random adapters for the tiny models of tests."""

from typing import Any

import numpy as np

from homezoo.formats.adapter_file import Adapter


def random_adapter(
    model: Any,
    *,
    rank: int = 3,
    alpha: float = 6.0,
    seed: int = 0,
    ending: str = "",
    **metadata: Any,
) -> Adapter:
    """One for a model's weights whose names end so, strong enough to change answers."""
    random = np.random.default_rng(seed)
    deltas = {}
    for name, linear in model.linears().items():
        if name.endswith(ending) and not (name == "output" and model.config.tied):
            rows, width = linear.weight.rows, linear.weight.width
            a = random.standard_normal((rank, width), np.float32) / np.sqrt(np.float32(width))
            b = random.standard_normal((rows, rank), np.float32) / 4
            deltas[name] = (a, b)
    return Adapter(model.config.architecture, alpha, deltas, metadata)
