"""The order of rows in every epoch: what `random.permutation` gives for the epoch's key, however many are made."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback import native
from payback.ops.philox import order_of
from payback.train import orders
from payback.train.orders import Orders


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("natively", [False, True])
def test_orders_are_permutations_of_the_epochs_keys(monkeypatch, n, natively):
    if natively and not native.available():
        natively = False
    monkeypatch.setattr(orders, "MANY", 0 if natively else 10**9)
    key = pb.random.key(5)
    made = Orders(n, key, 400)
    for first, count in ((1, 3), (2, 2), (300, 101), (1, 400)):
        found = made.of(first, count)
        assert found.shape == (count, n)
        for epoch in {first, first + count - 1}:
            wanted = pb.random.permutation(pb.random.fold_in(key, epoch), n)
            np.testing.assert_array_equal(found[epoch - first], wanted)
            assert sorted(wanted.tolist()) == list(range(n))


def test_without_a_key_rows_are_taken_as_they_stand():
    made = Orders(5, None, 2)
    assert made.of(1, 2).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert [None if b is None else b.tolist() for b in made.batches(1, 2)] == [[0, 1], [2, 3], [4]]
    assert list(made.batches(1, 5)) == [None]


def test_pairs_of_words_that_agree_keep_their_order():
    """Only in their lowest bits, or altogether: then numbers are sorted by pairs, stably."""
    words = np.array([[5, 1], [5, 0], [5, 1], [4, 9], [5, 0]], np.uint32)
    assert order_of(words.reshape(-1)).tolist() == [3, 1, 4, 0, 2]
    several = np.stack([words.reshape(-1), np.arange(10, dtype=np.uint32)])
    assert order_of(several).tolist() == [[3, 1, 4, 0, 2], [0, 1, 2, 3, 4]]
