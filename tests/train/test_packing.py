"""Packing keeps documents whole and uses each once an epoch; batches can be resumed."""

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from homezoo.train.documents import Document
from homezoo.train.packing import Epochs, fill, hold_out, make_pack


def document(length: int, first: int = 0) -> Document:
    labelled = np.zeros(length, bool)
    labelled[length // 2 :] = True
    labelled[0] = False
    return Document(np.arange(first, first + length, dtype=np.int32), labelled)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=200), st.randoms())
def test_every_document_goes_into_one_pack_that_holds_it(
    lengths: list[int], random: object
) -> None:
    packs = fill(lengths, range(len(lengths)), 64)
    assert sorted(number for pack in packs for number in pack) == list(range(len(lengths)))
    totals = [sum(lengths[number] for number in pack) for pack in packs]
    assert max(totals) <= 64
    assert all(pack for pack in packs)


def test_packs_of_alpacas_lengths_are_nearly_full() -> None:
    """Lengths spread as those of Alpaca: most short, few long, mean 128."""
    lengths = np.clip(np.random.default_rng(0).gamma(2.2, 58, 5000), 30, 512).astype(int).tolist()
    packs = fill(lengths, range(len(lengths)), 512)
    assert sum(lengths) / (512 * len(packs)) > 0.97


def test_rows_predict_the_token_after_them() -> None:
    documents = [document(4, 10), document(6, 20), document(5, 30)]
    pack = make_pack([2, 0], documents)
    tokens = np.concatenate([d.tokens for d in pack.documents])
    assert (tokens[pack.rows + 1] == pack.targets).all()
    assert pack.targets.tolist() == [32, 33, 34, 12, 13]
    assert pack.tokens == 9 and pack.labels == 5


def test_the_first_token_of_a_document_is_never_a_target() -> None:
    pack = make_pack([0, 1], [document(3, 5), document(3, 20)])
    assert 5 not in pack.targets and 20 not in pack.targets


def test_batches_are_the_same_when_training_goes_on_later() -> None:
    documents = [document(3 + n % 13) for n in range(50)]
    epochs = Epochs(documents, 32, 3, seed=1)
    whole = [[pack.numbers for pack in batch] for batch in islice(epochs.batches(), 20)]
    later = [[pack.numbers for pack in batch] for batch in islice(epochs.batches(7), 13)]
    assert whole[7:] == later
    steps = epochs.steps(2)
    seen = [n for batch in whole[:steps] for numbers in batch for n in numbers]
    if steps <= 20:
        assert sorted(seen) == sorted([*range(50)] * 2)
    assert epochs.packs(0) != epochs.packs(1)
    assert epochs.packs(0) != Epochs(documents, 32, 3, seed=2).packs(0)


def test_documents_are_held_out_once() -> None:
    train, held = hold_out(20, 0.25, 0)
    assert len(held) == 5 and sorted(train + held) == list(range(20))
    assert hold_out(20, 0.25, 0) == (train, held)
    assert [len(part) for part in hold_out(2, 0.01, 0)] == [1, 1]
