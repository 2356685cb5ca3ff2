"""Byte-level BPE vocabularies, as GPT-2 began them, and BPE on text with SentencePiece's spaces."""

from typing import TYPE_CHECKING, Any

from homezoo.errors import TokenizerError
from homezoo.text.pretokenizers import PreTokenizer
from homezoo.text.vocabulary import PREFIX, TokenType, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_merges(vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """Pairs of tokens, first the most urgent. Raises TokenizerError with the merge at fault."""
    merges = vocabulary.merges()
    flat = " ".join(merges).split(" ")
    if len(flat) == 2 * len(merges):
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
    else:  # some token has a space in it: the first space behind the first character divides
        cuts = [merge.find(" ", 1) for merge in merges]
        pairs = [(merge[:cut], merge[cut + 1 :]) for merge, cut in zip(merges, cuts, strict=True)]
    ids = vocabulary.ids
    for index, (left, right) in enumerate(pairs):
        if left not in ids or right not in ids or left + right not in ids:
            absent = next(part for part in (left, right, left + right) if part not in ids)
            raise TokenizerError(
                f"merge {index} of {PREFIX}merges, {merges[index]!r}, needs token {absent!r}, "
                "which the vocabulary has not"
            )
    return pairs


def build_bpe(vocabulary: Vocabulary, rule: PreTokenizer) -> "Tokenizer":
    """The library's tokenizer; with `byte_level` off, for text in which spaces are ▁ already."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    ids = vocabulary.ids
    if rule.ignore_merges:  # else plain text that spells a control token would be one
        control = {vocabulary.tokens[id] for id in vocabulary.of_type(TokenType.CONTROL)}
        ids = {token: id for token, id in ids.items() if token not in control}
    try:
        model = BPE(
            ids,
            read_merges(vocabulary),
            ignore_merges=rule.ignore_merges,
            byte_fallback=not rule.byte_level,
        )
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"the vocabulary cannot be built: {error}") from None
    tokenizer = Tokenizer(model)
    steps: list[Any] = [Split(Regex(pattern), "isolated") for pattern in rule.patterns]
    if rule.byte_level:
        steps.append(ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.pre_tokenizer = Sequence(steps)
    return tokenizer
