"""The models on this machine, wherever other programs keep them: used in place, never copied."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homezoo.zoo.hub_cache import cache_folder, repository_folders
from homezoo.zoo.offers import quantisation_of

HUB, OLLAMA, LM_STUDIO, BUNDLED = "hub", "ollama", "lmstudio", "homezoo"
_PART = re.compile(r"-(\d{5})-of-\d{5}\.gguf$", re.I)
_MODEL_LAYER = "application/vnd.ollama.image.model"
_OLLAMA_HOST, _OLLAMA_OWNER = "registry.ollama.ai", "library"  # which ollama leaves out of names
MAX_MANIFEST = 1 << 20  # bytes; they have about a thousand


@dataclass(frozen=True)
class Entry:
    """One model on disk."""

    name: str  # usable as MODEL
    path: Path  # of the file, or of its first part
    place: str  # hub, ollama, lmstudio or homezoo
    bytes: int  # of all parts
    quantisation: str | None  # as the name says it
    repository: str | None = None  # owner/repo, of the hub and LM Studio
    card: Path | None = None  # README.md that came with it


def find_entries(bundled: dict[str, Path] | None = None) -> list[Entry]:
    """All models, in the order in which a name is looked up: bundled, hub, LM Studio, ollama."""
    own = [
        Entry(name, path, BUNDLED, path.stat().st_size, quantisation_of(path.name))
        for name, path in (bundled or {}).items()
    ]
    return [*own, *hub_entries(cache_folder()), *lm_studio_entries(), *ollama_entries()]


def hub_entries(cache: Path) -> list[Entry]:
    """GGUF files of the hub's cache; of several commits the one of `main`, or the newest."""
    entries = []
    for folder in repository_folders(cache):
        seen: set[str] = set()
        for _, snapshot in folder.snapshots():
            card = snapshot / "README.md"
            files = [
                (str(path.relative_to(snapshot)), path)
                for path in _models_below(snapshot)
                if str(path.relative_to(snapshot)) not in seen
            ]
            seen.update(name for name, _ in files)
            beside = card if card.is_file() else None
            entries += _named(folder.repository, [path for _, path in files], HUB, beside)
    return entries


def lm_studio_entries() -> list[Entry]:
    """GGUF files in LM Studio's folders, which are owner/repo/file."""
    entries = []
    for root in (Path("~/.lmstudio/models"), Path("~/.cache/lm-studio/models")):
        for folder in sorted(_folders(root.expanduser(), 2)):
            repository = "/".join(folder.parts[-2:])
            entries += _named(repository, list(_models_below(folder)), LM_STUDIO, None)
    return entries


def ollama_entries() -> list[Entry]:
    """Models of ollama's blob store, by the names that ollama gives them."""
    given = os.environ.get("OLLAMA_MODELS")
    # the service that ollama installs on Linux has a home of its own
    roots = (
        [Path(given)]
        if given
        else [Path("~/.ollama/models"), Path("/usr/share/ollama/.ollama/models")]
    )
    entries = []
    for root in roots:
        root = root.expanduser()
        manifests = root / "manifests"
        for path in sorted(_files_below(manifests)):
            parts = path.relative_to(manifests).parts
            blob = _ollama_blob(root, path) if len(parts) >= 3 else None
            if blob is not None:
                entries.append(_ollama_entry(parts, blob))
    return entries


def _ollama_entry(parts: tuple[str, ...], blob: Path) -> Entry:
    host, *owner, model, tag = parts
    shown = [model] if owner == [_OLLAMA_OWNER] else [*owner, model]
    name = "/".join(shown if host == _OLLAMA_HOST else [host, *shown]) + f":{tag}"
    return Entry(name, blob, OLLAMA, blob.stat().st_size, quantisation_of(f"{tag}.gguf"))


def _ollama_blob(root: Path, manifest: Path) -> Path | None:
    """The file with the weights of a manifest, None when it is not there."""
    try:
        if manifest.stat().st_size > MAX_MANIFEST:
            return None
        layers: list[dict[str, Any]] = json.loads(manifest.read_text("utf-8"))["layers"]
        digests = [layer["digest"] for layer in layers if layer["mediaType"] == _MODEL_LAYER]
    except (OSError, ValueError, KeyError, TypeError):  # no manifest, or one still being written
        return None
    if len(digests) != 1 or not re.fullmatch(r"sha256[:-][0-9a-f]{64}", str(digests[0])):
        return None
    blob = root / "blobs" / str(digests[0]).replace(":", "-")
    return blob if blob.is_file() else None


def _named(repository: str, files: list[Path], place: str, card: Path | None) -> list[Entry]:
    """Entries of one folder: named by quantisation where that is unique, else by file."""
    sets = [(path, _parts_of(path)) for path in files if _is_first(path)]
    kinds = [quantisation_of(path.name) for path, _ in sets]
    entries = []
    for (path, parts), kind in zip(sets, kinds, strict=True):
        what = kind if kind and kinds.count(kind) == 1 else path.name
        size = sum(part.stat().st_size for part in parts)
        entries.append(Entry(f"{repository}:{what}", path, place, size, kind, repository, card))
    return entries


def _is_first(path: Path) -> bool:
    part = _PART.search(path.name)
    return part is None or int(part[1]) == 1


def _parts_of(path: Path) -> list[Path]:
    """All parts on disk of the split file that begins with `path`; itself if it is whole."""
    if not (part := _PART.search(path.name)):
        return [path]
    stem = path.name[: part.start()]
    return [
        other
        for other in path.parent.iterdir()
        if other.name.startswith(stem + "-") and _PART.search(other.name) and other.is_file()
    ]


def _models_below(folder: Path) -> Iterator[Path]:
    yield from sorted(
        path for path in _files_below(folder) if path.suffix.lower() == ".gguf" and path.is_file()
    )


def _files_below(folder: Path) -> Iterator[Path]:
    """Files of a folder tree; nothing of what may not be read."""
    for root, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(root) / name for name in files)


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders `depth` levels below `root`."""
    try:
        below = [path for path in root.iterdir() if path.is_dir()]
    except OSError:
        return
    for path in below:
        if depth == 1:
            yield path
        else:
            yield from _folders(path, depth - 1)


def match(entries: list[Entry], name: str) -> list[Entry]:
    """The entries that a name means: exact, or owner/repo, owner/repo:file, model without tag.

    The same file in several places counts once, by the order of `entries`.
    """
    exact = [entry for entry in entries if entry.name.lower() == name.lower()]
    if exact:
        return exact[:1]
    repository, _, what = name.lower().partition(":")
    found: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        own, _, tag = entry.name.lower().partition(":")
        if own != repository:
            continue
        if entry.place == OLLAMA:
            wanted = what == "" and tag == "latest"
        else:
            file = entry.path.name.lower()
            wanted = what in ("", file, (entry.quantisation or "").lower())
        if wanted:
            found.setdefault((own, entry.path.name), entry)
    return list(found.values())
