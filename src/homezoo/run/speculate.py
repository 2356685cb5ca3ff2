"""Speculation: guesses of the next tokens, checked together in the pass of the newest one.

A guess is right when the ordinary sampler, given the logits of its place, chooses that very token.
Logits do not depend on the batch and draws belong to their position, so every token is the one of
plain decoding, greedy or drawn (Leviathan et al. 2023 keep only the distribution).
"""

from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul

from homezoo.run.draft import Draft, DraftText
from homezoo.run.job import Job
from homezoo.run.lookup import Lookup
from homezoo.run.pass_costs import PassCosts

# How many tokens to guess. Few sizes, so that each is measured soon; 15 and the newest fill a tile
# of 16 tokens.
LENGTHS = (1, 2, 3, 5, 7, 11, 15)
MARGIN = 1.05  # tokens per second must be expected to grow by this, as times are uncertain
# A source's chance before anything was seen, and how many seen tokens that counts for.
PRIOR, PRIOR_WEIGHT = 0.5, 2.0
FORGET = 0.95  # of the weight of what was seen, for each new token: some twenty tokens count
FORGET_UNUSED = 0.99  # of a draft's record, for each pass without it: after hundreds, a new try
FORCED = 0  # the only text that a constraint allows; its tokens may still be cut otherwise
DRAFTED = 1
MATCHED = 2  # and the numbers after it: matches of 2 to 3 tokens, of 4 to 7, 8 to 15, 16 and more
SOURCES = MATCHED + 4


@dataclass
class Guess:
    """Tokens that may come next. Those of a draft model are made when their number is known."""

    source: int
    matched: int = 0  # tokens of the match, for a lookup
    tokens: list[int] = field(default_factory=list)
    most: int = 0  # how many it can be
    expected: list[float] = field(default_factory=list)  # right tokens if 0, 1, 2 … are guessed
    seconds: float = 0.0  # to make one token

    def source_at(self, place: int) -> int:
        """Which record the token at a place counts for: a match has grown by the tokens before."""
        if self.source < MATCHED:
            return self.source
        return MATCHED + min((self.matched + place).bit_length() - 2, 3)


class Speculator:
    """Guesses for one answer, and the record of how often each source was right."""

    def __init__(self, job: Job, draft: Draft | None) -> None:
        mode = job.options.speculate
        self._job = job
        self._lookup = Lookup()
        self._forces = mode == "auto"
        self._draft = draft if mode == "auto" else None
        self._drafted = (
            None if self._draft is None else DraftText(self._draft.engine, job.positions)
        )
        self._right = [0.0] * SOURCES
        self._seen = [0.0] * SOURCES
        self._watched: tuple[int, int] | None = None  # source and first token of a guess not used

    def guess(self) -> Guess | None:
        """What may come next; None when there is nothing to go by, or no room to compute it."""
        job = self._job
        assert job.sequence is not None
        room = min(LENGTHS[-1], job.positions - len(job.sequence) - 1)
        if room < 1:
            return None
        found = self._found(room)
        if self._draft is not None and self._drafted is not None:
            chance = self._chance(DRAFTED)
            if found is None or self._chance(found.source_at(0)) < chance:
                seconds = self._draft.engine.costs.seconds(1)
                found = Guess(DRAFTED, most=room, seconds=seconds)
        if found is not None:
            chances = [self._chance(found.source_at(place)) for place in range(found.most)]
            found.expected = [0.0, *accumulate(accumulate(chances, mul))]
        return found

    def _found(self, room: int) -> Guess | None:
        """A guess that costs nothing."""
        forced = self._job.forced_tokens()[:room] if self._forces else []
        if forced:
            return Guess(FORCED, tokens=forced, most=len(forced))
        matched, tokens = self._lookup.propose(self._job.history, room)
        tokens = self._job.allowed_prefix(tokens)
        return Guess(MATCHED, matched, tokens, len(tokens)) if tokens else None

    def make(self, guess: Guess, length: int) -> list[int]:
        """The first `length` tokens of a guess; a draft computes them now."""
        if guess.source == DRAFTED and self._drafted is not None and length:
            made = self._drafted.propose(self._job.history, length, self._job.choose)
            guess.tokens = self._job.allowed_prefix(made)
        if not length:
            self._watch(guess)
        return guess.tokens[:length]

    def _watch(self, guess: Guess) -> None:
        """A guess that is not used: whether it would have been right is seen for nothing."""
        if guess.tokens:
            self._watched = (guess.source_at(0), guess.tokens[0])
        if self._draft is not None:
            self._right[DRAFTED] *= FORGET_UNUSED
            self._seen[DRAFTED] *= FORGET_UNUSED

    def see(self, token: int) -> None:
        """The token that came after a guess that was not used."""
        if self._watched is not None:
            source, guessed = self._watched
            self._note(source, guessed == token)
            self._watched = None

    def settle(self, guess: Guess, checked: int, right: int) -> None:
        """Of `checked` tokens guessed the first `right` were right; what follows is unknown."""
        for place in range(min(right + 1, checked)):
            self._note(guess.source_at(place), place < right)
        self._job.count_guesses(checked, right)

    def close(self) -> None:
        """Gives back what the draft holds."""
        if self._drafted is not None:
            self._drafted.close()

    def _note(self, source: int, right: bool) -> None:
        self._right[source] = FORGET * self._right[source] + right
        self._seen[source] = FORGET * self._seen[source] + 1

    def _chance(self, source: int) -> float:
        weight = PRIOR_WEIGHT
        return (self._right[source] + PRIOR * weight) / (self._seen[source] + weight)


