"""Hands a model its tensors by their GGUF names, checks their shapes, and leaves none over."""

from collections.abc import Mapping

from homezoo.errors import GGUFError
from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor
from homezoo.models.linear import Linear

NAMES_SHOWN = 5  # of a list in an error, which is one line


class Weights:
    """The tensors of a file while a model takes them."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._taken: set[str] = set()

    def vector(self, name: str, size: int) -> Tensor:
        """The tensor `name` [size] of a norm or bias, which must be F32; GGUFError otherwise."""
        tensor = self._take(name, (size,))
        if tensor.type is not BlockType.F32:
            raise GGUFError(f"{name} is {tensor.type.name}; norms and biases must be F32")
        return tensor

    def optional_vector(self, name: str, size: int) -> Tensor | None:
        """The same, or None when the file has no such tensor."""
        return self.vector(name, size) if name in self._tensors else None

    def stack(self, name: str, count: int, rows: int, width: int) -> Tensor:
        """The tensor `name` [count, rows, width] of all experts; GGUFError otherwise."""
        return self._take(name, (count, rows, width))

    def matrix(self, name: str, rows: int, width: int) -> Tensor:
        """The tensor `name` [rows, width]; GGUFError when missing or of another shape."""
        return self._take(name, (rows, width))

    def linear(self, name: str, rows: int, width: int) -> Linear:
        """`name`.weight [rows, width] with `name`.bias [rows] where the file has it."""
        weight = self.matrix(f"{name}.weight", rows, width)
        return Linear(weight, self.optional_vector(f"{name}.bias", rows))

    def ignore(self, name: str) -> None:
        """Marks a tensor that was read elsewhere, or that says nothing new."""
        self._taken.add(name)

    def check_all_taken(self, architecture: str) -> None:
        """GGUFError naming the tensors that the architecture has no place for."""
        extra = sorted(set(self._tensors) - self._taken)
        if extra:
            shown = ", ".join(extra[:NAMES_SHOWN]) + (", …" if len(extra) > NAMES_SHOWN else "")
            raise GGUFError(
                f"{len(extra)} tensors that architecture {architecture} does not have: {shown}"
            )

    def _take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise GGUFError(f"tensor {name} is missing; expected shape {shape}")
        if tensor.shape != shape:
            raise GGUFError(f"tensor {name} has shape {tensor.shape}; expected {shape}")
        self._taken.add(name)
        return tensor
