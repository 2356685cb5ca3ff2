"""Profiles: where facts are, covariances that resume, what is kept on disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from homezoo.edit.build import Capacity, capacity, deltas_of, explain, solve_units
from homezoo.edit.fact_record import Unit, fact_id, unit_id
from homezoo.edit.facts import Fact
from homezoo.edit.grade import Grades
from homezoo.edit.intervals import Rate
from homezoo.edit.localise import choose
from homezoo.edit.profile import Measured, Profile, Protected, load_profile, save_profile
from homezoo.edit.reader import Reader
from homezoo.edit.sweep import Trial, choose_gain, choose_protection, overall
from homezoo.errors import EditError, OptionError
from homezoo.formats.gguf_read import GGUFFile

WIDTH, OUT = 24, 8


def measured(**changes: object) -> Measured:
    random = np.random.default_rng(0)
    profile = Profile("ab" * 32, "llama", WIDTH, "prompt_last", (1,), 5.0)
    text = random.standard_normal((100, WIDTH)).astype(np.float32)
    known = tuple(Fact(f"a:k{n}", "a:p", f"k{n}", ("x",), targets=("a:x",)) for n in range(3))
    keys = random.standard_normal((4, WIDTH)).astype(np.float32)
    return Measured(
        replace(profile, **changes),  # type: ignore[arg-type]
        dict.fromkeys((1, 2), text.T @ text / 100),
        {1: Protected(keys, np.array([0, 0, 1, 2]))},
        known,
        np.arange(5, dtype=np.int32),
    )


def unit(number: int, layer: int = 1) -> Unit:
    random = np.random.default_rng(number)
    fact = fact_id(Fact(f"a:{number}", "a:p", str(number), ("x",)))
    arrays = [random.standard_normal(size).astype(np.float32) for size in (WIDTH, OUT)]
    return Unit(unit_id(fact, 0, "p"), fact, 0, layer, f"p{number}", {1: 1.0}, *arrays, 5, 0.1, 1)


def test_a_profile_comes_back_as_it_was(tmp_path: Path) -> None:
    whole = measured(contexts=("One day.",), measured={"known": 3})
    save_profile(tmp_path, whole)
    found = load_profile(tmp_path)
    assert found.profile == whole.profile
    assert found.known == whole.known
    assert np.array_equal(found.covariances[1], whole.covariances[1])
    assert np.array_equal(found.protected[1].keys, whole.protected[1].keys)
    assert np.array_equal(found.text, whole.text)
    with pytest.raises(EditError, match="there is no editing profile"):
        load_profile(tmp_path / "none")
    (tmp_path / "profile.json").write_text('{"version": 1}')
    with pytest.raises(EditError, match="measure the profile again"):
        load_profile(tmp_path)


def test_units_are_computed_anew_for_what_changes_them_only() -> None:
    profile = measured().profile
    assert profile.units_id == replace(profile, strength=9.0, protected=1.0, gain=2.0).units_id
    assert profile.units_id != replace(profile, contexts=("x",)).units_id
    assert profile.units_id != replace(profile, layers=(2,)).units_id


def test_order_of_units_leaves_no_trace() -> None:
    units = [unit(n) for n in range(6)]
    one, other = (solve_units(part, measured())[1] for part in (units, units[::-1]))
    assert one.a.tobytes() == other.a.tobytes() and one.b.tobytes() == other.b.tobytes()


def test_a_gain_writes_longer_residuals_and_nothing_else() -> None:
    units = [unit(n) for n in range(6)]
    plain, twice = (solve_units(units, measured(gain=gain))[1] for gain in (1.0, 2.0))
    np.testing.assert_allclose(twice.b @ twice.a, 2 * (plain.b @ plain.a), rtol=1e-9, atol=1e-12)


def test_to_retract_is_to_have_never_written() -> None:
    whole = [unit(n) for n in range(6)]
    kept = solve_units(whole[:4], measured())[1]
    assert np.abs(kept.dense() - solve_units(list(whole[3::-1]), measured())[1].dense()).max() == 0
    assert deltas_of(solve_units([], measured())) == {}


def test_known_facts_are_protected_unless_they_are_edited() -> None:
    plain, guarded = measured(), measured(protected=100.0)
    keys = plain.protected[1].keys.astype(np.float64)
    pushed = [
        np.abs(solve_units([unit(1)], m, edited)[1].dense() @ keys.T).max(axis=0)
        for m, edited in ((plain, []), (guarded, []), (guarded, [("a:k0", "a:p")]))
    ]
    assert (pushed[1] < 0.1 * pushed[0]).all()
    assert (pushed[2][:2] > 3 * pushed[1][:2]).all()  # of fact k0, which is edited itself
    assert (pushed[2][2:] < 0.2 * pushed[0][2:]).all()


def test_capacity_is_that_of_the_fullest_layer() -> None:
    found = capacity([unit(1), unit(2), unit(3, 2)], measured(layers=(1, 2)).profile)
    assert found.rho == 2 / WIDTH
    assert "2 units in layer 1, 1 units in layer 2" in str(found)
    Capacity({1: 12}, WIDTH).check(force=False)
    with pytest.raises(EditError, match="use --force"):
        Capacity({1: 13}, WIDTH).check(force=False)
    Capacity({1: 13}, WIDTH).check(force=True)


def test_layers_of_one_adapter_have_one_rank() -> None:
    units = [unit(1), unit(2), unit(3, 2)]
    updates = solve_units(units, measured(layers=(1, 2)))
    deltas = deltas_of(updates)
    assert {a.shape[0] for a, _ in deltas.values()} == {2}
    a, b = deltas["blk.2.ffn_down"]
    assert np.allclose(b @ a, updates[2].dense(), atol=1e-5)


def test_facts_are_spread_over_layers_by_themselves_alone() -> None:
    profile = measured(layers=(1, 2)).profile
    ids = [fact_id(Fact(f"a:{n}", "a:p", str(n), ("x",))) for n in range(200)]
    layers = [profile.layer_of(id) for id in ids]
    assert 70 < layers.count(1) < 130


def test_the_fact_whose_key_it_is_explains_it() -> None:
    units = [unit(n) for n in range(5)]
    updates = solve_units(units, measured())
    shares = explain(updates, units, {1: units[3].key})
    assert shares[0].fact == units[3].fact and shares[0].weight > 2 * shares[1].weight


def test_where_to_write() -> None:
    held = [0.0, 0.95, 1.0, 1.0, 1.0]
    assert choose({"subject_last": [0.95, 0.92, 0.5, 0.0, 0.0], "prompt_last": held}) == (
        "subject_last", 1,
    )  # fmt: skip
    assert choose({"subject_last": [0.1] * 5, "prompt_last": held}) == ("prompt_last", 1)
    named = [0.95, 0.3, 0.0, 0.0, 0.0]  # after layer 0 it is the name that was swapped, no fact
    assert choose({"subject_last": named, "prompt_last": held}) == ("prompt_last", 1)
    late = [0.0, 0.1, 0.6, 0.9, 1.0]
    assert choose({"subject_last": named, "prompt_last": late}) == ("prompt_last", 3)
    with pytest.raises(OptionError, match="give --position and --layer"):
        choose({"subject_last": [0.1] * 5, "prompt_last": [0.1] * 5})


def test_settings_of_a_profile_are_checked() -> None:
    for change, message in (({"position": "middle"}, "position is 'middle'"),
                            ({"strength": 0.0}, "strength is 0"), ({"layers": ()}, "layers are"),
                            ({"gain": 0.0}, "gain is 0"),
                            ({"method": "magic"}, "method is 'magic'")):  # fmt: skip
        with pytest.raises(OptionError, match=message):
            replace(measured().profile, **change)


def test_a_covariance_resumes_where_it_stopped(tmp_path: Path, stories_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
    from homezoo.edit import covariance

    reader = Reader(GGUFFile.open(stories_path), threads=1)
    text = "Once upon a time, there was a little girl named Lily. She loved to play. " * 50
    texts = covariance.windows(reader, text)
    read = [[tokens[at : at + 20]] for tokens in texts for at in range(0, len(tokens), 20)]
    assert len(read) > covariance.SAVE_EVERY + 2
    whole = covariance.key_covariance(reader, read, 1)
    partial = tmp_path / "partial.npz"

    def stop(done: int, total: int) -> None:
        if done == covariance.SAVE_EVERY + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        covariance.key_covariance(reader, read, 1, partial, stop)
    seen: list[int] = []
    again = covariance.key_covariance(reader, read, 1, partial, lambda done, _: seen.append(done))
    assert seen[0] == covariance.SAVE_EVERY + 1
    assert np.array_equal(again, whole)
    assert not partial.exists()
    with pytest.raises(OptionError, match="give more text"):
        covariance.windows(reader, "Once upon a time.")


def test_the_covariance_is_the_mean_of_key_products(stories_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
    from homezoo.edit.covariance import key_covariance
    from homezoo.edit.passes import first_pass

    reader = Reader(GGUFFile.open(stories_path), threads=1)
    tokens = reader.prompt("Once upon a time, there was a little girl.")
    weight = reader.weight(2)
    keys = first_pass(reader.model, [tokens], reader.products, watched=[weight]).inputs[weight]
    expected = (keys.double().T @ keys.double() / len(tokens)).numpy()
    assert isinstance(keys, torch.Tensor)
    assert np.abs(key_covariance(reader, [[tokens]], 2) - expected).max() < 1e-6


def test_what_was_to_be_written_counts_twice_as_much_as_what_must_stay() -> None:
    def mean(efficacy: int, retention: int) -> float:
        return overall(Grades({"efficacy": Rate(efficacy, 100), "retention": Rate(retention, 100)}))

    assert mean(90, 80) > mean(80, 90)
    assert mean(100, 100) == pytest.approx(1.0)
    assert mean(0, 100) == 0


def test_of_what_grades_alike_the_strongest_protection_is_taken() -> None:
    def trial(score: float, **settings: float) -> Trial:
        return Trial(score, measured(**settings).profile, {}, {})

    graded = [trial(0.9999, strength=1.0), trial(1.0, strength=9.0, protected=0.1),
              trial(1.0, strength=2.0, protected=0.2), trial(0.9, protected=0.9)]  # fmt: skip
    assert choose_protection(graded).profile.protected == 0.2


def test_of_the_gains_that_grade_best_the_middle_is_taken() -> None:
    def trial(gain: float, score: float) -> Trial:
        return Trial(score, measured(gain=gain).profile, {}, {})

    graded = [trial(1.5, 1.0), trial(1.0, 0.9), trial(2.0, 0.9995), trial(2.5, 0.9999)]
    assert choose_gain(graded).profile.gain == 2.0
    assert choose_gain(graded[:2]).profile.gain == 1.5
