"""Whole models under autograd: logits of the engine, gradients of deltas, packing, checkpoints."""

from typing import Any

import numpy as np
import pytest
from random_models import random_model
from zoo_models import zoo_model

from homezoo.formats.block_types import BlockType
from homezoo.models.batch import build_batch, pack_documents
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.kinds import KINDS
from homezoo.models.linear import Delta
from homezoo.models.load import load_model
from homezoo.ops.reference import compile_reference

torch: Any = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")

from homezoo.ops.autograd import AutogradOps  # noqa: E402

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
OTHERS = [2, 7, 1, 8, 2, 8]
BASES = ("llama", "qwen2", "qwen3")
DECODERS = [name for name in KINDS if KINDS[name].causal]


def model_of(name: str, type: BlockType = BlockType.F32, **options: Any) -> Any:
    file = random_model(name, type=type, **options) if name in BASES else zoo_model(name, type=type)
    return load_model(file)


def attach(model: Any, names: list[str] | None = None, rank: int = 4) -> list[Any]:
    """Deltas whose a and b require gradients, on the weights named or on all: the tensors."""
    tensors = []
    generator = torch.Generator().manual_seed(0)
    for name, linear in model.linears().items():
        if names is None or name in names:
            a = torch.randn(rank, linear.weight.width, generator=generator) / 8
            b = torch.randn(linear.weight.rows, rank, generator=generator) / 8
            tensors += [a.requires_grad_(), b.requires_grad_()]
            linear.attach(Delta(a, b, 0.5, "lesson"))
    return tensors


def ops_for(model: Any, *documents: list[int], **options: Any) -> AutogradOps:
    batch = pack_documents(documents or (TOKENS,))
    return AutogradOps(batch, head_width=model.config.head_width, threads=1, **options)


def loss(logits: Any, tokens: list[int]) -> Any:
    targets = torch.tensor(tokens[1:])
    return torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="sum")


def gradients(model: Any, tensors: list[Any], **options: Any) -> list[Any]:
    found = loss(model.forward(ops_for(model, **options)), TOKENS)
    return list(torch.autograd.grad(found, tensors))


