"""What training costs: arithmetic, electricity, and what renting a GPU for it would.

Sources of rates and prices are in docs/training.md, "Alpaca: time and money"; prices of 2026.
"""

from dataclasses import dataclass

WATTS_PER_THREAD = 7.5  # a desktop of 16 cores at 120 W; used where the machine tells nothing
PRICE_PER_KWH = 0.25  # dollars


@dataclass(frozen=True)
class RentedGPU:
    """A way to train the same adapter elsewhere."""

    name: str
    tokens_per_second: float  # of a 7B model, QLoRA, packed
    dollars_per_hour: tuple[float, float]  # from spot to on demand


RENTED = (
    RentedGPU("RTX 4090, torchtune QLoRA", 2413.0, (0.34, 0.60)),
    RentedGPU("A100-80G, Unsloth QLoRA", 3726.0, (0.80, 1.50)),
)
_RENTED_PARAMETERS = 7e9  # of the models that these rates were measured with


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    seconds: float
    watts: float
    kilowatt_hours: float
    dollars: float


def electricity(seconds: float, watts: float, price: float = PRICE_PER_KWH) -> Cost:
    """What so many seconds at so many watts cost."""
    energy = seconds * watts / 3.6e6
    return Cost(seconds, watts, energy, energy * price)


def rent(gpu: RentedGPU, tokens: int, parameters: int) -> tuple[float, float, float]:
    """Hours, and dollars from least to most, of training a model of `parameters` on `tokens`.

    Speed is taken to fall with the size of the model, as the arithmetic does.
    """
    speed = gpu.tokens_per_second * _RENTED_PARAMETERS / max(parameters, 1)
    hours = tokens / speed / 3600
    return hours, hours * gpu.dollars_per_hour[0], hours * gpu.dollars_per_hour[1]
