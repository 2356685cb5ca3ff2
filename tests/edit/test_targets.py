"""Keys, residuals and their gradients on small random models of several architectures."""

from dataclasses import replace

import numpy as np
import pytest
from random_models import RandomModel, random_model
from zoo_models import zoo_model

from homezoo.edit.facts import Fact
from homezoo.edit.reader import Reader
from homezoo.edit.shared import merge_shared
from homezoo.edit.sites import Path, Plan, Site, plan
from homezoo.errors import FactError, OptionError, UnsupportedError
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile

torch = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
from homezoo.edit.passes import TailOps, first_pass  # noqa: E402
from homezoo.edit.problem import Problem  # noqa: E402
from homezoo.edit.targets import SearchSettings, find_units, search  # noqa: E402

SEQUENCES = [(1, 5, 9, 7, 3), (1, 8, 2), (4, 4, 6, 6, 2, 9, 11)]
MODELS = {
    "llama": lambda type: random_model(layers=3, type=type, feed_forward=64),
    "gpt2": lambda type: zoo_model("gpt2", 3, type=type),
    "bloom": lambda type: zoo_model("bloom", 3, type=type),
    "gemma2": lambda type: zoo_model("gemma2", 3, {"attention.sliding_window": 3}, type=type),
}


def reader(name: str, type: BlockType = BlockType.F32, forward: str = "float") -> Reader:
    return Reader(MODELS[name](type), threads=1, forward=forward)


STEP = 0.02  # of finite differences: smaller, and float32's rounding shows


def made_plan(name: str = "leo") -> Plan:
    """One fact with an object of two tokens, bare and after another text."""
    fact = Fact("a:" + name, "a:p", name, ("x",))
    sites = (Site(0, "p", {9: 1.0}), Site(1, "p x", {7: 1.0}))
    paths = (
        Path((1, 5, 3, 9), ((2, 0), (3, 1)), ((2, 0, {9: 1.0}), (3, 1, {7: 1.0})), 0),
        Path((1, 8, 8, 5, 3, 9), ((4, 0), (5, 1)), ((4, 0, {9: 1.0}), (5, 1, {7: 1.0})), 1),
    )
    return Plan(fact, sites, paths)


@pytest.mark.parametrize("name", MODELS)
def test_a_tail_is_the_end_of_the_whole(name: str) -> None:
    source = reader(name)
    first = first_pass(source.model, SEQUENCES, source.products, states=[1, 3], keeps=True)
    ops = TailOps(first, [3, 0, 5], source.model.config.head_width, source.products)
    with torch.no_grad():
        tails = source.model.through(ops, first.states[1][torch.from_numpy(ops.rows)], 1)
    assert torch.allclose(tails, first.states[3][torch.from_numpy(ops.rows)], atol=1e-5)
    assert len(ops.rows) == 2 + 3 + 2


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("type", [BlockType.F32, BlockType.Q4_0])
def test_gradients_are_finite_differences(name: str, type: BlockType) -> None:
    """Through the quantised weights themselves; the float forward, as rounding has no slope."""
    problem = Problem(reader(name, type), [made_plan(), made_plan("mia")], 1)
    random = np.random.default_rng(0)
    width = problem.model.config.width
    values = torch.from_numpy(random.standard_normal((4, width)).astype(np.float32))
    values.requires_grad_()
    (slope,) = torch.autograd.grad(problem.losses(values).sum(), values)
    for _ in range(3):
        way = torch.from_numpy(random.standard_normal((4, width)).astype(np.float32))
        way = (way + slope) / 2  # a slope near zero could not be told from rounding
        with torch.no_grad():
            ends = [problem.losses(values + at * STEP * way).sum().item() for at in (-2, -1, 1, 2)]
        # Five points: what is left out is of the fourth power of the step.
        found = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * STEP)
        assert found == pytest.approx((slope * way).sum().item(), rel=1e-3)


def slope_of(model: RandomModel, forward: str) -> np.ndarray:
    """Of the losses of one fact, at residuals of 0.1."""
    problem = Problem(Reader(model, threads=1, forward=forward), [made_plan()], 1)
    values = torch.full((2, 64), 0.1, requires_grad=True)
    (slope,) = torch.autograd.grad(problem.losses(values).sum(), values)
    return np.array(slope)


