"""From a ledger's active facts to one adapter; the same set gives the same bytes."""

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass

import numpy as np

from homezoo.edit.fact_record import Unit
from homezoo.edit.profile import Measured, Profile
from homezoo.edit.solve import Update, protect, reduce_rank, regular, solve
from homezoo.errors import EditError
from homezoo.formats.adapter_file import Adapter
from homezoo.formats.adapter_origin import BaseIdentity, origin_keys
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor

MOST_CAPACITY = 0.5  # units over K of a layer: beyond it, edits and the rest both suffer
WARN_CAPACITY = 0.33
LEDGER_KEY, FACTS_KEY = "homezoo.edit.ledger", "homezoo.edit.facts"
ROWS = 512  # of a weight that are floats at once
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Capacity:
    """How full the edited layers are."""

    units: dict[int, int]  # by layer
    width: int  # K

    @property
    def rho(self) -> float:
        """Units over K of the fullest layer."""
        return max(self.units.values(), default=0) / self.width

    def check(self, force: bool) -> None:
        """EditError above half, unless it is forced."""
        if self.rho > MOST_CAPACITY and not force:
            raise EditError(f"{self}: above {MOST_CAPACITY} edits spoil each other and what was "
                            "known; retract facts, profile more --layers, or use --force"
            )  # fmt: skip

    def __str__(self) -> str:
        held = ", ".join(f"{n} units in layer {layer}" for layer, n in sorted(self.units.items()))
        return f"capacity ρ = {self.rho:.3f} ({held or 'no units'}, width {self.width:,})"


def capacity(units: Iterable[Unit], profile: Profile) -> Capacity:
    """How full the layers become with these units."""
    counts: dict[int, int] = {}
    for unit in units:
        for layer in profile.layers if profile.spread else (unit.layer,):
            counts[layer] = counts.get(layer, 0) + 1
    return Capacity(counts, profile.width)


@dataclass(frozen=True, eq=False)
class LayerProblem:
    """What is solved for one layer; n units in order of their ids."""

    keys: np.ndarray  # float64 [n, K]
    residuals: np.ndarray  # float64 [n, D], as long as they are written
    covariance: np.ndarray  # float64 [K, K], can be inverted
    history: np.ndarray | None  # float64 [m, K], keys that are protected, already weighted
    strength: float  # λ

    def protected(self) -> np.ndarray:
        """λC and what the protected keys add, [K, K]."""
        return protect(self.covariance.copy(), self.strength, self.history)


def layer_problem(
    units: Items[Unit], measured: Measured, layer: int, edited: Iterable[tuple[str, str]] = ()
) -> LayerProblem:
    """The units of a layer, and what protects the rest.

    `edited` are subject and predicate of the facts to write: their own old keys are not protected.
    """
    here = sorted((u for u in units if u.layer == layer), key=lambda unit: unit.id)
    keys = np.stack([unit.key for unit in here]).astype(np.float64)
    residuals = np.stack([unit.residual for unit in here]).astype(np.float64)
    residuals *= measured.profile.gain
    covariance = regular(measured.covariances[layer])
    history = protected_history(measured, layer, edited)
    return LayerProblem(keys, residuals, covariance, history, measured.profile.strength)


def protected_history(
    measured: Measured, layer: int, edited: Iterable[tuple[str, str]]
) -> np.ndarray | None:
    """Keys [m, K] of known facts that are not edited, weighted; None without protection."""
    held, weight = measured.protected.get(layer), measured.profile.protected
    if held is None or not weight > 0:
        return None
    gone = set(edited)
    free = np.array([fact.key in gone for fact in measured.known], bool)
    kept: np.ndarray = held.keys[~free[held.facts]].astype(np.float64) * weight**0.5
    return kept


def solve_units(
    units: Items[Unit], measured: Measured, edited: Iterable[tuple[str, str]] = ()
) -> dict[int, Update]:
    """The update of each layer that holds units; `edited` as in `layer_problem`."""
    edited = list(edited)
    updates = {}
    for layer in sorted({unit.layer for unit in units}):
        p = layer_problem(units, measured, layer, edited)
        method = measured.profile.method
        updates[layer] = solve(p.keys, p.residuals, p.covariance, p.strength, method, p.history,
                               overwrite=True)  # fmt: skip
    return updates


def deltas_of(updates: Mapping[int, Update], multiple: int = 1) -> dict[str, Pair]:
    """Float32 pairs by the name of their weight, all of one rank that is such a multiple.

    Rank is made equal with rows of zeros, so that alpha = rank is a scale of 1 for every reader.
    """
    updates = {layer: reduce_rank(update) for layer, update in updates.items()}
    rank = max((len(update.a) for update in updates.values()), default=0)
    rank = -(-rank // multiple) * multiple
    found = {}
    for layer, update in updates.items():
        a = np.zeros((rank, update.a.shape[1]), np.float32)
        b = np.zeros((update.b.shape[0], rank), np.float32)
        a[: len(update.a)] = update.a
        b[:, : update.b.shape[1]] = update.b
        found[f"blk.{layer}.ffn_down"] = (a, b)
    return found


def no_change(profile: Profile, width: int) -> dict[int, Update]:
    """What a ledger without active facts is solved into: a pair of zeros, `width` is D.

    A file of it can stand where an earlier adapter stood, and the base answers through it.
    """
    return {profile.layers[0]: Update(np.zeros((1, profile.width)), np.zeros((width, 1)))}


def make_adapter(
    updates: Mapping[int, Update],
    profile: Profile,
    base: BaseIdentity,
    digest: str,
    facts: int,
    base_name: str | None = None,
    multiple: int = 1,
) -> Adapter:
    """The adapter to write, its rank a multiple of `multiple`; without updates see `no_change`."""
    deltas = deltas_of(updates, multiple)
    rank = next(iter(deltas.values()))[0].shape[0]
    keys = origin_keys(base=base, base_name=base_name)
    keys |= {LEDGER_KEY: digest, FACTS_KEY: facts}
    return Adapter(profile.architecture, float(rank), deltas, keys)


def relative_sizes(deltas: Mapping[str, Pair], tensors: Mapping[str, Tensor]) -> dict[str, float]:
    """|Delta| / |W| in Frobenius norms, by the name of the weight."""
    found = {}
    for name, (a, b) in deltas.items():
        weight = tensors[f"{name}.weight"]
        parts = np.array_split(weight.data, -(-len(weight.data) // ROWS))
        floats = (dequantize(weight.type, rows).astype(np.float64) for rows in parts)
        total = sum(float(np.square(values).sum()) for values in floats)
        a, b = a.astype(np.float64), b.astype(np.float64)
        found[name] = float(np.sum((a @ a.T) * (b.T @ b))) ** 0.5 / max(total, 1e-300) ** 0.5
    return found


@dataclass(frozen=True)
class Share:
    """How much one fact's units answer at some key."""

    fact: str
    prompt: str
    weight: float  # |a·k| |r|, in units of the state's length


def explain(
    updates: Mapping[int, Update], units: Items[Unit], keys: Mapping[int, np.ndarray]
) -> list[Share]:
    """Which units answer at given keys [K] of the edited layers, strongest first."""
    found = []
    for layer, update in updates.items():
        here = sorted((u for u in units if u.layer == layer), key=lambda unit: unit.id)
        found_at = np.abs(update.a @ keys[layer]) * np.linalg.norm(update.b, axis=0)
        found += [Share(u.fact, u.prompt, float(w)) for u, w in zip(here, found_at, strict=True)]
    return sorted(found, key=lambda share: -share.weight)
