"""The tokenizer of a Hugging Face folder as GGUF metadata: vocabulary, special ids, chat template.

tokenizer.json is read where it is, else tokenizer.model. What was made is proven before it is
written: it must give the same ids as the folder's own tokenizer on texts of many kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from homezoo.errors import CheckpointError, UnsupportedError
from homezoo.text.tokenizer import Tokenizer
from homezoo.text.vocabulary import PREFIX
from homezoo.zoo.hf_pretokenizer import PROBE
from homezoo.zoo.hf_special_tokens import special_keys, template_keys
from homezoo.zoo.hf_vocabulary import Pieces, read_tokenizer_json, read_tokenizer_model
from homezoo.zoo.safetensors import read_json

if TYPE_CHECKING:
    import tokenizers

# What a converted tokenizer must agree on with the original, beside PROBE, which it may not.
_TEXTS = (
    "Hello, world!",
    "  Leading and  double   spaces, \t tabs\n\nand lines.\n",
    "def f(x):\n    return {'a': [1, 22, 333]}  # it's\n",
    "Ünïcödé, Ελληνικά, Русский, العربية, हिन्दी, 中文字符, 日本語, 한국어 😀👍🏽",
    "1234567890 3.14159 1,000,000 x1y22z333",
)
SHOWN_IDS = 12  # of the first ids that differ, in an error


@dataclass
class HFTokenizer:
    """What a folder says about its tokenizer."""

    keys: dict[str, Any] = field(default_factory=dict)  # whole GGUF keys
    notes: list[str] = field(default_factory=list)  # what the user should know


def read_tokenizer(folder: Path, config: Mapping[str, Any], rows: int) -> HFTokenizer:
    """The folder's tokenizer for a model whose embedding has `rows` rows.

    Raises CheckpointError for what is missing or contradicts itself, UnsupportedError for a kind
    of tokenizer that GGUF or homezoo has not.
    """
    settings = _optional(folder / "tokenizer_config.json")
    library = None
    if (folder / "tokenizer.json").is_file():
        library = _load(folder / "tokenizer.json")
        pieces = read_tokenizer_json(read_json(folder / "tokenizer.json"), library)
    elif (folder / "tokenizer.model").is_file():
        added = _optional(folder / "added_tokens.json")
        pieces = read_tokenizer_model((folder / "tokenizer.model").read_bytes(), added, settings)
    else:
        raise CheckpointError(
            f"{folder} has neither tokenizer.json nor tokenizer.model; download one of them"
        )
    made = HFTokenizer({PREFIX + key: value for key, value in pieces.keys.items()}, pieces.notes)
    _add_vocabulary(made, pieces, rows)
    texts = {text: id for id, text in enumerate(made.keys[PREFIX + "tokens"])}
    special_map = _optional(folder / "special_tokens_map.json")
    generation = _optional(folder / "generation_config.json")
    special, notes = special_keys(
        pieces, library, texts, special_map | settings, dict(config), generation
    )
    made.keys |= {PREFIX + key: value for key, value in special.items()}
    made.keys |= {
        "tokenizer." + key: value for key, value in template_keys(folder, settings).items()
    }
    made.notes += notes
    if library is not None:
        prove(made.keys, library)
    return made


def prove(keys: Mapping[str, Any], library: "tokenizers.Tokenizer") -> None:
    """CheckpointError when GGUF's tokenizer gives other ids than the folder's own."""
    mine = Tokenizer.from_metadata(keys)
    for text in (*_TEXTS, PROBE):
        text = normalize("NFC", text)  # GGUF has no key for it, which is told in a note
        wanted = library.encode(text, add_special_tokens=False).ids
        found = mine.encode(text)
        if found != wanted:
            same = [mine == theirs for mine, theirs in zip(found, wanted, strict=False)]
            at = same.index(False) if False in same else len(same)
            part = slice(at, at + SHOWN_IDS)
            raise CheckpointError(
                f"the tokenizer cannot be converted faithfully: {text[:40]!r} gives, from token "
                f"{at} on, {found[part]} instead of {wanted[part]}"
            )


def _add_vocabulary(made: HFTokenizer, pieces: Pieces, rows: int) -> None:
    """Tokens, types and scores, filled up with unused tokens to the rows of the embedding."""
    count = len(pieces.texts)
    if count > rows:
        raise CheckpointError(
            f"the tokenizer has {count} tokens ({pieces.texts[-1]!r} last) and the model's "
            f"embedding {rows} rows; these files do not belong together"
        )
    pieces.fill(rows)
    if rows > count:
        made.notes.append(f"{rows - count} rows of the embedding have no token: filled as unused")
    made.keys[PREFIX + "tokens"] = pieces.texts
    made.keys[PREFIX + "token_type"] = [int(type) for type in pieces.types]
    if pieces.scores is not None:
        made.keys[PREFIX + "scores"] = [float(score) for score in pieces.scores]


def _optional(path: Path) -> dict[str, Any]:
    """The object of a JSON file that may be missing; CheckpointError for another value."""
    if not path.is_file():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object; download it again")
    return value


def _load(path: Path) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer as LibraryTokenizer

    try:
        library = LibraryTokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise UnsupportedError(
            f"{path} cannot be read by the tokenizers library: {error}"
        ) from None
    library.no_truncation()
    library.no_padding()
    return library
