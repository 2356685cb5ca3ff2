"""Finds the tokens that are matched as whole texts, before anything else, and cuts text at them."""

from collections.abc import Iterable

from homezoo.text.marked import MarkedText
from homezoo.text.vocabulary import TokenType, Vocabulary

_KEY_LENGTH = 3  # characters; enough to tell "<un" of <unused7> from "<un>"-less HTML at a glance
_WHITE = " \t\n\v\f\r"


class ControlText:
    """Cuts text at user-defined tokens and, where asked, at control tokens.

    Longer tokens go first, wherever they stand, as llama.cpp does it.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        control = vocabulary.of_type(TokenType.CONTROL, TokenType.UNKNOWN)
        defined = vocabulary.of_type(TokenType.USER_DEFINED)
        self._strips_after = vocabulary.strips_after
        self._defined_ids = frozenset(defined)
        self._defined = _Finder((vocabulary.tokens[id], id) for id in defined)
        self._all = _Finder((vocabulary.tokens[id], id) for id in control + defined)

    def split(self, text: str, special: bool) -> list[str | int]:
        """The text in order: pieces of plain text, none of them empty, and ids of tokens.

        Of marked text, only what is the template's own is searched for control tokens.
        """
        finder = self._all if special else self._defined
        pieces: list[str | int] = [text] if text else []
        for token, id in finder.candidates(text):
            defined = id in self._defined_ids
            pieces = [part for piece in pieces for part in _cut(piece, token, id, defined)]
        return self._stripped(pieces) if self._strips_after else pieces

    def _stripped(self, pieces: list[str | int]) -> list[str | int]:
        """Without the white space behind tokens that take it away."""
        kept: list[str | int] = []
        for piece in pieces:
            if isinstance(piece, str) and kept and kept[-1] in self._strips_after:
                piece = piece.lstrip(_WHITE)
            if piece != "":
                kept.append(piece)
        return kept


class _Finder:
    """Tokens by their first characters, so that a text is searched only for what it may hold."""

    def __init__(self, tokens: Iterable[tuple[str, int]]) -> None:
        self._by_key: dict[str, list[tuple[str, int]]] = {}
        for token, id in tokens:
            self._by_key.setdefault(token[:_KEY_LENGTH], []).append((token, id))

    def candidates(self, text: str) -> list[tuple[str, int]]:
        """Tokens that occur in the text, the longest in UTF-8 first."""
        found = [
            (token, id)
            for key, tokens in self._by_key.items()
            if key in text
            for token, id in tokens
            if token in text
        ]
        return sorted(found, key=lambda entry: (-len(entry[0].encode()), entry[1]))


def _cut(piece: str | int, token: str, id: int, defined: bool) -> list[str | int]:
    """A piece divided by a token; `defined`: a user-defined one, which anybody may write."""
    if isinstance(piece, int) or token not in piece:
        return [piece]
    if not isinstance(piece, MarkedText) or defined:
        parts: list[str | int] = []
        for part in piece.split(token):
            parts.extend((part, id) if part else (id,))
        return parts[:-1]
    parts = []
    done = start = 0
    while (start := piece.find(token, start)) >= 0:
        end = start + len(token)
        if any(piece.marks[start:end]):  # at least a part of it was written by somebody else
            start += 1
            continue
        parts.extend((piece[done:start], id) if start > done else (id,))
        done = start = end
    return [*parts, piece[done:]] if done < len(piece) else parts
