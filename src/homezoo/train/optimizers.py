"""Which optimiser moves which parameter, and how fast beside the others."""

from collections.abc import Iterable, Mapping
from typing import Any

from homezoo.train.muon import make_muon
from homezoo.train.options import TrainingOptions

# A vocabulary's rows are seen one at a time, norms have no directions: AdamW is right for them.
_TABLES = ("token_embd", "position_embd", "output.")


class Optimizers:
    """One or two torch optimisers that follow one schedule; each keeps its share of the rate."""

    def __init__(self, parts: list[Any]) -> None:
        """Groups of parameters may have a `share` of the rate; without one they take all of it."""
        self._parts = parts

    def step(self, rate: float) -> None:
        """Moves every parameter by its gradient, and forgets the gradients."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * group.get("share", 1.0)
            part.step()
        self.forget()

    def forget(self) -> None:
        """Makes all gradients zero, where they lie."""
        for part in self._parts:
            part.zero_grad(set_to_none=False)

    def state(self) -> list[Any]:
        """All that is needed to go on bit for bit."""
        return [part.state_dict() for part in self._parts]

    def restore(self, states: list[Any]) -> None:
        """Takes what `state` gave."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def make_optimizers(trained: Mapping[str, Any], options: TrainingOptions) -> Optimizers:
    """AdamW (Loshchilov and Hutter 2019), with B faster than A for LoRA+ (Hayou et al. 2024), and
    Muon for matrices of whole models where the options ask for it."""
    import torch

    _lay_gradients(trained.values())
    matrices, fast, rest = [], [], []
    for name, parameter in trained.items():
        if options.optimizer == "muon" and is_matrix(name, parameter):
            matrices.append(parameter)
        elif name.endswith(".lora_b"):
            fast.append(parameter)
        else:
            rest.append(parameter)
    groups = [{"params": rest, "share": 1.0}, {"params": fast, "share": options.lora_plus}]
    decay = options.weight_decay
    parts = [
        torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=options.peak,
            weight_decay=decay,
            fused=True,
        )
    ]
    if matrices:
        share = options.muon_lr / options.peak
        muon = make_muon([{"params": matrices, "share": share}], options.muon_lr, 0.95, decay)
        parts.append(muon)
    return Optimizers(parts)


def _lay_gradients(parameters: Iterable[Any]) -> None:
    """Gives every parameter a gradient of zeros, all in one piece of memory.

    Gradients made during a backward pass lie between activations that are let go of, and malloc
    then cannot give back what is free: measured, 1.2 GB of a 7B model (docs/training.md, M4).
    """
    import torch

    parameters = list(parameters)
    sizes = [parameter.numel() for parameter in parameters]
    parts = torch.zeros(sum(sizes)).split(sizes)
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def is_matrix(name: str, parameter: Any) -> bool:
    """Whether Muon is for it: a layer's weight, no table of the vocabulary and no norm."""
    return parameter.ndim == 2 and not name.startswith(_TABLES)
