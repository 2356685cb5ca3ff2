"""Prompt lookup: where the newest tokens stood before, what followed there may follow again."""

SHORTEST = 2  # tokens that must match: a single one stands before too many different ones
LONGEST = 32  # a longer match tells nothing more
CANDIDATES = 8  # latest places compared: more would cost more than they find


class Lookup:
    """An index of the pairs of tokens of one text that grows (Saxena 2023, prompt lookup)."""

    def __init__(self) -> None:
        self._followers: dict[tuple[int, int], list[int]] = {}  # positions right after each pair
        self._done = SHORTEST  # positions below this are in the index

    def propose(self, history: list[int], most: int) -> tuple[int, list[int]]:
        """The length of the longest match of the newest tokens, and what followed it.

        `history` is the text so far, and must begin as in earlier calls. Of equally long matches
        the latest counts. No match, or `most` of 0, gives (0, []). Where the match reaches into the
        newest tokens themselves, the text repeats with a period, and so do the tokens given.
        """
        for position in range(self._done, len(history)):
            pair = (history[position - 2], history[position - 1])
            self._followers.setdefault(pair, []).append(position)
        self._done = max(self._done, len(history))
        if len(history) < SHORTEST or most < 1:
            return 0, []
        length, follower = self._longest(history)
        if not length:
            return 0, []
        period = len(history) - follower
        return length, [history[follower + place % period] for place in range(most)]

    def _longest(self, history: list[int]) -> tuple[int, int]:
        end = len(history)
        best, best_follower = 0, 0
        places = self._followers.get((history[-2], history[-1]), [])
        for follower in places[: -CANDIDATES - 1 : -1]:
            length = SHORTEST
            most = min(LONGEST, follower)
            while length < most and history[follower - 1 - length] == history[end - 1 - length]:
                length += 1
            if length > best:
                best, best_follower = length, follower
        return best, best_follower
