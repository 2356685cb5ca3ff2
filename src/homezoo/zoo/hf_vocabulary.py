"""The pieces of a Hugging Face vocabulary as GGUF spells them: BPE, SentencePiece, WordPiece."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from homezoo.errors import CheckpointError, UnsupportedError
from homezoo.text.vocabulary import TokenType
from homezoo.zoo.hf_pretokenizer import recognise
from homezoo.zoo.sentencepiece_model import parse

if TYPE_CHECKING:
    import tokenizers

_SPACE = "▁"
_INSIDE = "##"  # how WordPiece marks a piece inside a word
_WORST_SCORE = -1e6  # of pieces that no merge makes: characters and bytes


@dataclass
class Pieces:
    """V pieces in order of their ids, and GGUF keys (without `tokenizer.ggml.`) beside them."""

    texts: list[str]  # [V]
    types: list[TokenType]  # [V]
    keys: dict[str, Any]
    scores: list[float] | None = None  # [V]
    ids: dict[str, int | None] = field(default_factory=dict)  # special ids, by role
    notes: list[str] = field(default_factory=list)

    def fill(self, count: int) -> None:
        """Adds unused pieces until there are `count`."""
        for id in range(len(self.texts), count):
            self.texts.append(f"[PAD{id}]")
            self.types.append(TokenType.UNUSED)
            if self.scores is not None:
                self.scores.append(_WORST_SCORE)

    def put(self, id: int, text: str, type: TokenType) -> None:
        """A piece at an id, within the vocabulary or behind its end."""
        self.fill(id + 1)
        self.texts[id], self.types[id] = text, type


def read_tokenizer_json(described: Any, library: "tokenizers.Tokenizer") -> Pieces:
    """From a tokenizer.json and the library's tokenizer made of it."""
    model = described.get("model") if isinstance(described, dict) else None
    model = model if isinstance(model, dict) else {}
    kind = model.get("type", "BPE")
    if kind == "BPE":
        spelled = bool(model.get("byte_fallback"))
        pieces = _spm(model, library) if spelled else _byte_level(described, library)
    elif kind == "WordPiece":
        pieces = _word_pieces(described, model)
    else:
        raise UnsupportedError(
            f"tokenizer.json is of kind {kind!r}; BPE and WordPiece can be converted"
        )
    for token in described.get("added_tokens") or []:
        _put_added(pieces, token)
    return pieces


def read_tokenizer_model(
    data: bytes, added: Mapping[str, Any], settings: Mapping[str, Any]
) -> Pieces:
    """From a SentencePiece tokenizer.model, with added_tokens.json and tokenizer_config.json."""
    model = parse(data)
    types = [TokenType(type) if 1 <= type <= 6 else TokenType.NORMAL for type in model.types]
    keys = {"model": "llama", "pre": "default", "add_space_prefix": model.adds_prefix}
    pieces = Pieces(list(model.texts), types, keys, list(model.scores))
    pieces.ids = {"bos": model.bos_id, "eos": model.eos_id, "unknown": model.unk_id}
    for text, id in sorted(added.items(), key=lambda item: str(item[1])):
        _put_added(pieces, {"id": id, "content": text, "special": True})
    decoder = settings.get("added_tokens_decoder")
    for id, token in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(token, dict) and id.isdecimal():
            _put_added(pieces, token | {"id": int(id)})
    return pieces


def _put_added(pieces: Pieces, token: Any) -> None:
    """An added token: control if special, else text that is taken whole."""
    token = token if isinstance(token, dict) else {}
    id, text = token.get("id"), token.get("content")
    if type(id) is not int or not 0 <= id < 1 << 22 or not isinstance(text, str):
        raise CheckpointError(f"the added token {token!r:.80} has no id or no text")
    if id < len(pieces.types) and pieces.types[id] in (TokenType.UNKNOWN, TokenType.BYTE):
        return
    kind = TokenType.CONTROL if token.get("special") else TokenType.USER_DEFINED
    pieces.put(id, text, kind)


def _listed(model: Mapping[str, Any]) -> list[str]:
    """The texts of a model's `vocab` in order of their ids; holes are empty."""
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not vocab:
        raise CheckpointError("tokenizer.json has no vocabulary; download it again")
    if any(type(id) is not int or not 0 <= id < 1 << 22 for id in vocab.values()):
        raise CheckpointError("tokenizer.json has an id that is no number below 4 million")
    texts = [""] * (max(vocab.values()) + 1)
    for text, id in vocab.items():
        texts[id] = text
    return texts


