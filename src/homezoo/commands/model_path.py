"""From what the user calls a model to the path of its file, with help where there is none."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homezoo.errors import HomezooError
from homezoo.formats.adapter_origin import Licences
from homezoo.run.bundled import STORIES, ZOOKEEPER

BUNDLED = {"zookeeper": ZOOKEEPER, "stories": STORIES}
NAMES_SHOWN = 5  # of the files offered in an error, which is one line


def find_model(name: str) -> Path:
    """The file of a model given by its path, the name of a bundled one, or a name that
    `homezoo list` shows, such as owner/repo:Q4_K_M. Nothing is fetched.

    Raises HomezooError for a path that is no file, offering .gguf files that are near.
    """
    if not name.strip():
        raise HomezooError("the model's name is empty; give a path, or a name of `homezoo list`")
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if name in BUNDLED:
        return BUNDLED[name]
    if path.is_dir():
        found = _gguf_files(path)
        offered = f"it holds {_list(found)}" if found else "there is no .gguf file in it"
        raise HomezooError(f"{name} is a folder, not a model file; {offered}")
    if path.exists():
        raise HomezooError(f"{name} is not a regular file; give the path of a .gguf file")
    return _find_on_disk(name, path)


def find_card(path: Path) -> Path:
    """Where the README.md of a model's repository is, if it came along with its file."""
    for folder in path.parents:
        if folder.parent.name == "snapshots":  # of the hub's cache, which keeps sub-folders
            return folder / "README.md"
    return path.with_name("README.md")


def licences_from(
    path: Path, metadata: Mapping[str, Any], data: str | None = None, stated: str | None = None
) -> Licences:
    """Licences of what is made from the model at `path` and a data set, of which one is `stated`.

    Read from the file's metadata, the model card beside it and the tables of well-known ones.
    """
    from homezoo.zoo.licence import made_from
    from homezoo.zoo.model_card import read_card

    return made_from(metadata, read_card(find_card(path)), path.stem, data, stated)


def _find_on_disk(name: str, path: Path) -> Path:
    """A model by its name in `homezoo list`; HomezooError with advice when there is none."""
    from homezoo.zoo.catalog import find_entries, match
    from homezoo.zoo.hub import is_repository

    entries = find_entries()
    found = match(entries, name)
    if len(found) == 1:
        return found[0].path
    if found:
        names = ", ".join(entry.name for entry in found[:NAMES_SHOWN])
        raise HomezooError(f"{name} is several models on this machine; name one of {names}")
    near = difflib.get_close_matches(name, [entry.name for entry in entries], NAMES_SHOWN)
    if is_repository(name.partition(":")[0]) and path.suffix != ".gguf":
        offered = f"did you mean {' or '.join(near)}, or will you" if near else "to fetch it,"
        raise HomezooError(f"{name} is not on this machine; {offered} run: homezoo pull {name}")
    if near:
        raise HomezooError(f"there is no file {name}; did you mean {' or '.join(near)}?")
    raise HomezooError(f"there is no file {name}; {_advice(path)}")


def _advice(path: Path) -> str:
    """What the user may have meant by a path that does not exist."""
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either"
    found = {file.name: file for file in _gguf_files(folder)}
    near = difflib.get_close_matches(path.name, [*found, *BUNDLED], NAMES_SHOWN)
    if near:
        return "did you mean " + " or ".join(str(found.get(name, name)) for name in near) + "?"
    if found:
        return f"in {folder.resolve()} there is {_list(list(found.values()))}"
    return "give the path of a .gguf file, or `zookeeper` for the model that comes with homezoo"


def _gguf_files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix.lower() == ".gguf")
    except OSError:  # a folder that may not be read offers nothing
        return []


def _list(files: list[Path]) -> str:
    shown = ", ".join(str(file) for file in files[:NAMES_SHOWN])
    more = len(files) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