def dequantised(packed: RandomModel) -> RandomModel:
    """The same model with the values of its blocks as F32."""
    plain = RandomModel(packed.metadata)
    for name, tensor in packed.tensors.items():
        values = dequantize(tensor.type, tensor.data).reshape(tensor.shape)
        data = values.reshape(-1, values.shape[-1]).view(np.uint8)
        plain.tensors[name] = replace(tensor, type=BlockType.F32, data=data)
    return plain


@pytest.mark.parametrize("type", [BlockType.Q4_0, BlockType.Q8_0])
def test_gradients_through_blocks_are_those_of_the_dequantised_model(type: BlockType) -> None:
    packed = random_model(layers=3, type=type, feed_forward=64)
    slopes = [slope_of(model, "float") for model in (packed, dequantised(packed))]
    assert np.abs(slopes[0] - slopes[1]).max() < 1e-3 * np.abs(slopes[1]).max()


def test_the_gradients_that_a_search_follows_are_rounded_and_no_more() -> None:
    """`homezoo edit` rounds activations and gradients to int8, as the engine does."""
    packed = random_model(layers=3, type=BlockType.Q4_0, feed_forward=64)
    exact, used = slope_of(dequantised(packed), "float"), slope_of(packed, "int8")
    assert not np.array_equal(exact, used)
    assert np.linalg.norm(used - exact) < 0.03 * np.linalg.norm(exact)


@pytest.mark.parametrize("kind", ["full", "draft"])
def test_a_search_never_ends_above_its_start_and_keeps_its_clamp(kind: str) -> None:
    problem = Problem(reader("llama"), [made_plan(), made_plan("mia")], 1)
    settings = SearchSettings(kind, steps=15, clamp=0.5)  # type: ignore[arg-type]
    found = search(problem, settings)
    assert (found.after < found.before).all()
    limit = 0.5 if kind == "full" else 4.0
    assert (found.lengths <= limit * (1 + 1e-5)).all()
    with torch.no_grad():
        losses = problem.losses(torch.from_numpy(found.residuals)).reshape(2, 2).mean(1)
    assert np.allclose(losses, found.after, rtol=1e-5)


def test_a_finished_fact_stands_still() -> None:
    problem = Problem(reader("llama"), [made_plan()], 1)
    easy = SearchSettings(stop=1e6)
    assert not search(problem, easy).residuals.any()


def test_what_is_added_is_what_an_edit_of_the_weight_adds() -> None:
    """W + r kᵀ / kᵀk adds r at key k: the residual's loss is that of the changed model."""
    model = random_model(layers=3, feed_forward=64)
    made = replace(made_plan(), paths=made_plan().paths[:1])
    single = replace(
        made,
        sites=made.sites[:1],
        paths=(Path((1, 5, 3), ((2, 0),), ((2, 0, {9: 1.0}),), 0),),
    )
    problem = Problem(Reader(model, threads=1, forward="float"), [single], 1)
    found = search(problem, SearchSettings(steps=10))
    key, residual = found.keys[0].astype(np.float64), found.residuals[0]
    weight = model.arrays["blk.1.ffn_down.weight"] + np.outer(residual, key / (key @ key))
    tensor = model.tensors["blk.1.ffn_down.weight"]
    data = weight.astype(np.float32).view(np.uint8)
    model.tensors["blk.1.ffn_down.weight"] = replace(tensor, data=data)
    # Only the last token's key is k; the others are nearly orthogonal or not, so leave them out.
    changed = Problem(Reader(model, threads=1, forward="float"), [single], 1)
    with torch.no_grad():
        loss = changed.losses(torch.zeros(1, 64))
    assert loss.item() == pytest.approx(found.after[0], abs=0.5)
    assert loss.item() < found.before[0]


def test_units_carry_what_the_ledger_needs() -> None:
    (units,) = find_units(reader("llama"), [made_plan(), made_plan("mia")], 1,
                          SearchSettings(steps=3), "profile")  # fmt: skip
    assert len(units) == 4
    assert len({unit.id for unit in units}) == 4
    assert units[0].key.shape == (64,) and units[0].residual.shape == (64,)
    assert np.allclose(units[0].key, units[2].key)  # the same prompt has the same key
    assert units[1].target == {7: 1.0}


