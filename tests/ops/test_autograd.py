"""The autograd backend: operations mean what the reference's mean, and gradients are right."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from random_models import tensor_of

from homezoo.errors import OptionError
from homezoo.formats.block_types import BlockType
from homezoo.models.batch import build_batch, pack_documents
from homezoo.models.cache import KVCache, Sequence
from homezoo.ops.protocol import AttentionForm
from homezoo.ops.reference import ReferenceOps

torch: Any = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")

from homezoo.ops.autograd import AutogradOps  # noqa: E402
from homezoo.ops.autograd_matmul import FrozenProducts  # noqa: E402
from homezoo.ops.watch import WatchedOps  # noqa: E402

RANDOM = np.random.default_rng(0)
T, D, H, G, E = 9, 64, 4, 2, 16
WHOLE = pack_documents([list(range(T))])
ONE = pack_documents([[1, 2, 3, 4], [5, 6, 7, 8, 9]])


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, np.float32)


def ops_for(batch: Any = ONE, **options: Any) -> AutogradOps:
    return AutogradOps(batch, head_width=E, threads=1, **options)


def reference(batch: Any = ONE, cache: Any = None) -> ReferenceOps:
    return ReferenceOps(batch, cache or SimpleNamespace(), exact=True)


X, Y = 3 * normal(T, D), normal(T, D)
VECTOR, SHIFT = tensor_of("v", 1 + normal(D) / 8), tensor_of("s", normal(D))
HEAD = tensor_of("h", 1 + normal(E) / 8)
WEIGHT = tensor_of("w", normal(96, D) / 8, BlockType.Q8_0)
TABLE = tensor_of("t", normal(20, D), BlockType.Q4_0)
STACK = tensor_of("e", normal(4, 32, D) / 8, BlockType.Q8_0)
BIASES = tensor_of("b", normal(4, 32))
ROUTING = reference().route(normal(T, 4), 2)
A, B = normal(3, D) / 8, normal(D, 3) / 8
TURNS = 1.0 / 10000.0 ** (np.arange(6) / 6)
OPERATIONS: dict[str, tuple[Any, ...]] = {
    "embed": (TABLE,),
    "embed_positions": (TABLE,),
    "rms_norm": (X, VECTOR, 1e-5),
    "rms_norm of heads": (X, HEAD, 1e-5, E),
    "layer_norm": (X, VECTOR, SHIFT, 1e-5),
    "layer_norm without bias": (X, VECTOR, None, 1e-5),
    "matmul": (X, WEIGHT),
    "low_rank": (X, Y, A, B, 0.5),
    "add": (X, Y),
    "add_bias": (X, SHIFT),
    "silu_mul": (X, Y),
    "clamped_swiglu": (X, Y, 1.702, 2.0),
    "gelu": (X,),
    "gelu with erf": (X, True),
    "scale": (X, 0.3),
    "multiply": (X, Y),
    "columns": (X, 5, 40),
    "soft_cap": (X, 2.0),
    "route": (X[:, :4], 2),
    "expert_matmul": (X, ROUTING, STACK),
    "expert_bias": (X, ROUTING, BIASES),
    "expert_sum": (X, ROUTING),
    "rope": (X, TURNS, E, False, 1.1),
    "rope of halves": (X, TURNS, E, True),
    "select": (X,),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_mean_what_the_reference_says(name: str) -> None:
    inputs, method = OPERATIONS[name], name.split(" ")[0]
    expected = getattr(reference(), method)(*inputs)
    arrays = [
        torch.from_numpy(i.copy()) if isinstance(i, np.ndarray) and i.ndim > 1 else i
        for i in inputs
    ]
    found = getattr(ops_for(forward="float"), method)(*arrays)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=2e-5)


FORMS = {
    "plain": (None, AttentionForm()),
    "window": (3, AttentionForm()),
    "slopes": (None, AttentionForm(slopes=np.float32([0.5, 0.25, 0.1, 0.05]))),
    "cap": (None, AttentionForm(cap=1.5)),
    "sinks": (2, AttentionForm(sinks=np.float32([0.5, -1, 2, 0]))),
    "encoder": (None, AttentionForm(causal=False)),
}


@pytest.mark.parametrize("name", FORMS)
def test_attention_means_what_the_reference_says(name: str) -> None:
    """The reference rounds keys and values to float16; so are they given here."""
    window, form = FORMS[name]
    q, k, v = normal(T, H * E), normal(T, G * E), normal(T, G * E)
    k, v = k.astype(np.float16).astype(np.float32), v.astype(np.float16).astype(np.float32)
    cache = KVCache(1, G, E, 256)
    batch = build_batch([(Sequence(cache), [1, 2, 3, 4]), (Sequence(cache), [5, 6, 7, 8, 9])])
    expected = reference(batch, cache).attention(q, k, v, 0, 0.25, window, form)
    arrays = map(torch.from_numpy, (q, k, v))
    found = ops_for(batch).attention(*arrays, 0, 0.25, window, form)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_tokens_of_sequences_may_alternate() -> None:
    q, k, v = (torch.from_numpy(normal(T, H * E)) for _ in range(3))
    expected = ops_for().attention(q, k, v, 0, 0.25)
    order = [4, 0, 5, 1, 6, 2, 7, 3, 8]
    mixed = SimpleNamespace(
        tokens=ONE.tokens[order], positions=ONE.positions[order], sequences=ONE.sequences[order]
    )
    found = ops_for(mixed).attention(q[order], k[order], v[order], 0, 0.25)
    torch.testing.assert_close(found, expected[order], rtol=0, atol=1e-6)


@pytest.mark.parametrize("type", [BlockType.F32, BlockType.Q4_0, BlockType.Q6_K])
def test_gradcheck_of_the_product(type: BlockType) -> None:
    """G3: PyTorch's own check of the float64 function against finite differences."""
    weight = tensor_of("w", normal(5, 256), type)
    x = torch.randn(3, 256, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: FrozenProducts(1)(x, weight), (x,), fast_mode=True)


