"""What passes of so many tokens cost here, measured while they run; what speculation gained."""

from bisect import bisect_left
from collections import deque
from statistics import median

KEPT = 5  # times kept of each size: their median forgets a pass that something disturbed
# After so many passes a time counts no longer: the context has grown, a neighbour may have left.
# So what did not pay is tried again; one pass in 512 costs nothing that one could notice.
STALE = 512
GUESSED_SLOPE = 0.1  # of a pass, per token, beyond the largest size measured
# Speculation may lose this share of the time spent decoding, and no more; then it has to wait.
LOSS_SHARE = 0.02


class PassCosts:
    """Seconds by the number of tokens in a pass; and the account of speculation."""

    def __init__(self) -> None:
        self._times: dict[int, deque[float]] = {}
        self._noted: dict[int, int] = {}  # size to the number of the pass that was last of it
        self._sizes: list[int] = []  # ascending
        self._passes = 0
        self._decoding = 0.0  # seconds
        self._balance = 0.0  # seconds gained by speculation, less those lost

    def note(self, tokens: int, seconds: float) -> None:
        """A pass of so many tokens took so long."""
        self._passes += 1
        if tokens not in self._times or self._is_stale(tokens):
            self._times[tokens] = deque(maxlen=KEPT)
            self._noted[tokens] = self._passes
            self._sizes = sorted(size for size in self._times if not self._is_stale(size))
        self._times[tokens].append(seconds)
        self._noted[tokens] = self._passes

    def is_known(self, tokens: int) -> bool:
        """Whether a pass of this size was measured, not too long ago."""
        return tokens in self._times and not self._is_stale(tokens)

    def seconds(self, tokens: int) -> float:
        """What a pass of this size is expected to take: measured, or between its neighbours.

        Never negative; 0 when nothing was measured.
        """
        if self.is_known(tokens):
            return median(self._times[tokens])
        place = bisect_left(self._sizes, tokens)
        below, above = self._sizes[:place], self._sizes[place:]
        if not below:
            return median(self._times[above[0]]) if above else 0.0
        low = median(self._times[below[-1]])
        if not above:
            return low * (1 + GUESSED_SLOPE * (tokens - below[-1]))
        high = median(self._times[above[0]])
        return low + (high - low) * (tokens - below[-1]) / (above[0] - below[-1])

    def note_decoding(self, seconds: float, gained: float) -> None:
        """A pass of answers took so long, and speculation gained (below 0: lost) so much of it."""
        self._decoding += seconds
        # what was gained may be lost again by a few passes that fail, but not by hundreds
        self._balance = min(self._balance + gained, seconds)

    @property
    def may_risk(self) -> bool:
        """Whether speculation has not lost more than its share."""
        return self._balance >= -LOSS_SHARE * self._decoding

    def _is_stale(self, tokens: int) -> bool:
        return self._passes - self._noted[tokens] > STALE
