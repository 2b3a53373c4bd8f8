"""Philox's known answers, distributions, keys."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from ops.samples import traced
from payback.errors import InputError
from payback.nn.initializers import INITIALIZERS
from payback.ops.philox import philox, random_bits
from payback.trace.abstract import trace
from payback.trace.dispatch import emit

# Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, answer
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
PERMUTATION = [7, 4, 3, 1, 2, 5, 6, 0]
SPLIT = [[3802497764, 4119751558], [3313157657, 2902910149]]
NORMAL = [0.9938843376734593, -0.5629121425364813, -0.17512642087475105]


def words(text):
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    assert (philox(words(counter)[None], words(key))[0] == words(answer)).all()


def test_a_stream_can_be_made_in_any_order():
    key = pb.random.key(7)
    whole = random_bits(key, (1000,))
    for size in (0, 1, 3, 4, 5, 999):
        assert (random_bits(key, (size,)) == whole[:size]).all()
    assert (random_bits(key, (10, 5, 20)).ravel() == whole).all()
    assert random_bits(key, ()).shape == ()
    blocks = philox(np.array([[5, 0, 0, 0], [2, 0, 0, 0]], np.uint32), key)
    assert (blocks == whole.reshape(-1, 4)[[5, 2]]).all()


def test_the_row():
    key = pb.random.key(3)
    assert (emit("random_bits", traced(key), shape=(5,)).node.value == random_bits(key, (5,))).all()
    drawn = trace(lambda k: emit("random_bits", k, shape=(2, 3)), key)
    assert (drawn(key) == random_bits(key, (2, 3))).all()
    assert drawn(key).dtype == np.uint32


def test_pinned_bits():
    """What was drawn yesterday is drawn tomorrow: runs can be replayed."""
    key = pb.random.key(0)
    assert [hex(w) for w in random_bits(key, (4,)).tolist()] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    assert pb.random.uniform(key, (2,)).tolist() == [0.3990464708489645, 0.7357127844834425]
    assert pb.random.uniform(key, (2,), np.float32).tolist() == [0.3990464210510254, 0.8805201649665833]
    assert pb.random.permutation(pb.random.key(1), 8).tolist() == PERMUTATION
    assert [k.tolist() for k in pb.random.split(key)] == SPLIT
    assert pb.random.key(2**40 + 3).tolist() == [3, 256]
    # log1p, cos and sin may differ in the last bit between machines
    assert np.allclose(pb.random.normal(key, (3,)), NORMAL, rtol=1e-14)


def kolmogorov(sample, cdf):
    """√n times the greatest distance between the sample's distribution and the true one."""
    x = np.sort(sample)
    n = len(x)
    steps = np.arange(n + 1) / n
    return np.sqrt(n) * max(np.max(cdf(x) - steps[:-1]), np.max(steps[1:] - cdf(x)))


def normal_cdf(x):
    from math import erf

    return np.array([0.5 * (1 + erf(v / np.sqrt(2))) for v in x])


# Beyond 2.0 the Kolmogorov distance comes once in 1,500 draws; the seeds are fixed, so it does not come at all.
@pytest.mark.parametrize("seed", range(amount.cases(3, 30)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform(seed, dtype):
    n = 20_000
    x = pb.random.uniform(pb.random.key(seed), (n,), dtype)
    assert x.dtype == dtype
    assert x.min() >= 0
    assert x.max() < 1
    assert kolmogorov(x.astype(float), lambda v: v) < 2.0
    assert abs(x.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(n)
    shifted = pb.random.uniform(pb.random.key(seed), (100,), dtype, low=-2.0, high=3.0)
    assert shifted.min() >= -2
    assert shifted.max() <= 3


@pytest.mark.parametrize("seed", range(amount.cases(3, 30)))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normal(seed, dtype):
    n = 20_000
    x = pb.random.normal(pb.random.key(seed), (n,), dtype).astype(float)
    assert np.isfinite(x).all()
    assert kolmogorov(x, normal_cdf) < (2.0 if dtype is not np.float16 else 2.2)  # float16 has 2,048 values a binade
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(x**power) - moment) < 4.5 * np.sqrt(spread / n)


@pytest.mark.parametrize("seed", range(amount.cases(5, 100)))
def test_keys_are_independent(seed):
    n = 5_000
    key = pb.random.key(seed)
    draws = [
        pb.random.normal(k, (n,))
        for k in (key, *pb.random.split(key, 3), pb.random.fold_in(key, 10**12), pb.random.key(seed + 1))
    ]
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 4.8 / np.sqrt(n)


def test_keys_do_not_collide():
    seen = {tuple(pb.random.fold_in(pb.random.key(s), i).tolist()) for s in range(50) for i in range(50)}
    seen |= {tuple(pb.random.key(s).tolist()) for s in range(50)}
    assert len(seen) == 50 * 50 + 50
    first, second = pb.random.split(pb.random.key(0))
    assert (first == pb.random.split(pb.random.key(0), 5)[0]).all()
    assert (first != second).any()


@pytest.mark.parametrize("n", [0, 1, 2, 5, 1000])
def test_permutations(n):
    key = pb.random.key(n)
    order = pb.random.permutation(key, n)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))
    assert (order == pb.random.permutation(key, n)).all()


def test_all_permutations_come_equally_often():
    counts: dict[tuple[int, ...], int] = {}
    n = amount.cases(3_000, 30_000)
    for seed in range(n):
        order = tuple(pb.random.permutation(pb.random.key(seed), 3).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert sum((count - n / 6) ** 2 / (n / 6) for count in counts.values()) < 20.5  # χ² of 5: once in 1,000


def test_shapes_and_dtypes():
    key = pb.random.key(0)
    for draw in (pb.random.uniform, pb.random.normal):
        assert draw(key).shape == ()
        assert draw(key, 3).shape == (3,)
        assert draw(key, (2, 0)).shape == (2, 0)
        assert draw(key, (3, 3)).shape == (3, 3)
        for dtype in (np.float16, np.float32, np.float64, "float32"):
            assert draw(key, (4,), dtype).dtype == np.dtype(dtype)


def test_keys_cannot_be_written_into():
    for key in (pb.random.key(0), pb.random.fold_in(pb.random.key(0), 1)):
        with pytest.raises(ValueError, match="read-only"):
            key[0] = 1


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "0", None, True, np.float64(1)])
def test_seeds_that_are_none(seed):
    with pytest.raises(InputError, match="a seed is a whole number from 0 to"):
        pb.random.key(seed)


@pytest.mark.parametrize("key", [0, np.array([1, 2]), np.zeros(3, np.uint32), None])
def test_no_key(key):
    for call in (
        pb.random.uniform,
        pb.random.normal,
        lambda k: pb.random.split(k),
        lambda k: pb.random.permutation(k, 3),
    ):
        with pytest.raises(InputError, match=r"a random function was given no key.*pb.random.key\(seed\)"):
            call(key)


@pytest.mark.parametrize("dtype", [int, bool, np.uint8, complex, str])
def test_a_dtype_that_is_not_floating(dtype):
    key = pb.random.key(0)
    draws = [lambda: pb.random.uniform(key, (3,), dtype), lambda: pb.random.normal(key, (3,), dtype)]
    draws += [lambda make=make: make(key, 3, 2, dtype) for make in INITIALIZERS.values()]
    for draw in draws:
        with pytest.raises(InputError, match="what is drawn are floating numbers"):
            draw()
