"""The settings of a training run, checked where they are made; the command's options are these."""

import math
from dataclasses import dataclass, field
from typing import Any

from homezoo.errors import OptionError
from homezoo.train.schedule import SHAPES
from homezoo.train.templates import check_template

TARGETS = {
    "attention": ("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output"),
    "qv": ("attn_q", "attn_v", "attn_qkv"),
}
DEFAULT_EPOCHS = 3


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. Defaults follow docs/training.md; OptionError for a value out of its range."""

    steps: int | None = _option(None, "optimiser steps; without it, what --epochs gives")
    epochs: int | None = _option(None, f"times through the data; {DEFAULT_EPOCHS} without --steps")
    rank: int = _option(16, "rank r of the deltas")
    alpha: float | None = _option(None, "scale of the deltas is alpha / r; 2 r without it")
    rslora: bool = _option(False, "scale by alpha / sqrt(r) instead, for ranks from 64 on")
    lora_plus: float = _option(1.0, "B learns so many times faster than A (LoRA+ takes 16)")
    targets: str = _option("all", "weights to teach: all, attention, qv, or GGUF names with commas")
    layers: int | None = _option(None, "teach only the last N layers; those below are cached")
    full: bool = _option(False, "teach every weight of a small model and write a whole model")
    scratch: bool = _option(False, "with --full: forget the weights first, keep sizes and tokens")
    optimizer: str = _option("adamw", "adamw, or muon for the matrices of --full")
    lr: float | None = _option(
        None, "peak learning rate; 2e-4, with --full 2e-5, from scratch 2e-3"
    )
    schedule: str = _option("cosine", f"of the learning rate: {', '.join(SHAPES)}")
    warmup: float = _option(0.03, "share of the steps in which the rate rises")
    clip: float = _option(1.0, "longest gradient, by its norm over all parameters; 0: any")
    weight_decay: float = _option(0.0, "of AdamW and Muon")
    muon_lr: float = _option(
        0.01, "peak learning rate of Muon, for the matrices; --lr is for the rest"
    )
    length: int = _option(512, "tokens of a pass, into which documents are packed whole")
    batch: int = _option(2, "passes for each step, weighed by their learned tokens")
    template: str | None = _option(None, "chat (the model's own), alpaca, alpaca-lora or raw")
    validation: float = _option(0.0, "share of the documents held out to measure the loss on")
    validate_every: int | None = _option(None, "steps between measures; ten in all without it")
    patience: int = _option(0, "stop after so many measures without a better one; 0: never")
    backward: str = _option("int8", "how gradients pass frozen weights: int8 (faster) or exact")
    memory: float | None = _option(None, "GB to keep within; what is free without it")
    save_every: float = _option(15.0, "minutes between checkpoints")
    seed: int = _option(0, "decides order and first weights; the same gives the same adapter")

    def __post_init__(self) -> None:
        for name in ("steps", "epochs", "layers", "validate_every", "rank", "length", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{name} is {value}; expected 1 or more")
        for name in ("warmup", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; expected 0 up to 1, not 1")
        for name in ("clip", "weight_decay", "patience", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name} is {getattr(self, name)}; expected 0 or more")
        for name in ("alpha", "lora_plus", "lr", "memory", "save_every"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} is {value}; expected a number above 0")
        _expect("schedule", self.schedule, tuple(SHAPES))
        _expect("optimizer", self.optimizer, ("adamw", "muon"))
        _expect("backward", self.backward, ("int8", "exact"))
        if self.template is not None:
            check_template(self.template)
        if self.steps is not None and self.epochs is not None:
            raise OptionError("steps and epochs exclude each other; give one of them")
        if self.length < 2:
            raise OptionError("length is 1; a token is learned from those before, so at least 2")
        if self.patience and not self.validation:
            raise OptionError("patience needs a --validation share to measure the loss on")
        if self.scratch and not self.full:
            raise OptionError("scratch trains every weight, so it needs --full too")
        if self.full and (self.layers is not None or self.targets != "all"):
            raise OptionError("full teaches every weight; --layers and --targets choose deltas")
        if self.optimizer == "muon" and not self.full:
            raise OptionError("muon is for whole matrices (--full); deltas want adamw")

    @property
    def peak(self) -> float:
        """The highest learning rate."""
        if self.lr is not None:
            return self.lr
        return 2e-3 if self.scratch else 2e-5 if self.full else 2e-4

    @property
    def scale_alpha(self) -> float:
        """Alpha such that alpha / r is the scale, as adapter files want it."""
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        return alpha * math.sqrt(self.rank) if self.rslora else alpha

    def chosen(self, names: list[str]) -> list[str]:
        """Those of a model's linears that are taught; never the output matrix, as in PEFT.

        `names` are like blk.3.attn_q. OptionError for a target that is in no layer.
        """
        layers = [name for name in names if name.startswith("blk.")]
        count = 1 + max((int(name.split(".")[1]) for name in layers), default=-1)
        if self.layers is not None and self.layers > count:
            raise OptionError(f"layers is {self.layers}; the model has {count}")
        first = 0 if self.layers is None else count - self.layers
        layers = [name for name in layers if int(name.split(".")[1]) >= first]
        if self.targets == "all":
            return layers
        known = {name.split(".", 2)[2] for name in layers}
        wanted = TARGETS.get(self.targets, tuple(self.targets.split(",")))
        missing = set() if self.targets in TARGETS else set(wanted) - known
        if missing or not known & set(wanted):
            raise OptionError(
                f"targets names {', '.join(sorted(missing or wanted))}; a layer of this model has "
                f"{', '.join(sorted(known))}"
            )
        return [name for name in layers if name.split(".", 2)[2] in wanted]


def _expect(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OptionError(f"{name} is {value!r}; expected one of {', '.join(known)}")
