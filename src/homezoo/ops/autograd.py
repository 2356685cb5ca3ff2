"""The autograd backend: the same models over PyTorch tensors, so that training finds gradients.

Weights stay the mapped bytes of the file and are frozen, unless `parameters` holds a tensor of the
same name. Deltas whose a and b are tensors that require gradients get them. Everything is float32,
or float64 to check gradients; bfloat16 is refused, as it is hundreds of times slower on most CPUs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from homezoo import _native
from homezoo.errors import OptionError
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.ops.autograd_attention import WholeSequences, attend
from homezoo.ops.autograd_matmul import Backward, Forward, FrozenProducts
from homezoo.ops.autograd_products import low_rank, trained_product
from homezoo.ops.autograd_rows import rms_norm, rotate, silu_mul
from homezoo.ops.protocol import CAUSAL, AttentionForm, BatchArrays

WIDTHS = ("float32", "float64")  # of the numbers computed with


class AutogradOps:
    """The operations for one batch of whole sequences; see Ops. Arrays are tensors [T, width]."""

    def __init__(
        self,
        batch: BatchArrays,
        parameters: Mapping[str, Any] | None = None,
        *,
        head_width: int,
        threads: int | _native.Threads | None = None,
        backward: Backward = "int8",
        forward: Forward = "int8",
        products: FrozenProducts | None = None,
        precision: str = "float32",
    ) -> None:
        """`parameters`: GGUF tensor name to the float tensor to use (and train) in its place.

        `head_width` is the model's (config.head_width): attention splits q, k and v by it.
        `products` shares one pool of threads among batches and replaces `threads`, `backward` and
        `forward`; see FrozenProducts. Raises OptionError for parameters of other types and for
        sequences that do not begin at position 0.
        """
        import torch

        if precision not in WIDTHS:
            raise OptionError(f"precision is {precision!r}; expected one of {', '.join(WIDTHS)}")
        self.dtype = getattr(torch, precision)
        self.parameters = parameters or {}
        for name, value in self.parameters.items():
            if str(value.dtype).removeprefix("torch.") not in WIDTHS:
                raise OptionError(
                    f"parameter {name} is {value.dtype}; training on a CPU computes in float32"
                )
        self.batch = batch
        self.head_width = head_width
        self._arrange(batch)
        self.products = products or FrozenProducts(threads, forward, backward)
        self._rotations: dict[tuple[bytes, float], tuple[Any, Any]] = {}

    def _arrange(self, batch: BatchArrays) -> None:
        """Finds the sequences; whoever computes parts of them has an attention of its own."""
        self.sequences = WholeSequences.of(batch)

    def embed(self, table: Tensor) -> Any:
        return self._rows(table, self.batch.tokens, "token id", "the vocabulary has")

    def embed_positions(self, table: Tensor) -> Any:
        return self._rows(table, self.batch.positions, "position", "the model has learned")

    def rms_norm(self, x: Any, weight: Tensor, eps: float, group: int | None = None) -> Any:
        import torch

        if x.dtype == torch.float32 and weight.name not in self.parameters:
            rows, vector = x.reshape(-1, group or x.shape[1]), self._vector(weight).numpy()
            threads = self.products.threads
            return rms_norm(rows, vector, eps, threads).reshape(x.shape)
        groups = x.reshape(len(x), -1, group or x.shape[1])
        scale = (groups.square().mean(2, keepdim=True) + eps).rsqrt()
        return (groups * scale * self._vector(weight)).reshape(x.shape)

    def layer_norm(self, x: Any, weight: Tensor, bias: Tensor | None, eps: float) -> Any:
        import torch

        shift = None if bias is None else self._vector(bias)
        return torch.nn.functional.layer_norm(x, x.shape[1:], self._vector(weight), shift, eps)

    def matmul(self, x: Any, weight: Tensor) -> Any:
        import torch

        trained = self.parameters.get(weight.name)
        if trained is None:
            return self.products(x, weight)
        if x.dtype == trained.dtype == torch.float32:
            return trained_product(x, trained, self.products.threads)
        return x @ trained.to(x.dtype).T

    def low_rank(
        self, x: Any, y: Any, a: Any, b: Any, scale: float, adapter: int | None = None
    ) -> Any:
        import torch

        if adapter is not None:
            raise OptionError(
                f"the delta is that of adapter {adapter}, chosen by each sequence; gradients need "
                "one that counts for every token (Delta without `adapter`)"
            )
        a, b = torch.as_tensor(a), torch.as_tensor(b)
        if x.dtype == a.dtype == b.dtype == torch.float32:
            return low_rank(x, y, a, b, scale, self.products.threads)
        return torch.addmm(y, x @ a.to(x.dtype).T, b.to(x.dtype).T, alpha=scale)

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def add_bias(self, x: Any, bias: Tensor) -> Any:
        return x + self._vector(bias)

    def silu_mul(self, gate: Any, up: Any) -> Any:
        import torch

        if gate.dtype == torch.float32:
            return silu_mul(gate, up, self.products.threads)
        return torch.nn.functional.silu(gate) * up

    def clamped_swiglu(self, gate: Any, up: Any, alpha: float, limit: float) -> Any:
        import torch

        held = gate.clamp(max=limit)
        return (up.clamp(-limit, limit) + 1) * held * torch.sigmoid(alpha * held)

    def gelu(self, x: Any, exact: bool = False) -> Any:
        import torch

        return torch.nn.functional.gelu(x, approximate="none" if exact else "tanh")

    def scale(self, x: Any, factor: float) -> Any:
        return x * factor

    def multiply(self, x: Any, y: Any) -> Any:
        return x * y

    def columns(self, x: Any, start: int, stop: int) -> Any:
        return x[:, start:stop]

    def soft_cap(self, x: Any, cap: float) -> Any:
        import torch

        return cap * torch.tanh(x / cap)

    def route(self, scores: Any, slots: int) -> Any:
        import torch

        order = torch.sort(scores.detach(), dim=1, descending=True, stable=True).indices[:, :slots]
        weights = torch.softmax(scores.gather(1, order), 1)
        return torch.cat([order.to(scores.dtype), weights], 1)

    def expert_matmul(self, x: Any, routing: Any, weight: Tensor) -> Any:
        import torch

        chosen = _chosen(routing)  # [T, slots]
        inputs = x.reshape(len(x), -1, weight.width).expand(-1, chosen.shape[1], -1)
        inputs = inputs.reshape(-1, weight.width)  # [T · slots, K]
        chosen, rows = chosen.reshape(-1), weight.shape[1]
        found, places = [], []
        for expert in chosen.unique().tolist():
            place = torch.nonzero(chosen == expert).reshape(-1)
            found.append(self._expert(inputs[place], weight, expert))
            places.append(place)
        back = torch.argsort(torch.cat(places))
        return torch.cat(found)[back].reshape(len(x), -1, rows).reshape(len(x), -1)

    def expert_bias(self, x: Any, routing: Any, bias: Tensor) -> Any:
        added = self._matrix(bias)[_chosen(routing)]  # [T, slots, N]
        return x + added.reshape(x.shape)

    def expert_sum(self, x: Any, routing: Any) -> Any:
        slots = routing.shape[1] // 2
        return (x.reshape(len(x), slots, -1) * routing[:, slots:, None]).sum(1)

    def rope(
        self,
        x: Any,
        frequencies: np.ndarray,
        head_width: int,
        halves: bool,
        magnitude: float = 1.0,
    ) -> Any:
        import torch

        pairs = len(frequencies)
        cos, sin = self._rotation(frequencies, magnitude)  # [T, P]
        if x.dtype == torch.float32:
            threads = self.products.threads
            return rotate(x, cos.numpy(), sin.numpy(), head_width, halves, threads)
        cos, sin = cos[:, None], sin[:, None]
        heads = x.reshape(len(x), -1, head_width)  # [T, heads, E]
        turned, rest = heads[..., : 2 * pairs], heads[..., 2 * pairs :]
        if halves:
            one, two = turned[..., :pairs], turned[..., pairs:]
        else:
            one, two = turned[..., 0::2], turned[..., 1::2]
        found = (one * cos - two * sin, one * sin + two * cos)
        both = torch.cat(found, 2) if halves else torch.stack(found, 3).flatten(2)
        return torch.cat([both, rest], 2).reshape(x.shape)

    def attention(
        self,
        q: Any,
        k: Any,
        v: Any,
        layer: int,
        scale: float,
        window: int | None = None,
        form: AttentionForm = CAUSAL,
    ) -> Any:
        """No cache: a sequence's keys and values are those of its own tokens, not rounded."""
        threads = self.products.threads
        return attend(q, k, v, self.sequences, self.head_width, scale, window, form, threads)

    def select(self, x: Any) -> Any:
        import torch

        return x[torch.from_numpy(self.batch.rows).long()]

    def _rows(self, table: Tensor, numbers: np.ndarray, what: str, owner: str) -> Any:
        """Rows of a table [V, D] by number, trained or not: [T, D]."""
        import torch

        wrong = numbers[(numbers < 0) | (numbers >= table.rows)]
        if len(wrong):
            raise OptionError(f"{what} {wrong[0]}; {owner} 0 to {table.rows - 1}")
        trained = self.parameters.get(table.name)
        if trained is not None:
            return torch.nn.functional.embedding(torch.from_numpy(numbers).long(), trained).to(
                self.dtype
            )
        return torch.from_numpy(dequantize(table.type, table.data[numbers])).to(self.dtype)

    def _matrix(self, tensor: Tensor) -> Any:
        """A norm's weight or biases as floats, trained or not."""
        import torch

        trained = self.parameters.get(tensor.name)
        if trained is None:
            values = np.require(dequantize(tensor.type, tensor.data), requirements="W")
            trained = torch.from_numpy(values).reshape(tensor.shape)  # a map cannot be written to
        return trained.to(self.dtype)

    def _vector(self, tensor: Tensor) -> Any:
        return self._matrix(tensor).reshape(-1)

    def _expert(self, x: Any, weight: Tensor, expert: int) -> Any:
        """x [n, K] times the transpose of one expert's part of `weight` [experts, N, K]: [n, N]."""
        trained = self.parameters.get(weight.name)
        if trained is not None:
            return x @ trained[expert].to(x.dtype).T
        rows = weight.shape[1]
        data = weight.data[expert * rows : (expert + 1) * rows]
        return self.products(x, Tensor(weight.name, weight.type, weight.shape[1:], data))

    def _rotation(self, frequencies: np.ndarray, magnitude: float) -> tuple[Any, Any]:
        """cos and sin of the batch's positions, computed in float64 once: [T, P] each."""
        import torch

        key = (frequencies.tobytes(), magnitude)
        if key not in self._rotations:
            angles = self.batch.positions[:, None] * frequencies
            cos, sin = np.cos(angles) * magnitude, np.sin(angles) * magnitude
            self._rotations[key] = (
                torch.from_numpy(cos).to(self.dtype),
                torch.from_numpy(sin).to(self.dtype),
            )
        return self._rotations[key]


def _chosen(routing: Any) -> Any:
    """The experts' numbers [T, slots]."""
    return routing[:, : routing.shape[1] // 2].detach().long()
