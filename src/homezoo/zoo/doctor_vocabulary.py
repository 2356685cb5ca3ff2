"""Checks of a file's vocabulary: ids, types of special tokens, round trips."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from homezoo.errors import HomezooError
from homezoo.text.tokenizer import Tokenizer
from homezoo.text.vocabulary import PREFIX, TokenType
from homezoo.zoo.finding import Finding

# Texts that must come back from their tokens: words, marks, numbers, lines, other scripts.
ROUND_TRIPS = (
    "Hello, world! It's 3.14 o'clock.",
    "two  spaces and a\ttab",
    "line one\nline two\n\n    indented",
    "naïve café, Straße, ½ €",
    "日本語とEnglishと한국어",
    "emoji 🦁🐼",
    "x=[1,2];y={'a':0x1F}",
)
# Tokens that chat templates put at the end of a turn, by family.
TURN_ENDS = (
    "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|return|>", "<|endoftext|>", "</s>",
)  # fmt: skip
# Names that belong to control tokens only; as plain text a user could write them.
_CONTROL_LIKE = frozenset((
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
    "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>",
    "<|endoftext|>", "<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>",
))  # fmt: skip
_TYPES = PREFIX + "token_type"


def check_vocabulary(metadata: Mapping[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    """Findings about a tokenizer that could be made."""
    yield from _missing_rule(metadata)
    yield from check_special(metadata, tokenizer)
    yield from _round_trips(tokenizer)


def unreadable(error: HomezooError) -> Finding:
    """Of a vocabulary that no tokenizer can be made of."""
    return Finding(
        "tokenizer",
        str(error),
        "the file's text cannot be turned into tokens, and nothing runs",
        "convert the model again from its original files, or fetch another file",
    )


def check_special(metadata: Mapping[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    """Findings about the tokens that begin and end things."""
    yield from _ids(tokenizer)
    yield from _types(metadata, tokenizer)


def _missing_rule(metadata: Mapping[str, Any]) -> Iterator[Finding]:
    if metadata[PREFIX + "model"] != "gpt2":
        return
    rule = metadata.get(PREFIX + "pre")
    if rule is None or rule == "default":
        yield Finding(
            "tokenizer",
            f"{PREFIX}pre, the rule that cuts text into words, is {rule or 'missing'}",
            "numbers, spaces and marks become other tokens than in training, and answers get worse",
            "convert the model again with a current converter",
        )


def _ids(tokenizer: Tokenizer) -> Iterator[Finding]:
    if tokenizer.eos_id is None:
        found = [n for n, text in enumerate(tokenizer.tokens) if text in TURN_ENDS]
        fix = {PREFIX + "eos_token_id": found[0]} if len(found) == 1 else {}
        named = f", such as {found[0]} {tokenizer.tokens[found[0]]!r}" if found else ""
        yield Finding(
            "tokenizer",
            f"no token ends a text ({PREFIX}eos_token_id is missing)",
            "answers go on until the context is full",
            f"set {PREFIX}eos_token_id to the id of the token that ends an answer{named}",
            fix,
        )


def _types(metadata: Mapping[str, Any], tokenizer: Tokenizer) -> Iterator[Finding]:
    """Special tokens that are marked as ordinary text."""
    if _TYPES not in metadata:
        return
    types = np.asarray(metadata[_TYPES])
    named = ((tokenizer.bos_id, "begins a text"), (tokenizer.eos_id, "ends a text"))
    special = {id: why for id, why in named if id is not None}
    marks = [id for id, text in enumerate(tokenizer.tokens) if text in _CONTROL_LIKE]
    special |= dict.fromkeys(marks, "is a mark of chat templates")
    plain = {id: why for id, why in special.items() if types[id] == TokenType.NORMAL}
    if not plain:
        return
    fixed = types.copy()
    fixed[list(plain)] = TokenType.CONTROL
    id, why = next(iter(plain.items()))
    more = f", and {len(plain) - 1} more" if len(plain) > 1 else ""
    yield Finding(
        "special tokens",
        f"token {id} {tokenizer.tokens[id]!r}, which {why}, is marked as ordinary text{more}",
        "templates are torn into pieces the model never saw, or a user's text passes for marks",
        f"set the type of these tokens in {_TYPES} to control",
        {_TYPES: fixed},
    )


def _round_trips(tokenizer: Tokenizer) -> Iterator[Finding]:
    for text in ROUND_TRIPS:
        try:
            ids = tokenizer.encode(text)
        except HomezooError:
            continue  # a vocabulary without bytes cannot spell everything, and says so when asked
        unknown = [id for id in ids if _is_unknown(tokenizer, id)]
        back = tokenizer.decode(ids)
        if not unknown and back.strip() != text.strip() and _folded(back) != _folded(text):
            yield Finding(
                "tokenizer",
                f"{text!r} becomes {len(ids)} tokens that read {back!r}",
                "prompts are read as other text, and answers come back garbled",
                "convert the model again with a current converter",
            )
            return


def _is_unknown(tokenizer: Tokenizer, id: int) -> bool:
    return tokenizer.tokens[id] in ("<unk>", "[UNK]")


def _folded(text: str) -> str:
    """As an uncased vocabulary has it: BERT's lower-cases and drops accents and spaces."""
    import unicodedata

    plain = unicodedata.normalize("NFD", text.lower())
    return "".join(c for c in plain if not unicodedata.combining(c) and not c.isspace())
