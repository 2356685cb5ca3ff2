"""The Muon optimiser for matrices (Jordan et al. 2024, kellerjordan.github.io/posts/muon)."""

from collections.abc import Iterable
from functools import cache
from typing import Any

# Coefficients of the quintic iteration that brings singular values near 1 in five steps (there).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonalized(matrix: Any) -> Any:
    """Nearly U Vᵀ of a float32 matrix's singular value decomposition U S Vᵀ: same shape."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if tall else x


def make_muon(
    parameters: Iterable[Any], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
) -> Any:
    """A torch optimiser for two-dimensional parameters; norms and tables want AdamW.

    Each matrix [N, K] moves by lr · sqrt(max(1, N / K)) along its orthogonalised momentum
    (Nesterov's). Resuming from its state_dict goes on bit for bit.
    """
    return _muon()(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})


@cache
def _muon() -> Any:
    """The optimiser; made when first used, as PyTorch is imported only then."""
    import torch

    class Muon(torch.optim.Optimizer):  # type: ignore[misc]
        @torch.no_grad()  # type: ignore[untyped-decorator]
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for matrix in group["params"]:
                    if matrix.grad is not None:
                        self._move(matrix, group)

        def _move(self, matrix: Any, group: dict[str, Any]) -> None:
            state = self.state[matrix]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(matrix)
            average = state["momentum"]
            average.lerp_(matrix.grad, 1 - group["momentum"])
            ahead = matrix.grad.lerp(average, group["momentum"])
            longer = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            if group["weight_decay"]:
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(orthogonalized(ahead), alpha=-group["lr"] * longer)

    return Muon
