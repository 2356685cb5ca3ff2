"""The adapters of an open model: attached under names, chosen for each answer by name."""

import warnings
from collections.abc import Mapping
from math import isfinite
from pathlib import Path

from homezoo.errors import AdapterError, OptionError
from homezoo.formats.adapter_file import Adapter, read_adapter
from homezoo.formats.adapter_origin import check_base, identify_base
from homezoo.formats.tensor import Tensor
from homezoo.models.cache import Adapters
from homezoo.models.linear import Delta
from homezoo.models.load import Model

NAMES_SHOWN = 3  # of weights in an error, which is one line


class AttachedAdapters:
    """Which adapters a model has. A number is never used twice, so no cache can be mistaken."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._numbers: dict[str, int] = {}
        self._strengths: dict[str, float] = {}
        self._next = 0

    @property
    def strengths(self) -> dict[str, float]:
        """Names of all and how strongly each counts unless an answer says otherwise."""
        return dict(self._strengths)

    def attach(self, name: str, adapter: Adapter, strength: float) -> None:
        """Puts its deltas beside the weights, all or none; a backend must be compiled anew.

        Raises AdapterError when it does not fit the model, OptionError for a name that is taken or
        a strength that is no number.
        """
        if name in self._numbers:
            raise OptionError(f"an adapter named {name!r} is attached already; detach it first")
        check_strength(name, strength)
        self._check_fit(name, adapter)
        linears = self._model.linears()
        for weight, (a, b) in adapter.deltas.items():
            delta = Delta(a, b, adapter.scale_of(weight), name, self._next)
            linears[weight].attach(delta)
        self._numbers[name] = self._next
        self._strengths[name] = float(strength)
        self._next += 1

    def number_of(self, name: str) -> int:
        """The column of an adapter in a batch's strengths; OptionError for an unknown name."""
        self._check_known(name)
        return self._numbers[name]

    def check_attached(self, adapters: Adapters) -> None:
        """OptionError when one that was chosen has been detached since."""
        if not {number for number, _ in adapters}.issubset(self._numbers.values()):
            raise OptionError("an adapter of this answer was detached before it began")

    def detach(self, name: str) -> None:
        """Takes its deltas away; OptionError for an unknown name."""
        self._check_known(name)
        for linear in self._model.linears().values():
            if any(delta.name == name for delta in linear.deltas):
                linear.detach(name)
        del self._strengths[name], self._numbers[name]

    def choose(self, wanted: Mapping[str, float] | None) -> Adapters:
        """Numbers and strengths, in order of number, of the adapters that an answer names.

        None means all, at the strengths they were attached with. OptionError for an unknown name.
        """
        chosen = self._strengths if wanted is None else wanted
        for name, strength in chosen.items():
            self._check_known(name)
            check_strength(name, strength)
        return tuple(sorted((self._numbers[n], float(s)) for n, s in chosen.items() if s))

    def _check_known(self, name: str) -> None:
        if name not in self._numbers:
            attached = ", ".join(map(repr, self._numbers)) or "none"
            raise OptionError(f"no adapter is named {name!r}; attached: {attached}")

    def _check_fit(self, name: str, adapter: Adapter) -> None:
        architecture = self._model.config.architecture
        if adapter.architecture != architecture:
            raise AdapterError(
                f"adapter {name!r} is for architecture {adapter.architecture}; "
                f"this model is {architecture}"
            )
        linears = self._model.linears()
        unknown = [weight for weight in adapter.deltas if weight not in linears]
        if unknown:
            shown = ", ".join(unknown[:NAMES_SHOWN]) + (", …" if unknown[NAMES_SHOWN:] else "")
            raise AdapterError(
                f"adapter {name!r} changes {len(unknown)} weights that this model does not have, "
                f"or that no adapter can change: {shown}"
            )
        for weight, (a, b) in adapter.deltas.items():
            found, base = (b.shape[0], a.shape[1]), linears[weight].weight
            if found != (base.rows, base.width):
                raise AdapterError(
                    f"adapter {name!r} changes a weight {weight} of shape {found}; in this model "
                    f"it is {(base.rows, base.width)}, so it was made for another"
                )


def check_strength(name: str, strength: float) -> None:
    """OptionError unless it is a finite number."""
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not isfinite(strength):
        raise OptionError(f"the strength of adapter {name!r} is {strength!r}; expected a number")


def open_for(
    base: Mapping[str, Tensor], adapter: Adapter | str | Path, name: str | None
) -> tuple[str, Adapter]:
    """The name of an adapter, or of one in a file, and itself, checked against its base's tensors.

    Warns when it was made for another file of the model; AdapterError for another model.
    """
    if not isinstance(adapter, Adapter):
        name, adapter = name or Path(adapter).stem, read_adapter(adapter)
    name = name or "adapter"
    warning = check_base(name, adapter.metadata, identify_base(base))
    if warning:
        warnings.warn(warning, stacklevel=3)
    return name, adapter
