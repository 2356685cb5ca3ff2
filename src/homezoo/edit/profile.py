"""The editing profile of one model file: where and how facts are written into it, measured once."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.edit.fact_record import fact_from_json, fact_to_json
from homezoo.edit.facts import Fact
from homezoo.edit.sites import POSITIONS, Position
from homezoo.edit.solve import METHODS, Method
from homezoo.edit.targets import SearchSettings
from homezoo.errors import EditError, OptionError
from homezoo.formats.user_cache import user_cache
from homezoo.formats.whole_file import whole_file

VERSION = 1
PROTECTED_SHARE = 0.5  # of λ that goes to the graph's own keys, when a graph is given
_FILE = "profile.json"


@dataclass(frozen=True)
class Profile:
    """Everything that a build depends on beside the facts."""

    base: str  # identity of the model file's weights
    architecture: str
    width: int  # K of ffn_down
    position: Position
    layers: tuple[int, ...]  # each fact is written wholly into one of them; see spread
    strength: float  # λ: so many pseudo-tokens of ordinary text protect the past
    contexts: tuple[str, ...] = ()  # texts before the prompt, for keys and residuals
    templates: int = 1  # of each relation to edit with
    method: Method = "memit"
    protected: float = 0.0  # weight of each key of a known fact that is not edited
    search: SearchSettings = field(default_factory=SearchSettings)
    tokens: int = 0  # of text behind the covariance
    spread: bool = False  # each fact into all layers together, instead of into one of them
    # Each residual is written so many times as long as found: keys of other wordings hold only a
    # part of the fact's own.
    gain: float = 1.0
    measured: dict[str, Any] = field(default_factory=dict)  # localisation and sweep, for people

    def __post_init__(self) -> None:
        if self.position not in POSITIONS:
            raise OptionError(f"position is {self.position!r}; expected {' or '.join(POSITIONS)}")
        if self.method not in METHODS:
            raise OptionError(f"method is {self.method!r}; expected one of {', '.join(METHODS)}")
        if not self.layers or min(self.layers) < 0:
            raise OptionError(f"layers are {self.layers}; expected at least one, from 0")
        if not self.strength > 0:
            raise OptionError(f"strength is {self.strength}; expected a number above 0")
        if not self.gain > 0:
            raise OptionError(f"gain is {self.gain}; expected a number above 0")

    @property
    def units_id(self) -> str:
        """Hash of what keys and residuals depend on; λ, gain and covariance are not."""
        layers = (max(self.layers),) if self.spread else self.layers
        parts = [self.base, self.position, layers, self.contexts, self.templates]
        text = json.dumps([*parts, asdict(self.search)], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def layer_of(self, fact_id: str) -> int:
        """The layer that holds a fact: by its hash, so that it never depends on other facts.

        With `spread` it is the last, for which residuals are sought.
        """
        if self.spread:
            return max(self.layers)
        return self.layers[int(fact_id[:8], 16) % len(self.layers)]


@dataclass(frozen=True, eq=False)
class Protected:
    """Keys of facts that the base knows: they are protected unless they are edited themselves."""

    keys: np.ndarray  # float32 [n, K]
    facts: np.ndarray  # int64 [n], the number in `Measured.known` that each belongs to


@dataclass(frozen=True, eq=False)
class Measured:
    """A profile with its arrays."""

    profile: Profile
    covariances: dict[int, np.ndarray]  # layer to C, float32 [K, K]
    protected: dict[int, Protected]
    known: tuple[Fact, ...]  # facts of the graph that the base knows
    text: np.ndarray  # int32 [n], tokens of ordinary text to measure drift on


def profile_folder(base: str) -> Path:
    """Where the profile of a model is kept unless the user says otherwise."""
    return user_cache() / "homezoo" / "profiles" / base[:16]


def save_profile(folder: Path, measured: Measured) -> None:
    """Writes arrays first and the profile last, so that a profile that is there is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for layer in measured.profile.layers:
        _replace(folder / f"covariance-{layer}.npy", measured.covariances[layer])
        if layer in measured.protected:
            held = measured.protected[layer]
            _replace(folder / f"protected-{layer}.npy", held.keys)
            _replace(folder / f"protected-facts-{layer}.npy", held.facts)
    _replace(folder / "text.npy", measured.text)
    content = asdict(measured.profile) | {
        "version": VERSION,
        "known": [json.loads(fact_to_json(fact)) for fact in measured.known],
    }
    _replace(folder / _FILE, json.dumps(content, ensure_ascii=False, indent=1).encode())


def load_profile(folder: Path) -> Measured:
    """What `save_profile` wrote; EditError when there is none or it is damaged."""
    path = folder / _FILE
    if not path.is_file():
        raise EditError(
            f"there is no editing profile at {folder}; measure the model once: "
            "homezoo edit profile MODEL --text TEXT --graph KNOWN --relations FILE"
        )
    try:
        content = json.loads(path.read_text("utf-8"))
        if content.pop("version") != VERSION:
            raise EditError(f"{path} is of another version; measure the profile again")
        known = tuple(fact_from_json(json.dumps(fact)) for fact in content.pop("known"))
        content["search"] = SearchSettings(**content["search"])
        for name in ("layers", "contexts"):
            content[name] = tuple(content[name])
        profile = Profile(**content)
        text = np.load(folder / "text.npy")
        covariances, protected = {}, {}
        for layer in profile.layers:
            covariances[layer] = np.load(folder / f"covariance-{layer}.npy", mmap_mode="r")
            if (folder / f"protected-{layer}.npy").is_file():
                protected[layer] = Protected(
                    np.load(folder / f"protected-{layer}.npy"),
                    np.load(folder / f"protected-facts-{layer}.npy"),
                )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise EditError(f"{path} cannot be read: {error}; measure the profile again") from None
    return Measured(profile, covariances, protected, known, text)


def _replace(path: Path, content: np.ndarray | bytes) -> None:
    """Whole or not at all."""
    with whole_file(path) as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            np.save(file, content)
