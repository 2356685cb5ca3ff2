"""Finds the tokens that are matched as whole texts, before anything else, and cuts text at them."""

from collections.abc import Iterable

from homezoo.text.vocabulary import TokenType, Vocabulary

_KEY_LENGTH = 3  # characters; enough to tell "<un" of <unused7> from "<un>"-less HTML at a glance


class ControlText:
    """Cuts text at user-defined tokens and, where asked, at control tokens.

    Longer tokens go first, wherever they stand, as llama.cpp does it.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        control = vocabulary.of_type(TokenType.CONTROL, TokenType.UNKNOWN)
        defined = vocabulary.of_type(TokenType.USER_DEFINED)
        self._defined = _Finder((vocabulary.tokens[id], id) for id in defined)
        self._all = _Finder((vocabulary.tokens[id], id) for id in control + defined)

    def split(self, text: str, special: bool) -> list[str | int]:
        """The text in order: pieces of plain text, none of them empty, and ids of tokens."""
        finder = self._all if special else self._defined
        pieces: list[str | int] = [text] if text else []
        for token, id in finder.candidates(text):
            if any(type(piece) is str and token in piece for piece in pieces):
                pieces = [part for piece in pieces for part in _cut(piece, token, id)]
        return pieces


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


def _cut(piece: str | int, token: str, id: int) -> list[str | int]:
    if type(piece) is not str or token not in piece:
        return [piece]
    parts: list[str | int] = []
    for part in piece.split(token):
        parts.extend((part, id) if part else (id,))
    parts.pop()
    return parts