def test_settings_are_checked() -> None:
    with pytest.raises(OptionError, match="steps is 0"):
        SearchSettings(steps=0)
    with pytest.raises(OptionError, match="full or draft"):
        SearchSettings("fast")  # type: ignore[arg-type]


def test_models_that_cannot_be_edited() -> None:
    with pytest.raises(UnsupportedError, match="a mixture of experts"):
        Reader(zoo_model("llama"))
    with pytest.raises(UnsupportedError, match="an encoder"):
        Reader(zoo_model("bert"))


@pytest.fixture(scope="module")
def stories(stories_path: str) -> Reader:
    return Reader(GGUFFile.open(stories_path), threads=1)


def test_sites_of_an_object(stories: Reader) -> None:
    fact = Fact("a:lily", "a:p", "Lily", ("the park",))
    template = "{s} likes to play in"
    made = plan(stories, fact, [template], "prompt_last", ["One day,"])
    ids = stories.answer("Lily likes to play in", "the park")
    assert stories.text(ids).strip() == "the park"
    assert [set(site.target) for site in made.sites] == [{id} for id in ids]
    bare, after = made.paths
    head = stories.prompt("Lily likes to play in")
    assert bare.tokens == (*head, *ids[:-1])
    assert [p for p, _ in bare.written] == [len(head) - 1 + n for n in range(len(ids))]
    assert len(after.tokens) > len(bare.tokens) and after.context == 1
    subject = plan(stories, fact, [template], "subject_last")
    ((position, unit),) = subject.paths[0].written
    assert unit == 0 and stories.text(head[: position + 1]).endswith("Lily")


def test_objects_that_begin_alike_share_units(stories: Reader) -> None:
    fact = Fact("a:lily", "a:p", "Lily", ("the park", "the house"))
    made = plan(stories, fact, ["{s} likes"], "prompt_last")
    first = made.sites[0]
    assert len(first.target) == 1  # both begin with the same token
    split = [site for site in made.sites if len(site.target) == 2]
    assert [sorted(site.target.values()) for site in split] == [[0.5, 0.5]]
    assert len(made.paths) == 2


def test_facts_of_one_subject_share_a_residual_where_their_keys_are_the_same(
    stories: Reader,
) -> None:
    facts = [Fact("a:lily", f"a:{name}", "Lily", (target,))
             for name, target in (("p", "boat"), ("q", "fish"), ("r", "tree"))]  # fmt: skip
    templates = ("{s} lived in a", "{s} loved to eat", "One day, {s} saw a")
    plans = [plan(stories, fact, [template], "subject_last", ["One day."])
             for fact, template in zip(facts, templates, strict=True)]  # fmt: skip
    merged = merge_shared(plans)
    assert merged[1] is plans[2]  # its subject stands after other words
    (both,) = merge_shared(plans[1::-1])
    assert (both.facts, both.sites, both.paths) == (
        merged[0].facts, merged[0].sites, merged[0].paths,
    )  # fmt: skip
    assert {fact.predicate for fact in both.facts} == {"a:p", "a:q"}
    assert len(both.sites) == 1 and len(both.paths) == 4
    assert both.id not in (plans[0].id, plans[1].id)
    (units,) = find_units(stories, [both], 2, SearchSettings(steps=20), "p")
    assert [unit.fact for unit in units] == [both.id]
    residual = torch.from_numpy(units[0].residual)[None]
    for made in plans[:2]:  # one residual lowers the loss of each fact
        problem = Problem(stories, [made], 2)
        with torch.no_grad():
            bare, found = (problem.losses(r).sum().item() for r in (0 * residual, residual))
        assert found < bare


def test_two_wordings_with_one_key_share_a_unit(stories: Reader) -> None:
    fact = Fact("a:lily", "a:p", "Lily", ("boat",))
    made = plan(stories, fact, ["{s} lived in a", "{s} had a"], "subject_last")
    assert len(made.sites) == 2
    (merged,) = merge_shared([made])
    assert len(merged.sites) == 1 and len(merged.paths) == 2
    assert merged.id == made.id and merged.others == ()


def test_a_template_that_ends_inside_a_word(stories: Reader) -> None:
    with pytest.raises((OptionError, FactError), match="other tokens|shares a token"):
        plan(stories, Fact("a:l", "a:p", "Lil", ("y",)), ["{s}y was"], "subject_last")
