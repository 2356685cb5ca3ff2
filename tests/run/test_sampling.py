"""Choosing tokens: greedy, penalties, the shape of the distribution, and what draws depend on."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.errors import HomezooError, OptionError
from homezoo.run.answer import token_logprob
from homezoo.run.options import GenerationOptions
from homezoo.run.sampling import Sampler, uniform

OFF = GenerationOptions(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=7)
GREEDY = GenerationOptions(temperature=0.0)


def logits_of(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, size).astype(np.float32)


def choose(options: GenerationOptions, logits: np.ndarray, history: list[int] | None = None) -> int:
    return Sampler(options, len(logits)).choose(logits, history or [])


def test_greedy_takes_the_likeliest_and_the_lowest_id_of_equals() -> None:
    assert choose(GREEDY, np.array([1, 5, 3, 5], np.float32)) == 1


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**31))
def test_a_draw_depends_on_seed_and_position_alone(seed: int, position: int) -> None:
    first = uniform(seed, position)
    np.random.default_rng(0).random(3)  # other generators do not matter
    uniform(seed + 1, position)
    assert 0.0 <= first < 1.0 and uniform(seed, position) == first


def philox4x64(counter: int, key: int) -> int:
    """First word of Philox4x64-10 of Salmon et al. 2011, section 3.3, in plain integers."""
    mask = (1 << 64) - 1
    words = [counter >> 64 * i & mask for i in range(4)]
    keys = [key & mask, key >> 64]
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * words[0], 0xCA5A826395121157 * words[2]
        words = [
            second >> 64 ^ words[1] ^ keys[0],
            second & mask,
            first >> 64 ^ words[3] ^ keys[1],
            first & mask,
        ]
        keys = [keys[0] + 0x9E3779B97F4A7C15 & mask, keys[1] + 0xBB67AE8584CAA73B & mask]
    return words[0]


def test_draws_are_the_published_philox_numbers() -> None:
    for seed, position in ((0, 0), (1, 0), (0, 1), (12345, 678), (2**64 - 1, 2**31)):
        # NumPy counts up before it draws
        assert uniform(seed, position) == (philox4x64(position + 1, seed) >> 11) / 2**53


def test_draws_are_uniform_over_positions_and_over_seeds() -> None:
    for numbers in (
        [uniform(1, position) for position in range(20_000)],
        [uniform(seed, 100) for seed in range(20_000)],
    ):
        counts, _ = np.histogram(numbers, bins=50, range=(0, 1))
        # chi-square, 49 degrees of freedom: beyond 110 once in a million
        assert np.sum((counts - 400.0) ** 2 / 400.0) < 110


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_tempered_distribution(temperature: float) -> None:
    logits = logits_of(12)
    sampler = Sampler(OFF.change(temperature=temperature), 12)
    draws = [sampler.choose(logits, [0] * position) for position in range(2000)]
    more = Sampler(OFF.change(temperature=temperature, seed=8), 12)
    draws += [more.choose(logits, [0] * position) for position in range(2000)]
    powers = np.exp(logits.astype(np.float64) / temperature)
    expected = powers / powers.sum() * len(draws)
    common = expected > 5  # what the chi-square test needs; the others are taken together
    counts = np.bincount(draws, minlength=12)
    chi = np.sum((counts - expected)[common] ** 2 / expected[common])
    if not common.all():
        chi += (counts[~common].sum() - expected[~common].sum()) ** 2 / expected[~common].sum()
    assert chi < 45  # 11 degrees of freedom at most: beyond 45 once in 200 000


def test_filters_act_in_their_documented_order() -> None:
    # Mass of the three left by top_k: 0.5, 0.3, 0.2 of it. top_p 0.6 takes two of them; of the
    # whole it would need all three. Temperature comes last: it moves no token in or out.
    probabilities = np.array([0.25, 0.15, 0.10, 0.09, 0.09, 0.08, 0.08, 0.08, 0.08], np.float64)
    logits = np.log(probabilities).astype(np.float32)
    options = OFF.change(top_k=3, top_p=0.6, temperature=50.0)
    sampler = Sampler(options, len(logits))
    assert {sampler.choose(logits, [0] * n) for n in range(200)} == {0, 1}


def test_a_tiny_temperature_is_greedy() -> None:
    logits = logits_of(100)
    assert choose(OFF.change(temperature=1e-30), logits) == int(logits.argmax())


def test_bias_forbids_and_forces() -> None:
    logits = logits_of(50)
    best = int(logits.argmax())
    assert choose(GREEDY.change(logit_bias={best: -np.inf}), logits) != best
    assert choose(GREEDY.change(logit_bias={17: 100.0}), logits) == 17
    assert logits[17] < 50  # the model's logits themselves are left alone


def test_bias_outside_the_vocabulary_is_an_error() -> None:
    with pytest.raises(OptionError, match="token 50; the vocabulary has 0 to 49"):
        Sampler(GREEDY.change(logit_bias={50: 1.0}), 50)


def test_penalties_against_the_formula_one_token_at_a_time() -> None:
    logits = logits_of(30)
    history = [3, 3, 3, 9, 9, 4, 5, 5]
    options = GREEDY.change(
        repetition_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.25, penalty_window=6
    )
    expected = logits.astype(np.float64)
    for token in set(history[-6:]):
        value = expected[token]
        value = value / 1.3 if value > 0 else value * 1.3
        expected[token] = value - 0.5 - 0.25 * history[-6:].count(token)
    got = Sampler(options, 30)._penalties.apply(logits, history)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_window_of_zero_reaches_back_to_the_start() -> None:
    logits = np.zeros(5, np.float32)
    options = GREEDY.change(presence_penalty=1.0, penalty_window=0)
    assert choose(options, logits, [0] + [1] * 100 + [2, 4]) == 3


def test_only_allowed_tokens_are_chosen() -> None:
    logits = logits_of(40)
    allowed = np.zeros(40, np.bool_)
    allowed[[3, 8, 21]] = True
    assert Sampler(GREEDY, 40).choose(logits, [], allowed) == max(
        (3, 8, 21), key=lambda i: logits[i]
    )
    sampler = Sampler(OFF.change(temperature=5.0), 40)
    assert {sampler.choose(logits, [0] * n, allowed) for n in range(200)} == {3, 8, 21}


def test_padding_beyond_the_vocabulary_is_never_chosen() -> None:
    logits = np.array([0, 1, 2, 99], np.float32)
    assert Sampler(GREEDY, 3).choose(logits, []) == 2


def test_no_token_left_is_an_error() -> None:
    logits = logits_of(4)
    with pytest.raises(OptionError, match="no token is left"):
        Sampler(GREEDY, 4).choose(logits, [], np.zeros(4, np.bool_))
    with pytest.raises(OptionError, match="no token is left"):
        choose(OFF.change(logit_bias=dict.fromkeys(range(4), -np.inf)), logits)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(wrong: float) -> None:
    logits = logits_of(8)
    logits[5] = wrong
    with pytest.raises(HomezooError, match="weights are damaged"):
        choose(GREEDY, logits)


def test_without_a_seed_each_sampler_draws_its_own_and_says_which() -> None:
    seeds = {Sampler(OFF.change(seed=None), 5).seed for _ in range(8)}
    assert len(seeds) == 8


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30), st.integers(0, 5))
def test_logprobs_are_those_of_the_softmax(values: list[float], top: int) -> None:
    logits = np.array(values, np.float32)
    wide = logits.astype(np.float64)
    expected = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
    got = token_logprob(logits, len(values) - 1, top)
    assert got.logprob == pytest.approx(expected[-1], abs=1e-4)
    order = np.argsort(-logits, kind="stable")[:top]
    assert [token for token, _ in got.top] == order.tolist()
    np.testing.assert_allclose([p for _, p in got.top], expected[order], atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        GREEDY,
        GenerationOptions(seed=1),
        GenerationOptions(seed=1, repetition_penalty=1.1, logit_bias={5: 1.0}),
        GenerationOptions(seed=1, top_k=0),
        GenerationOptions(seed=1, top_k=0, typical_p=0.9),
        OFF,
    ],
    ids=["greedy", "default", "penalties", "top_p", "typical", "plain"],
)
def test_sampling_a_large_vocabulary_is_quick(options: GenerationOptions) -> None:
    logits = np.random.default_rng(0).normal(0, 3, 128_256).astype(np.float32)
    logits[:40] += 10  # a model's few good tokens
    sampler = Sampler(options, len(logits))
    history = list(range(4096))
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        sampler.choose(logits, history)
        seconds.append(time.perf_counter() - start)
    # Measured 0.02 to 2 ms; the bound leaves room for a busy or slow machine and still catches a
    # sort of everything (10 ms and more).
    assert min(seconds) < 0.008
    print(f"{min(seconds) * 1e6:.0f} us")
