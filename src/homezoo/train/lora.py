"""Low-rank deltas that learn: made beside a model's weights, and taken out as an adapter."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from homezoo.formats.adapter_file import Adapter
from homezoo.models.decoder import Decoder
from homezoo.models.linear import Delta
from homezoo.train.options import TrainingOptions

NAME = "training"  # of the deltas while they are attached


def attach_deltas(model: Decoder, options: TrainingOptions) -> dict[str, Any]:
    """Attaches a delta to every chosen linear and gives its a and b, which require gradients.

    Names are those of the linears with `.lora_a` [r, K] and `.lora_b` [N, r]. As Hu et al. 2021
    have it (section 4.1, and PEFT), a is random, uniform within ±1/√K, and b is zero, so that
    nothing is changed at first. First values depend on seed and name, not on the other deltas.
    """
    import torch

    linears = model.linears()
    trained: dict[str, Any] = {}
    scale = options.scale_alpha / options.rank
    for name in options.chosen(list(linears)):
        linear = linears[name]
        rows, width = linear.weight.rows, linear.weight.width
        random = np.random.default_rng([options.seed, zlib.crc32(name.encode())])
        bound = width**-0.5
        start = random.uniform(-bound, bound, (options.rank, width)).astype(np.float32)
        a = torch.from_numpy(start).requires_grad_()
        b = torch.zeros(rows, options.rank).requires_grad_()
        linear.attach(Delta(a, b, scale, NAME))
        trained |= {f"{name}.lora_a": a, f"{name}.lora_b": b}
    return trained


def detach_deltas(model: Decoder) -> None:
    """Gives the model back as it was."""
    for linear in model.linears().values():
        if any(delta.name == NAME for delta in linear.deltas):
            linear.detach(NAME)


def make_adapter(
    architecture: str,
    options: TrainingOptions,
    trained: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> Adapter:
    """What was learned, in GGUF's order of rows. The scale of rsLoRA is in its alpha."""
    names = [name.removesuffix(".lora_a") for name in trained if name.endswith(".lora_a")]
    deltas = {
        name: tuple(trained[f"{name}.lora_{letter}"].detach().numpy().copy() for letter in "ab")
        for name in names
    }
    pairs: Any = deltas
    return Adapter(architecture, options.scale_alpha, pairs, metadata)


def first_layer(trained: Mapping[str, Any]) -> int:
    """The lowest layer with something to learn; below it no gradient is needed."""
    layers = [int(name.split(".")[1]) for name in trained if name.startswith("blk.")]
    return min(layers, default=0)
