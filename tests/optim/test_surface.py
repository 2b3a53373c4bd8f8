"""`surface`: costs on a grid, and a descent's path in it."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError
from payback.optim.minimize import flat


def quartic(w):
    return w**4 - 3 * w**2 + w


def bowl(p):
    return p["a"][0] ** 2 + 3 * p["a"][1] ** 2 + p["a"][0] * p["b"] + p["b"] ** 4


POINT = {"a": np.array([0.5, -1.0]), "b": 0.25}
D0 = {"a": np.array([1.0, 2.0]), "b": 0.5}
D1 = {"a": np.array([0.0, 1.0]), "b": -2.0}


def test_one_number():
    found = pb.surface(quartic, 0.3, extent=2.0, points=5)
    assert found.axes[0].tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]
    np.testing.assert_allclose(found.costs, [quartic(0.3 + t) for t in found.axes[0]])
    assert len(found.axes) == 1
    assert found.path is None


def test_two_directions_of_a_container():
    found = pb.surface(bowl, POINT, [D0, D1], extent=1.5, points=4)
    assert found.costs.shape == (4, 4)
    for i, s in enumerate(found.axes[0]):
        for j, t in enumerate(found.axes[1]):
            there = {"a": POINT["a"] + s * D0["a"] + t * D1["a"], "b": POINT["b"] + s * D0["b"] + t * D1["b"]}
            assert found.costs[i, j] == pytest.approx(bowl(there))


def test_two_numbers_are_their_own_directions():
    found = pb.surface(lambda p: p[0] ** 2 + 10 * p[1], np.array([1.0, 2.0]), extent=1.0, points=3)
    np.testing.assert_allclose(found.costs, [[(1 + s) ** 2 + 10 * (2 + t) for t in (-1, 0, 1)] for s in (-1, 0, 1)])


def test_the_path_of_a_descent():
    descent = pb.minimize(quartic, 2.0)
    found = pb.surface(quartic, descent.x, path=descent.path)
    np.testing.assert_allclose(found.path[:, 0], np.array(descent.path) - descent.x, atol=1e-14)
    np.testing.assert_allclose(found.path_costs, descent.costs, rtol=1e-12)
    np.testing.assert_allclose(found.off_plane, 0, atol=1e-12)
    assert found.axes[0][-1] > np.abs(found.path).max()


def test_a_path_is_projected_by_least_squares():
    rng = np.random.default_rng(0)
    path = [{"a": rng.normal(size=2), "b": float(rng.normal())} for _ in range(5)]
    found = pb.surface(bowl, POINT, [D0, D1], path=path, points=2)
    basis = np.stack([flat(D0), flat(D1)], axis=1)
    for i, point in enumerate(path):
        step = flat(point) - flat(POINT)
        coordinates, residual = np.linalg.lstsq(basis, step, rcond=None)[:2]
        np.testing.assert_allclose(found.path[i], coordinates, atol=1e-12)
        assert found.off_plane[i] == pytest.approx(np.sqrt(residual[0]))
        moved = flat(POINT) + basis @ coordinates
        assert found.path_costs[i] == pytest.approx(bowl({"a": moved[:2], "b": moved[2]}))


def test_random_directions_of_a_network_have_its_scale_and_come_from_the_seed():
    net = pb.nn.MLP([3, 4, 2], seed=0)
    X = np.ones((2, 3), np.float32)

    def cost(net):
        return (net(X) ** 2).sum()

    found = pb.surface(cost, net, points=3)
    assert found.costs.shape == (3, 3)
    assert found.costs[1, 1] == pytest.approx(float(cost(net)))
    for direction in found.directions:
        assert type(direction) is pb.nn.MLP
        for name, p in pb.nn.parameters(net).items():
            d = pb.nn.parameters(direction)[name]
            assert d.dtype == np.float32
            if p.any():
                assert np.linalg.norm(d) == pytest.approx(np.linalg.norm(p), rel=1e-5)
    again, other = pb.surface(cost, net, points=3), pb.surface(cost, net, points=3, seed=1)
    assert again.costs.tobytes() == found.costs.tobytes()
    assert (other.costs != found.costs).any()


def test_a_cost_that_is_not_defined_somewhere_is_nan_there():
    found = pb.surface(np.log, 0.5, extent=1.0, points=3)
    assert np.isnan(found.costs[0])
    assert np.isfinite(found.costs[1:]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": []}, "surface wants one or two"),
        ({"directions": [D0, D1, D0]}, "3 directions"),
        ({"directions": [np.ones(3)]}, "of the structure of the point"),
        ({"directions": [D0, D0]}, "zero or parallel"),
        ({"directions": [{"a": np.zeros(2), "b": 0.0}]}, "zero or parallel"),
        ({"directions": [{"a": np.zeros(3), "b": 0.0}]}, "they do not fit the point"),
        ({"points": 1}, "points is 1"),
        ({"points": 2.5}, "points is 2.5"),
        ({"extent": 0.0}, "extent is 0.0"),
        ({"extent": float("nan")}, "extent is nan"),
        ({"path": []}, "the path has no points"),
        ({"path": [1.0]}, "path[0] is not like the point"),
        ({"path": [POINT, {"a": np.ones(3), "b": 0.0}]}, "path[1] is not like the point"),
    ],
)
def test_what_does_not_fit_is_named(options, message):
    with pytest.raises(InputError) as caught:
        pb.surface(bowl, POINT, **options)
    assert message in str(caught.value)