def cosine(one: list[Any], two: list[Any]) -> float:
    a, b = (torch.cat([g.reshape(-1).double() for g in gs]) for gs in (one, two))
    return float(a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize("name", DECODERS)
def test_every_architecture_runs_and_has_gradients(name: str) -> None:
    """Logits are the exact reference's up to its float16 keys and values; deltas get gradients."""
    model = model_of(name)
    cache = KVCache.for_model(model.config, 64)
    batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
    expected = compile_reference(model, cache, exact=True)(batch)
    found = model.forward(ops_for(model, forward="float"))
    np.testing.assert_allclose(found.numpy(), expected, atol=5e-3)
    tensors = attach(model)
    for gradient in gradients(model, tensors):
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0


@pytest.mark.parametrize("name", ["llama", "bloom", "gemma2", "gpt-oss"])
def test_finite_differences_of_deltas(name: str) -> None:
    """G3: three delta tensors of a model of two layers, in float64: within 1e-3."""
    model = model_of(name, BlockType.Q8_0)
    tensors = attach(model)
    chosen = [tensors[0], tensors[3], tensors[-4]]
    exact = gradients(model, chosen, precision="float64")

    def value() -> float:
        with torch.no_grad():
            return float(loss(model.forward(ops_for(model, precision="float64")), TOKENS))

    for tensor, gradient in zip(chosen, exact, strict=True):
        direction = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
        start, step = tensor.detach().clone(), 2.0**-10
        values = []
        for sign in (1, -1):
            tensor.data = start + sign * step * direction
            values.append(value() / (2 * step))
        tensor.data = start
        slope = float((gradient.double() * direction.double()).sum())
        assert values[0] - values[1] == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("type", [BlockType.Q4_0, BlockType.Q8_0], ids=lambda type: type.name)
def test_float32_and_int8_gradients_of_a_model(type: BlockType) -> None:
    """G2: the LoRA gradient of the whole model, int8 both ways, has a cosine of at least 0.995."""
    model = model_of("llama", type, width=128, feed_forward=256, layers=4)
    tensors = attach(model)
    right = gradients(model, tensors, precision="float64")
    exact = gradients(model, tensors, forward="float", backward="exact")
    assert cosine(right, exact) >= 1 - 1e-9
    rounded = gradients(model, tensors, forward="float", backward="int8")
    assert 0.995 <= cosine(right, rounded) < 1 - 1e-9
    both = gradients(model, tensors, forward="int8", backward="int8")
    assert cosine(right, both) >= 0.995
    assert cosine(gradients(model, tensors, forward="int8", backward="exact"), both) >= 0.995


def test_checkpoints_change_no_bit() -> None:
    """G5: gradients with each layer computed again are those with everything kept."""
    from torch.utils.checkpoint import checkpoint

    model = model_of("llama", BlockType.Q4_0)
    tensors = attach(model)
    expected = gradients(model, tensors)
    ops = ops_for(model)
    x = model.stem(ops)
    for layer in range(model.config.layers):
        x = checkpoint(model.through, ops, x, layer, layer + 1, use_reentrant=False)
    logits = model.logits(ops, model.finish(ops, x))
    for found, kept in zip(
        torch.autograd.grad(loss(logits, TOKENS), tensors), expected, strict=True
    ):
        assert torch.equal(found, kept)


@pytest.mark.parametrize("name", ["llama", "bloom", "gemma3"])
def test_packed_documents_do_not_see_each_other(name: str) -> None:
    """G6: logits within 1e-5 and gradients within 1e-5, relative, of documents computed alone."""
    model = model_of(name, BlockType.Q8_0)
    tensors = attach(model)
    documents = (TOKENS, OTHERS)
    alone = [model.forward(ops_for(model, tokens, forward="float")) for tokens in documents]
    packed = model.forward(ops_for(model, *documents, forward="float"))
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-5, atol=1e-5)
    whole = sum(loss(y, tokens) for y, tokens in zip(alone, documents, strict=True))
    parts = packed.split([len(tokens) for tokens in documents])
    together = sum(loss(y, tokens) for y, tokens in zip(parts, documents, strict=True))
    for one, two in zip(
        torch.autograd.grad(whole, tensors), torch.autograd.grad(together, tensors), strict=True
    ):
        assert (one - two).norm() <= 1e-5 * one.norm()


def test_the_parts_of_a_pass_are_the_whole() -> None:
    """A window of layers above cached states gives the same logits, and gradients only above."""
    model = model_of("qwen3", BlockType.Q4_0, layers=3)
    ops = ops_for(model)
    whole = model.forward(ops)
    with torch.no_grad():
        below = model.through(ops, model.stem(ops), 0, 2)
    change = torch.zeros_like(below).requires_grad_()
    x = model.finish(ops, model.through(ops, below + change, 2))
    logits = model.logits(ops, x[-1:])
    assert torch.equal(logits, whole[-1:])
    (gradient,) = torch.autograd.grad(logits[0, 7], change)
    assert gradient.shape == below.shape and gradient.abs().max() > 0


def test_every_weight_can_be_trained() -> None:
    """Full training: gradients of all float weights agree with finite differences."""
    file = random_model("llama", biases=("attn_q",))
    model = load_model(file)
    parameters = {
        name: torch.from_numpy(values.copy()).requires_grad_()
        for name, values in file.arrays.items()
    }

    def value() -> Any:
        ops = ops_for(model, parameters=parameters, precision="float64")
        return loss(model.forward(ops), TOKENS)

    names = list(parameters)
    found = dict(zip(names, torch.autograd.grad(value(), list(parameters.values())), strict=True))
    for name in (
        "token_embd.weight",
        "blk.0.attn_q.bias",
        "blk.1.ffn_norm.weight",
        "output.weight",
    ):
        generator = torch.Generator().manual_seed(2)
        direction = torch.randn(parameters[name].shape, generator=generator)
        start, values = parameters[name].detach().clone(), []
        for sign in (1, -1):
            parameters[name].data = start + sign * 2.0**-10 * direction
            values.append(float(value().detach()) * 2.0**9)
        parameters[name].data = start
        slope = float((found[name].double() * direction.double()).sum())
        assert values[0] - values[1] == pytest.approx(slope, rel=1e-3, abs=1e-4)