def _pieces(texts: list[str], keys: dict[str, Any]) -> Pieces:
    """Normal pieces; holes become unused ones."""
    pieces = Pieces([], [], keys)
    for id, text in enumerate(texts):
        if text:
            pieces.put(id, text, TokenType.NORMAL)
    pieces.fill(len(texts))
    return pieces


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise CheckpointError("tokenizer.json has no merges; download it again")
    pairs = [tuple(m.split(" ", 1)) if isinstance(m, str) else tuple(m) for m in merges]
    wrong = next((pair for pair in pairs if len(pair) != 2), None)
    if wrong is not None:
        raise CheckpointError(f"tokenizer.json has the merge {wrong!r}; expected a pair")
    return [(str(left), str(right)) for left, right in pairs]


def _byte_level(described: Mapping[str, Any], library: "tokenizers.Tokenizer") -> Pieces:
    """GPT-2's kind: bytes in an alphabet of their own, merged by rank."""
    model = described["model"]
    cutter = described.get("pre_tokenizer")
    if library.pre_tokenizer is None:
        raise UnsupportedError("tokenizer.json is byte-level BPE without a pre-tokeniser")
    name = recognise(library.pre_tokenizer, cutter, bool(model.get("ignore_merges")))
    pieces = _pieces(_listed(model), {"model": "gpt2", "pre": name})
    pieces.keys["merges"] = [f"{left} {right}" for left, right in _merges(model)]
    normalizer = described.get("normalizer")
    if normalizer is not None:
        kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
        if kind != "NFC":
            raise UnsupportedError(f"tokenizer.json normalises text by {kind!r}; GGUF cannot")
        pieces.notes.append(
            "the model's own tokenizer composes letters and accents first (NFC); GGUF has no key "
            "for that, so text with accents of their own gets other tokens"
        )
    return pieces


def _spm(model: Mapping[str, Any], library: "tokenizers.Tokenizer") -> Pieces:
    """SentencePiece's kind: its merges become scores, first the most urgent."""
    pieces = _pieces(_listed(model), {"model": "llama", "pre": "default"})
    ids = {text: id for id, text in enumerate(pieces.texts)}
    pieces.scores = [_WORST_SCORE] * len(pieces.texts)
    rank = 0
    for left, right in _merges(model):
        id = ids.get(left + right)
        if id is not None and pieces.scores[id] == _WORST_SCORE:
            pieces.scores[id] = float(-rank)
            rank += 1
    for id, text in enumerate(pieces.texts):
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            pieces.types[id] = TokenType.BYTE
    unknown = model.get("unk_token")
    if isinstance(unknown, str) and unknown in ids:
        pieces.types[ids[unknown]] = TokenType.UNKNOWN
        pieces.ids["unknown"] = ids[unknown]
    first = library.encode("a", add_special_tokens=False).tokens[:1]
    pieces.keys["add_space_prefix"] = bool(first and first[0].startswith(_SPACE))
    return pieces


def _word_pieces(described: Mapping[str, Any], model: Mapping[str, Any]) -> Pieces:
    """BERT's kind. GGUF marks the pieces that begin a word, BERT those that do not."""
    if model.get("continuing_subword_prefix", _INSIDE) != _INSIDE:
        raise UnsupportedError("tokenizer.json is WordPiece without ## inside words")
    normalizer = described.get("normalizer") or {}
    if normalizer.get("type") != "BertNormalizer":
        raise UnsupportedError(
            f"tokenizer.json is WordPiece with the normaliser {normalizer!r:.60}"
        )
    lowercase = bool(normalizer.get("lowercase"))
    accents = normalizer.get("strip_accents")
    keys: dict[str, Any] = {
        "model": "bert",
        "pre": "default",
        "token_type_count": 2,
        "normalizer.lowercase": lowercase,
        "normalizer.strip_accents": lowercase if accents is None else bool(accents),
    }
    pieces = _pieces([_bert_text(text) for text in _listed(model)], keys)
    unknown = str(model.get("unk_token"))
    if unknown in pieces.texts:
        pieces.ids["unknown"] = pieces.texts.index(unknown)
    return pieces


def _bert_text(text: str) -> str:
    if text.startswith(_INSIDE):
        return text.removeprefix(_INSIDE)
    bracketed = text.startswith("[") and text.endswith("]") and len(text) > 2
    return text if bracketed or not text else _SPACE + text
