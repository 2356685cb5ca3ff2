"""How long a run will take, measured on one layer of the very model before it begins."""

import time
from typing import Any

import numpy as np

from homezoo.models.batch import pack_documents
from homezoo.models.decoder import Decoder
from homezoo.ops.autograd import AutogradOps
from homezoo.ops.autograd_matmul import FrozenProducts
from homezoo.train.memory import loss_rows


def pass_seconds(
    model: Decoder,
    products: FrozenProducts,
    *,
    parameters: Any,
    first: int,
    kept: int,
    tokens: int,
    labels: int,
    document: int,
) -> float:
    """Estimated seconds of one pass, forward and backward, of `tokens` tokens.

    `labels` of them are learned; documents are of `document` tokens. The top layer and the output
    matrix are run once to warm up and once to be timed.
    """
    import torch

    lengths = [document] * (tokens // document) + ([tokens % document] if tokens % document else [])
    random = np.random.default_rng(0)
    vocabulary = model.config.vocab_size
    batch = pack_documents([random.integers(0, vocabulary, n).tolist() for n in lengths])
    width = model.config.head_width
    ops = AutogradOps(batch, parameters, head_width=width, products=products)
    block = model.blocks[-1]
    with torch.no_grad():
        x = model.stem(ops)
    forward = backward = head = 0.0
    for _ in range(2):
        started = time.perf_counter()
        entered = x.detach().requires_grad_()
        left = block(ops, entered)
        forward = time.perf_counter() - started
        torch.autograd.backward(left, torch.ones_like(left))
        backward = time.perf_counter() - started - forward
        rows = min(labels, loss_rows(vocabulary))
        started = time.perf_counter()
        states = x[:rows].detach().requires_grad_()
        model.logits(ops, model.finish(ops, states)).logsumexp(1).sum().backward()
        head = (time.perf_counter() - started) * labels / rows
    for parameter in _learning(model, parameters):
        parameter.grad = None
    taught = len(model.blocks) - first
    again = taught - min(kept, taught)
    return forward * (first + taught + again) + backward * taught + head


def _learning(model: Decoder, parameters: Any) -> list[Any]:
    """Everything that may have got a gradient."""
    deltas = [delta for linear in model.linears().values() for delta in linear.deltas]
    pairs = [array for delta in deltas for array in (delta.a, delta.b)]
    return [*pairs, *(parameters or {}).values()]