@pytest.mark.parametrize("type", BlockType, ids=lambda type: type.name)
def test_products_and_their_gradients(type: BlockType) -> None:
    """G1, G2 and G4 through autograd: against the float64 function on the dequantised weight."""
    weight = tensor_of("w", normal(131, 256) / 16, type)
    x, dy = torch.from_numpy(normal(T, 256)), torch.from_numpy(normal(T, 131))

    def pair(products: FrozenProducts, dtype: Any) -> tuple[Any, Any]:
        given = x.to(dtype, copy=True).requires_grad_()
        y = products(given, weight)
        y.backward(dy.to(dtype))
        return y.detach().double(), given.grad.double()

    y, dx = pair(FrozenProducts(1), torch.float64)
    ways = {("int8", "int8"): (1e-2, 2e-2), ("float", "exact"): (1e-6, 1e-6)}
    for (forward, backward), bounds in ways.items():
        found = pair(FrozenProducts(1, forward, backward), torch.float32)  # type: ignore[arg-type]
        for ours, right, bound in zip(found, (y, dx), bounds, strict=True):
            assert (ours - right).norm() / right.norm() <= bound


def test_a_parameter_replaces_a_weight_and_learns() -> None:
    values = torch.from_numpy(normal(96, D)).requires_grad_()
    table = torch.from_numpy(normal(20, D)).requires_grad_()
    ops = ops_for(parameters={"w": values, "t": table})
    x = ops.embed(TABLE)
    ops.matmul(x, WEIGHT).sum().backward()
    torch.testing.assert_close(x.detach(), table.detach()[ONE.tokens.tolist()])
    torch.testing.assert_close(values.grad, x.detach().sum(0).expand(96, D))
    assert table.grad.abs().sum(1).nonzero().reshape(-1).tolist() == sorted(set(ONE.tokens))


def test_a_watch_keeps_what_enters_a_product() -> None:
    for backend, x in ((reference(), X), (ops_for(), torch.from_numpy(X).requires_grad_())):
        watched = WatchedOps(backend, ["w"])
        y = watched.ops.matmul(watched.ops.scale(x, 2.0), WEIGHT)
        assert y.shape == (T, 96) and set(watched.inputs) == {"w"}
        np.testing.assert_array_equal(np.asarray(watched.inputs["w"].data), 2 * X)


def test_what_training_cannot_compute_is_refused() -> None:
    with pytest.raises(OptionError, match="parameter w is torch.bfloat16"):
        ops_for(parameters={"w": torch.zeros(2, 2, dtype=torch.bfloat16)})
    with pytest.raises(OptionError, match="backward is 'fast'"):
        ops_for(backward="fast")
    with pytest.raises(OptionError, match="forward is 'exact'"):
        ops_for(forward="exact")
    with pytest.raises(OptionError, match="precision is 'bfloat16'"):
        ops_for(precision="bfloat16")
    with pytest.raises(OptionError, match="token id 20; the vocabulary has 0 to 19"):
        ops_for(pack_documents([[1, 20]])).embed(TABLE)
    cache = KVCache(1, G, E, 256)
    sequence = Sequence(cache)
    build_batch([(sequence, [1, 2])])
    with pytest.raises(OptionError, match="positions from 2 to 3 in 2 tokens"):
        ops_for(build_batch([(sequence, [3, 4])]))
    with pytest.raises(OptionError, match="document 1 of the batch has no tokens"):
        pack_documents([[1], [], [2]])


def test_the_threads_of_pytorch_sleep_between_its_operations() -> None:
    look = (
        "import os, sys, homezoo.commands.train, homezoo.edit.targets;"
        "print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    )
    clean = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, env=clean)
    assert done.stdout.split() == ["False", "passive"], done.stderr
    own = clean | {"OMP_WAIT_POLICY": "active"}
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, env=own)
    assert done.stdout.split() == ["False", "active"], done.stderr
