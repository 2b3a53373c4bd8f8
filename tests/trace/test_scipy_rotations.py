"""SciPy's rotations of traced values: its own numbers, and derivatives."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import payback as pb
from payback.errors import TraceError, UnsupportedError

X = np.array([0.3, -0.5, 0.4])
Q = np.array([0.3, -0.5, 0.4, -0.6])
PLAIN = Rotation.from_euler("xyz", [0.1, 0.2, 0.3])
SEQUENCES = ("xyz", "XYZ", "zyx", "zxz", "ZYZ", "YXZ")


def told(parts):
    return sum(np.sum(np.asarray(part) * np.cos(np.arange(np.size(part)) + k).reshape(np.shape(part)))
               for k, part in enumerate(parts))  # fmt: skip


def of_quaternions(q):
    r = Rotation.from_quat(q)
    made = [r.as_matrix(), r.as_quat(), r.as_quat(canonical=True, scalar_first=True), r.as_rotvec(), r.magnitude()]
    return told([*made, r.inv().as_rotvec(degrees=True), r.apply(X), r.apply(np.eye(3), inverse=True)])


def of_vectors(x):
    r = Rotation.from_rotvec(x)
    return told(
        [r.as_matrix(), (r * PLAIN).as_quat(), (PLAIN * r).as_quat(), (r * r.inv() * r).as_rotvec(), PLAIN.apply(x)]
    )


def of_angles(x):
    made = [Rotation.from_euler(seq, x) for seq in SEQUENCES] + [Rotation.from_euler("Y", 30 * x[0], degrees=True)]
    return told([r.as_matrix() for r in made] + [r.as_euler(seq) for r, seq in zip(made[1:], SEQUENCES, strict=True)])


def of_several(x):
    r = Rotation.from_rotvec(np.outer([1.0, -2.0, 0.5], x))
    assert len(r) == 3
    assert not r.single
    return told([r.as_matrix(), r[1].as_euler("xyz"), r[1:].as_quat(), r.apply(x), (r * PLAIN).magnitude()])


@pytest.mark.parametrize(("f", "x"), [(of_quaternions, Q), (of_vectors, X), (of_angles, X), (of_several, X)])
def test_values_and_derivatives(f, x):
    np.testing.assert_allclose(pb.value_and_grad(f)(x)[0], f(x), rtol=1e-12)
    pb.check_grads(f, x)
    np.testing.assert_allclose(pb.compile(pb.grad(f))(x), pb.grad(f)(x), rtol=1e-9)


def test_no_rotation_has_a_derivative():
    f = lambda x: told([Rotation.from_rotvec(x).as_matrix(), Rotation.from_rotvec(x).as_rotvec()])  # noqa: E731
    pb.check_grads(f, np.zeros(3), order=1)


def test_what_is_not_determined_is_refused():
    with pytest.raises(TraceError, match="gimbal"):
        pb.grad(lambda x: Rotation.from_euler("xyz", [0.1, np.pi / 2, x]).as_euler("xyz")[0])(0.3)
    with pytest.raises(UnsupportedError, match="polar"):
        pb.grad(lambda x: Rotation.from_matrix(np.eye(3) * x).magnitude())(1.0)
    with pytest.raises(ValueError, match="shape"):
        pb.grad(lambda x: Rotation.from_quat(x).magnitude())(X)
    assert Rotation.apply.__name__ == "apply"
    assert isinstance(PLAIN, Rotation)
