"""Tokens with a meaning, and chat templates, of a Hugging Face folder as GGUF keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homezoo.errors import CheckpointError
from homezoo.zoo.hf_vocabulary import Pieces

if TYPE_CHECKING:
    import tokenizers

# GGUF's name of each role, and the names that Hugging Face has for it, first the one to prefer.
_ROLES: dict[str, tuple[str, ...]] = {
    "bos": ("bos_token", "cls_token"),
    "eos": ("eos_token", "sep_token"),
    "unknown": ("unk_token",),
    "padding": ("pad_token",),
    "mask": ("mask_token",),
}
_MORE_ENDS = ("eot", "eom")  # GGUF's keys for further tokens that end an answer
_TEMPLATE_FILE = "chat_template.jinja"
MAX_TEMPLATE_BYTES = 1 << 20  # 20 times the longest template in use


def special_keys(
    pieces: Pieces,
    library: "tokenizers.Tokenizer | None",
    ids: Mapping[str, int],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    generation: Mapping[str, Any],
) -> tuple[dict[str, Any], list[str]]:
    """Keys without `tokenizer.ggml.`, and notes. `ids` are those of all tokens by their text."""
    keys: dict[str, Any] = {}
    for role, names in _ROLES.items():
        id = _named(settings, names, ids)
        if id is None:
            id = pieces.ids.get(role)
        if id is None:
            id = _first(config.get(f"{names[0]}_id"))
        if id is not None:
            keys[f"{role}_token_id"] = _checked(role, id, len(ids))
    if pieces.keys["model"] == "bert" and "eos_token_id" in keys:
        keys["seperator_token_id"] = keys["eos_token_id"]  # spelt as in GGUF
    notes = _add_ends(keys, generation, config, len(ids))
    for role, place in (("bos", 0), ("eos", -1)):
        adds = settings.get(f"add_{role}_token")
        if not isinstance(adds, bool):
            adds = _adds(library, keys.get(f"{role}_token_id"), place)
        if adds is not None:
            keys[f"add_{role}_token"] = adds
    return keys, notes


def _named(
    settings: Mapping[str, Any], names: tuple[str, ...], ids: Mapping[str, int]
) -> int | None:
    """The id of the token whose text the settings give for one of the names."""
    for name in names:
        token = settings.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            if text not in ids:
                raise CheckpointError(
                    f"tokenizer_config.json: {name} {text!r} is not in the vocabulary"
                )
            return ids[text]
    return None


def _first(value: Any) -> int | None:
    value = value[0] if isinstance(value, list) and value else value
    return value if type(value) is int and value >= 0 else None


def _checked(role: str, id: int, count: int) -> int:
    if id >= count:
        raise CheckpointError(
            f"the {role} token has the id {id}; the vocabulary ends at {count - 1}"
        )
    return id


def _add_ends(
    keys: dict[str, Any], generation: Mapping[str, Any], config: Mapping[str, Any], count: int
) -> list[str]:
    """All tokens that end an answer: GGUF has room for EOS, end of turn and end of message."""
    given = generation.get("eos_token_id", config.get("eos_token_id"))
    ends = [id for id in (given if isinstance(given, list) else [given]) if type(id) is int]
    others = [_checked("eos", id, count) for id in ends if id != keys.get("eos_token_id")]
    if others and "eos_token_id" not in keys:
        keys["eos_token_id"] = others.pop(0)
    for name, id in zip(_MORE_ENDS, others, strict=False):
        keys[f"{name}_token_id"] = id
    lost = others[len(_MORE_ENDS) :]
    return [f"GGUF has no key for the further end tokens {lost}"] if lost else []


def _adds(library: "tokenizers.Tokenizer | None", id: int | None, place: int) -> bool | None:
    """Whether the tokenizer itself puts the token at a text's start or end; None: not known."""
    if library is None:
        return None
    found = library.encode("a").ids
    return bool(found) and len(found) > 1 and found[place] == id


def template_keys(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keys without `tokenizer.`: the chat template, and others by their names."""
    named = _named_templates(settings.get("chat_template"))
    if (folder / _TEMPLATE_FILE).is_file():
        named["default"] = _read_template(folder / _TEMPLATE_FILE)
    more = folder / "additional_chat_templates"
    for path in sorted(more.glob("*.jinja")) if more.is_dir() else ():
        named[path.stem] = _read_template(path)
    keys: dict[str, Any] = {
        f"chat_template.{name}": text for name, text in named.items() if name != "default"
    }
    if keys:
        keys["chat_templates"] = [name for name in named if name != "default"]
    return ({"chat_template": named["default"]} if "default" in named else {}) | keys


def _named_templates(given: Any) -> dict[str, str]:
    """Templates by name from tokenizer_config.json, which has one text or a list of them."""
    if given is None:
        return {}
    listed = [{"name": "default", "template": given}] if isinstance(given, str) else given
    try:
        named = {entry["name"]: entry["template"] for entry in listed}
    except (TypeError, KeyError):
        raise CheckpointError(f"tokenizer_config.json: chat_template is {given!r:.60}") from None
    if not all(isinstance(part, str) for pair in named.items() for part in pair):
        raise CheckpointError("tokenizer_config.json: chat_template holds something but text")
    return named


def _read_template(path: Path) -> str:
    data = path.read_bytes()
    if len(data) > MAX_TEMPLATE_BYTES:
        raise CheckpointError(f"{path} has {len(data):,} bytes; that is no chat template")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None
