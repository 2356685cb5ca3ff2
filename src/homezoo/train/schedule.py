"""How the learning rate goes over the steps."""

import math
from collections.abc import Callable

from homezoo.errors import OptionError

SHAPES: dict[str, Callable[[float], float]] = {  # share of the steps done, 0 to 1, to share of rate
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),  # Loshchilov and Hutter 2017
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
}


def learning_rate(step: int, steps: int, peak: float, warmup: float, shape: str) -> float:
    """The rate of step 0 … steps - 1: up to `peak` over the share `warmup`, then down by `shape`.

    The first step already learns, and so does the last. OptionError for an unknown shape.
    """
    if shape not in SHAPES:
        raise OptionError(f"schedule is {shape!r}; expected one of {', '.join(SHAPES)}")
    rising = math.ceil(steps * warmup)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * SHAPES[shape]((step - rising) / max(steps - rising, 1))
