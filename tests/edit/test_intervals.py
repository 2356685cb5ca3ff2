"""Figures of the report against values computed by hand and by simulation."""

import math

import numpy as np
import pytest

from homezoo.edit.intervals import (
    Rate,
    consistency,
    divergence,
    fluency,
    harmonic_mean,
    ngram_entropy,
    rate,
)


def test_wilson_intervals() -> None:
    low, high = Rate(9, 10).interval
    assert (round(low, 4), round(high, 4)) == (0.5958, 0.9821)  # Newcombe 1998's formula by hand
    assert Rate(0, 10).interval[0] == 0.0
    assert Rate(10, 10).interval[1] == pytest.approx(1.0)
    assert Rate(0, 0).interval == (0.0, 1.0)
    assert math.isnan(Rate(0, 0).value)
    assert str(Rate(9, 10)) == "90.0% (9 of 10; 59.6% to 98.2%)"
    assert rate([True, False, True]) + Rate(1, 1) == Rate(3, 4)


def test_wilson_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    hits = random.binomial(50, 0.85, 4000)
    inside = [Rate(int(n), 50).interval[0] <= 0.85 <= Rate(int(n), 50).interval[1] for n in hits]
    assert 0.93 < np.mean(inside) < 0.97


def test_harmonic_mean() -> None:
    assert harmonic_mean([1.0, 0.5]) == pytest.approx(2 / 3)
    assert harmonic_mean([1.0, 0.0]) == 0.0


def test_entropy_of_ngrams() -> None:
    assert ngram_entropy([1, 2, 1, 2, 1], 2) == pytest.approx(1.0)  # 12 and 21, twice each
    assert ngram_entropy([1] * 9, 2) == 0.0
    assert ngram_entropy([1], 2) == 0.0
    assert fluency([1, 2, 3, 4, 5]) == pytest.approx(100 * (2 / 3 + math.log2(3) * 2 / 3))
    assert fluency([7] * 100) == 0.0


def test_consistency_is_one_hundred_for_the_same_words() -> None:
    words = ["the", "lion", "lives", "in", "the", "savannah"]
    assert consistency(words, [words]) == pytest.approx(100)
    assert consistency(words, [["penguins", "swim"]]) == 0
    assert 0 < consistency(words, [["the", "lion", "sleeps"], ["a", "bear"]]) < 100
    assert consistency([], [words]) == 0


def test_divergence() -> None:
    base = np.log(np.array([[0.5, 0.25, 0.25]]))
    other = np.log(np.array([[0.25, 0.5, 0.25]])) + 3.0
    assert divergence(base, other) == pytest.approx([0.5 * math.log(2) - 0.25 * math.log(2)])
    assert divergence(base, base) == pytest.approx([0.0])
