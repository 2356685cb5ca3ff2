"""What one rendering of a template may cost: time, text, and the size of any one value.

A template comes with the model's file, from anybody. Every loop, call, filter and operation reports
here before and after it works, so that none of them starts on more than it may, and all of them
together end in time. No single operation is then long enough to be worth interrupting, which
Python could not do in any thread and on any system.
"""

import re
from time import monotonic, thread_time
from typing import Any

from homezoo.errors import TemplateError
from homezoo.text.marked import CONTAINERS, contents

# Reading a template and rendering a long conversation take some milliseconds; each has this limit.
_SECONDS = 0.3  # of this thread's processor time, so that a busy machine cuts nobody off
_SECONDS_PER_CHARACTER = 2e-6  # of the conversation
_TEXT = 16_000_000  # characters made in all; bounds the memory to 64 MB
_TEXT_PER_CHARACTER = 64  # of the conversation: templates copy it, some of them often
_VALUE = 2_000_000  # characters or items of one value, with all that is in it
_VALUE_PER_CHARACTER = 16
_SEARCH = 20_000_000  # character comparisons of one search from the right, which is not linear
_WIDTH = 1_000  # characters of padding or indentation
INTEGER_BITS = 1_024


class Budget:
    """Counts what one rendering costs; TemplateError when it is too much."""

    def __init__(self, size: int) -> None:
        """`size`: characters and items of what the caller gives, which is not hostile."""
        seconds = _SECONDS + size * _SECONDS_PER_CHARACTER
        self._end = thread_time() + seconds
        self._next_look = monotonic() + seconds
        self._text_left = _TEXT + size * _TEXT_PER_CHARACTER
        self._largest = _VALUE + size * _VALUE_PER_CHARACTER

    def step(self) -> None:
        """Something is about to be done."""
        if monotonic() < self._next_look:  # cheaper to ask for, and never behind the other clock
            return
        left = self._end - thread_time()
        if left <= 0:
            raise TemplateError("the chat template takes too long; it may be hostile")
        self._next_look = monotonic() + left

    def text(self, characters: int) -> None:
        """Text of this length is about to be made."""
        self.step()
        self._text_left -= characters
        if characters > self._largest or self._text_left < 0:
            raise TemplateError("the chat template makes too much text; it may be hostile")

    def integer(self, bits: int) -> None:
        """A whole number of this size is about to be made."""
        if bits > INTEGER_BITS:
            raise TemplateError(
                f"the chat template makes a number of {bits} bits; it may be hostile"
            )

    def width(self, *values: Any) -> None:
        """Numbers that say how much to pad, indent or repeat."""
        for value in values:
            if isinstance(value, int) and abs(value) > _WIDTH:
                raise TemplateError(
                    f"the chat template pads or cuts by {value}, more than {_WIDTH}; "
                    "it may be hostile"
                )

    def search(self, text: str, sought: str) -> None:
        """A search from the right, whose worst case is the product of the lengths."""
        if len(text) * len(sought) > _SEARCH:
            raise TemplateError("the chat template searches too much text; it may be hostile")

    def pattern(self, pattern: str) -> None:
        """A pattern for `%`, format or dates: widths in it are amounts of padding."""
        self.text(len(pattern))
        self.width(*map(int, re.findall(r"\d{1,9}", pattern)))
        if re.search(r"%[^a-zA-Z%]*\*|\{[^{}]*\{", pattern):
            raise TemplateError(
                f"the chat template formats by {pattern[:40]!r}, which is not allowed"
            )

    def made(self, value: Any) -> Any:
        """A value that an operation gave; TemplateError if it is too large, written out in full."""
        if isinstance(value, str):
            self.text(len(value))
        elif isinstance(value, CONTAINERS):
            self.text(self.size(value))
        elif isinstance(value, int):
            self.integer(value.bit_length())
        return value

    def size(self, value: Any) -> int:
        """Characters and items of a value written out in full, however often it holds the same."""
        total = 0
        pending = [value]
        while pending:
            item = pending.pop()
            total += 1
            if isinstance(item, str):
                total += len(item)
            elif isinstance(item, CONTAINERS):
                self.step()
                total += len(item)
                if total <= self._largest:
                    pending.extend(contents(item))
            if total > self._largest:
                raise TemplateError("the chat template makes too large a value; it may be hostile")
        return total