def best_length(costs: PassCosts, guesses: Items[Guess | None]) -> int:
    """How many tokens to guess in a pass over these answers, one newest token each.

    0 unless more tokens per second are to be expected than without, by measured times and chances.
    """
    answers = len(guesses)
    known = [guess for guess in guesses if guess is not None]
    if not known or not costs.is_known(answers) or not costs.may_risk:
        return 0
    best, best_rate = 0, MARGIN * answers / max(costs.seconds(answers), 1e-9)
    for length in LENGTHS:
        tokens = [min(length, guess.most) for guess in known]
        if length > max(tokens) and length != LENGTHS[0]:
            break
        right = sum(guess.expected[n] for guess, n in zip(known, tokens, strict=True))
        making = sum(guess.seconds * n for guess, n in zip(known, tokens, strict=True))
        rate = (answers + right) / max(costs.seconds(answers + sum(tokens)) + making, 1e-9)
        if rate > best_rate:
            best, best_rate = length, rate
    return best


class Speculation:
    """The guesses of one pass over several answers, from making them to what came of them."""

    def __init__(self, costs: PassCosts, speculators: Items[Speculator | None]) -> None:
        """One speculator for each part of the pass, None where nothing is to be guessed."""
        self._costs = costs
        self._speculators = speculators
        self._guesses = [None if one is None else one.guess() for one in speculators]
        length = best_length(costs, self._guesses)
        self.tokens: list[list[int]] = [
            [] if one is None or guess is None else one.make(guess, length)
            for one, guess in zip(speculators, self._guesses, strict=True)
        ]

    def settle(self, part: int, first: int, right: int) -> None:
        """In a part, `first` was the token chosen, and so many guessed ones were right."""
        speculator, guess = self._speculators[part], self._guesses[part]
        if speculator is None:
            return
        if guess is not None and self.tokens[part]:
            speculator.settle(guess, len(self.tokens[part]), right)
        else:
            speculator.see(first)

    def finish(self, chosen: int, seconds: float) -> None:
        """The pass took so long and gave so many tokens to all its answers.

        What a draft takes to read the prompt is not counted against it: whoever gave the draft
        wanted that.
        """
        answers = len(self.tokens)
        for guess, tokens in zip(self._guesses, self.tokens, strict=True):
            seconds += 0.0 if guess is None else guess.seconds * len(tokens)
        gained = 0.0
        if any(self.tokens):
            gained = chosen / answers * self._costs.seconds(answers) - seconds
        self._costs.note_decoding(seconds, gained)
