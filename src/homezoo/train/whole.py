"""Training of every weight: from a file's tensors to parameters, and back to a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_values import Metadata
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.formats.tensor import Tensor

_FIXED = ("rope_freqs", "rope_factors")  # tensors that are part of the architecture
_SPREAD = 0.02  # of first weights, as in GPT-2 (Radford et al. 2019)
_INTO_STREAM = ("attn_output", "ffn_down")  # what is added to the stream of every layer


def make_parameters(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Every tensor of a file as float32 that requires gradients, by its GGUF name."""
    import torch

    found = {}
    for name, tensor in tensors.items():
        if not name.startswith(_FIXED):
            values = dequantize(tensor.type, tensor.data).reshape(tensor.shape)
            found[name] = torch.from_numpy(np.array(values, np.float32)).requires_grad_()
    return found


def forget_weights(parameters: Mapping[str, Any], layers: int, seed: int) -> None:
    """First weights of a new model in place of the old: normal of deviation 0.02, those that are
    added to the stream divided by √(2 · layers) (Radford et al. 2019); norms 1, biases 0."""
    import torch

    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name in sorted(parameters):
            parameter = parameters[name]
            if "norm" in name and name.endswith(".weight"):
                parameter.fill_(1.0)
            elif name.endswith(".bias"):
                parameter.zero_()
            else:
                into = name.split(".")[-2] in _INTO_STREAM
                spread = _SPREAD / (2 * layers) ** 0.5 if into else _SPREAD
                start = random.standard_normal(tuple(parameter.shape)).astype(np.float32)
                parameter.copy_(torch.from_numpy(start * np.float32(spread)))


def write_model(
    path: Path,
    metadata: Metadata,
    tensors: Mapping[str, Tensor],
    parameters: Mapping[str, Any],
    keys: Mapping[str, Any],
    type: BlockType = BlockType.F16,
) -> None:
    """A whole model: the base's metadata with `keys` instead of its own, matrices as `type`.

    Where `keys` state a licence, the base's name and address of its own do not hold.

    Vectors stay F32, as every program wants them. GGUFError when it cannot be written.
    """
    with GGUFWriter(path) as writer:
        stale = ("general.license.name", "general.license.link")
        skipped = [*keys, "general.file_type", *(stale if "general.license" in keys else ())]
        writer.copy_metadata(metadata, skip=skipped)
        for key, value in keys.items():
            writer.add(key, value)
        written = {}
        for name, tensor in tensors.items():
            if name not in parameters:
                written[name] = tensor.type, tensor.data
                continue
            values = parameters[name].detach().numpy()
            kind = type if values.ndim > 1 else BlockType.F32
            dtype = np.float16 if kind is BlockType.F16 else np.float32
            written[name] = kind, np.ascontiguousarray(values, dtype)
        for name, (kind, _) in written.items():
            writer.declare(name, kind, tensors[name].shape)
        for name, (_, data) in written.items():
            writer.write(name, data)
