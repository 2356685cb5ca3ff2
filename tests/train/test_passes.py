"""Gradients of packed passes: against plain autograd, with and without layers computed again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from random_models import random_model

from homezoo.formats.block_types import BlockType
from homezoo.models.batch import pack_documents
from homezoo.models.decoder import Decoder
from homezoo.models.load import load_model
from homezoo.train.documents import Document
from homezoo.train.options import TrainingOptions
from homezoo.train.packing import make_pack

torch: Any = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")

from homezoo.ops.autograd import AutogradOps  # noqa: E402
from homezoo.ops.autograd_matmul import FrozenProducts  # noqa: E402
from homezoo.train.lora import attach_deltas, detach_deltas, first_layer, make_adapter  # noqa: E402
from homezoo.train.passes import Passes  # noqa: E402
from homezoo.train.states import StateCache  # noqa: E402
from homezoo.train.whole import make_parameters  # noqa: E402

torch.set_num_threads(1)  # on busy cores more threads than one take many times as long
PRODUCTS = FrozenProducts(1, "float", "exact")
RANDOM = np.random.default_rng(0)


def documents(*lengths: int) -> list[Document]:
    found = []
    for length in lengths:
        labelled = RANDOM.random(length) < 0.5
        labelled[0], labelled[-1] = False, True
        found.append(Document(RANDOM.integers(0, 100, length).astype(np.int32), labelled))
    return found


DOCUMENTS = documents(7, 12, 3, 20)


def model_with_deltas(layers: int = 3, **changes: Any) -> tuple[Decoder, dict[str, Any]]:
    made = random_model("llama", layers=layers, type=BlockType.Q8_0)
    model = load_model(made)
    assert isinstance(model, Decoder)
    trained = attach_deltas(model, TrainingOptions(rank=4, **changes))
    with torch.no_grad():
        for name, parameter in trained.items():
            if name.endswith("lora_b"):  # else the gradient of a is zero
                generator = torch.Generator().manual_seed(len(name))
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 8)
    return model, trained


def gradients(trained: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: parameter.grad.clone() for name, parameter in trained.items()}
    for parameter in trained.values():
        parameter.grad = None
    return found


def close(one: Mapping[str, Any], two: Mapping[str, Any], bound: float) -> None:
    for name, gradient in one.items():
        assert torch.linalg.norm(gradient - two[name]) <= bound * torch.linalg.norm(gradient), name


def plain(model: Decoder, chosen: list[Document], parameters: Any = None) -> Any:
    """Loss as anybody would write it, with -100 where nothing is learned; and backward."""
    batch = pack_documents([d.tokens.tolist() for d in chosen])
    ops = AutogradOps(batch, parameters, head_width=16, products=PRODUCTS)
    logits = model.forward(ops)
    targets = np.concatenate([np.append(np.where(d.labelled, d.tokens, -100)[1:], -100)
                              for d in chosen])  # fmt: skip
    loss = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(targets).long(), ignore_index=-100, reduction="sum"
    )
    loss.backward()
    return float(loss.detach())


def test_gradients_are_those_of_plain_autograd() -> None:
    model, trained = model_with_deltas()
    loss = plain(model, DOCUMENTS)
    expected = gradients(trained)
    passes = Passes(model, PRODUCTS)
    pack = make_pack(range(4), DOCUMENTS)
    assert passes.learn(pack, 1.0) == pytest.approx(loss, rel=1e-6)
    close(expected, gradients(trained), 1e-5)
    assert passes.loss(pack) == pytest.approx(loss, rel=1e-6)


def test_computing_layers_again_changes_no_bit() -> None:
    model, trained = model_with_deltas()
    pack = make_pack(range(4), DOCUMENTS)
    found = []
    for kept in (1, 2, 3):
        loss = Passes(model, PRODUCTS, kept=kept).learn(pack, 0.25)
        found.append((loss, gradients(trained)))
    for loss, other in found[1:]:
        assert loss == found[0][0]
        assert all(torch.equal(found[0][1][name], other[name]) for name in trained)


def test_packed_documents_do_not_see_each_other() -> None:
    model, trained = model_with_deltas()
    passes = Passes(model, PRODUCTS)
    together = passes.learn(make_pack(range(4), DOCUMENTS), 1.0)
    packed = gradients(trained)
    apart = sum(passes.learn(make_pack([n], DOCUMENTS), 1.0) for n in range(4))
    assert together == pytest.approx(apart, rel=1e-6)
    close(packed, gradients(trained), 1e-5)


def test_accumulated_passes_weigh_every_learned_token_alike() -> None:
    """One pass of four documents or four of one: the bug of 2024 weighed passes alike instead."""
    model, trained = model_with_deltas()
    passes = Passes(model, PRODUCTS)
    whole = make_pack(range(4), DOCUMENTS)
    passes.learn(whole, 1 / whole.labels)
    expected = gradients(trained)
    parts = [make_pack([n], DOCUMENTS) for n in range(4)]
    for part in parts:
        passes.learn(part, 1 / sum(p.labels for p in parts))
    close(expected, gradients(trained), 1e-5)


def test_what_is_not_learned_has_no_gradient_at_all() -> None:
    """The last token is the only one learned: tokens after it in the pass change nothing."""
    model, trained = model_with_deltas()
    first = Document(np.array([5, 6, 7], np.int32), np.array([False, True, False]))
    second = Document(np.array([5, 6, 9], np.int32), np.array([False, True, False]))
    passes = Passes(model, PRODUCTS)
    losses, found = [], []
    for document in (first, second):
        losses.append(passes.learn(make_pack([0], [document]), 1.0))
        found.append(gradients(trained))
    assert losses[0] == losses[1]
    assert all(torch.equal(found[0][name], found[1][name]) for name in trained)


def test_a_window_of_layers_and_its_cache(tmp_path: Any) -> None:
    made = load_model(random_model("llama", layers=4, type=BlockType.Q8_0))
    assert isinstance(made, Decoder)
    trained = attach_deltas(made, TrainingOptions(rank=4, layers=2))
    assert first_layer(trained) == 2 and len(trained) == 2 * 2 * 7
    states = StateCache(tmp_path / "states", [len(d) for d in DOCUMENTS], 64)
    passes = Passes(made, PRODUCTS, first=2, states=states)
    found = []
    for numbers in ([0, 1, 2, 3], [0, 1, 2, 3], [3, 1, 0, 2]):
        pack = make_pack(numbers, DOCUMENTS)
        found.append((passes.learn(pack, 1.0), gradients(trained)))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in trained)
    assert found[2][0] == pytest.approx(found[0][0], rel=1e-6)  # only the order of the sum differs
    whole = Passes(made, PRODUCTS, first=0)
    assert whole.loss(make_pack([0, 1, 2, 3], DOCUMENTS)) == found[0][0]
    states.close()
    assert not (tmp_path / "states").exists()


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_every_weight(tied: bool) -> None:
    file = random_model("llama", layers=2, tied=tied)
    model = load_model(file)
    assert isinstance(model, Decoder)
    parameters = make_parameters(file.tensors)
    loss = plain(model, DOCUMENTS, parameters)
    expected = gradients(parameters)
    passes = Passes(model, PRODUCTS, parameters)
    assert passes.learn(make_pack(range(4), DOCUMENTS), 1.0) == pytest.approx(loss, rel=1e-6)
    close(expected, gradients(parameters), 1e-5)


def test_a_new_adapter_changes_nothing_and_comes_off_again() -> None:
    made = load_model(random_model("llama", type=BlockType.Q8_0))
    assert isinstance(made, Decoder)
    ops = AutogradOps(
        pack_documents([d.tokens.tolist() for d in DOCUMENTS]), head_width=16, products=PRODUCTS
    )
    with torch.no_grad():
        before = made.forward(ops)
        options = TrainingOptions(rank=8, rslora=True, alpha=16)
        trained = attach_deltas(made, options)
        assert torch.equal(made.forward(ops), before)
        trained["blk.0.attn_q.lora_b"] += 1
        assert not torch.equal(made.forward(ops), before)
        adapter = make_adapter("llama", options, trained, {})
        assert adapter.scale_of("blk.0.attn_q") == pytest.approx(16 / 8**0.5)
        assert not any(name.startswith("output") for name in adapter.deltas)
        detach_deltas(made)
        assert torch.equal(made.forward(ops), before)


def test_the_same_seed_gives_the_same_first_deltas_whatever_else_is_taught() -> None:
    _, all_of_them = model_with_deltas(seed=3)
    _, some = model_with_deltas(seed=3, targets="qv")
    assert torch.equal(all_of_them["blk.1.attn_v.lora_a"], some["blk.1.attn_v.lora_a"])
    _, others = model_with_deltas(seed=4)
    assert not torch.equal(all_of_them["blk.1.attn_v.lora_a"], others["blk.1.attn_v.lora_a"])
