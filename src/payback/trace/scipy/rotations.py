"""`scipy.spatial.transform.Rotation` of traced values: unit quaternions, the scalar last, as SciPy keeps them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.trace.array import plain
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import known
from payback.trace.scipy.curves import doubles


def _times(p: Any, q: Any) -> Any:
    """Hamilton's product."""
    px, py, pz, pw = (p[..., k] for k in range(4))
    qx, qy, qz, qw = (q[..., k] for k in range(4))
    return np.stack([
        pw * qx + px * qw + py * qz - pz * qy, pw * qy - px * qz + py * qw + pz * qx,
        pw * qz + px * qy - py * qx + pz * qw, pw * qw - px * qx - py * qy - pz * qz,
    ], axis=-1)  # fmt: skip


def _about(axis: int, angle: Any) -> Any:
    """The quaternion of a turn about an axis of the frame."""
    half = angle / 2.0
    parts = [np.zeros(np.shape(angle))] * 3 + [np.cos(half)]
    parts[axis] = np.sin(half)
    return np.stack(parts, axis=-1)


class Rotation:
    """One rotation, or some along a first axis; `quat`: of any length."""

    def __init__(self, quat: Any, normalize: bool = True, copy: bool = True, scalar_first: bool = False):
        quat = doubles(quat)
        if quat.ndim not in (1, 2) or quat.shape[-1] != 4:
            raise ValueError(f"Expected `quat` to have shape (..., 4), got {quat.shape}.")  # SciPy's words
        quat = np.roll(quat, -1, axis=-1) if scalar_first else quat
        self._quat = quat / np.linalg.norm(quat, axis=-1, keepdims=True) if normalize else quat

    # making

    @classmethod
    def from_quat(cls, quat: Any, *, scalar_first: bool = False) -> Rotation:
        return cls(quat, scalar_first=scalar_first)

    @classmethod
    def from_rotvec(cls, rotvec: Any, degrees: bool = False) -> Rotation:
        rotvec = doubles(rotvec)
        rotvec = np.deg2rad(rotvec) if degrees else rotvec
        half = np.linalg.norm(rotvec, axis=-1, keepdims=True) / 2.0
        return cls(np.concatenate([rotvec * (np.sinc(half / np.pi) / 2.0), np.cos(half)], axis=-1), normalize=False)

    @classmethod
    def from_matrix(cls, matrix: Any, *, assume_valid: bool = False) -> Rotation:
        raise UnsupportedError("Rotation.from_matrix of traced values", where=here(),
                               why="SciPy makes the nearest rotation of it, and looks at its numbers",
                               fix="use the matrix itself, or scipy.linalg.polar(matrix)[0]")  # fmt: skip

    @classmethod
    def from_euler(cls, seq: str, angles: Any, degrees: bool = False) -> Rotation:
        angles = doubles(angles)
        of_scipy().from_euler(seq, np.zeros(angles.shape))  # which says what is wrong
        angles = np.deg2rad(angles) if degrees else angles
        if len(seq) == 1:
            angles = angles[..., None] if not angles.ndim or angles.shape[-1] != 1 else angles
        made: Any = None
        for k, letter in enumerate(seq):
            one = _about("xyz".index(letter.lower()), angles[..., k])
            made = one if made is None else _times(one, made) if seq.islower() else _times(made, one)
        return cls(made, normalize=False)

    # what it is

    @property
    def single(self) -> bool:
        return bool(self._quat.ndim == 1)

    def __len__(self) -> int:
        if self.single:
            raise TypeError("Single rotation has no len().")
        return int(self._quat.shape[0])

    def __getitem__(self, key: Any) -> Rotation:
        if self.single:
            raise TypeError("Single rotation is not subscriptable.")
        return Rotation(self._quat[key], normalize=False)

    def as_quat(self, canonical: bool = False, *, scalar_first: bool = False) -> Any:
        quat = self._quat
        if canonical:
            quat = np.where(self._first_sign() < 0, -quat, quat)
        return np.roll(quat, 1, axis=-1) if scalar_first else quat

    def _first_sign(self) -> Any:
        """Of the scalar, or of the first part that is not 0."""
        if not known(self._quat):
            return self._quat[..., 3:]
        bare = np.roll(np.asarray(plain(self._quat)), 1, axis=-1)
        return np.take_along_axis(bare, np.argmax(bare != 0, axis=-1)[..., None], -1)

    def as_matrix(self) -> Any:
        x, y, z, w = (self._quat[..., k] for k in range(4))
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    def as_rotvec(self, degrees: bool = False) -> Any:
        quat = self._quat * np.where(self._quat[..., 3:] < 0, -1.0, 1.0)
        half = np.arctan2(np.linalg.norm(quat[..., :3], axis=-1, keepdims=True), quat[..., 3:])
        made = quat[..., :3] * (2.0 / np.sinc(half / np.pi))
        return np.rad2deg(made) if degrees else made

    def as_euler(self, seq: str, degrees: bool = False) -> Any:
        """By half-angles (E. Bernardes & S. Viollet 2022)."""
        of_scipy().from_quat([0.1, 0.2, 0.3, 0.9]).as_euler(seq)  # which says what is wrong
        fixed = seq.islower()
        i, j, k = ("xyz".index(letter) for letter in (seq.lower() if fixed else seq.lower()[::-1]))
        proper = i == k
        k = 3 - i - j if proper else k
        sign = float((i - j) * (j - k) * (k - i) // 2)
        q = [self._quat[..., axis] for axis in range(4)]
        if proper:
            a, b, c, d = q[3], q[i], q[j], q[k] * sign
        else:
            a, b, c, d = q[3] - q[j], q[i] + q[k] * sign, q[j] + q[3], q[k] * sign - q[i]
        if known(self._quat) and min(np.min(np.hypot(plain(a), plain(b))), np.min(np.hypot(plain(c), plain(d)))) < 1e-7:
            raise TraceError("Rotation.as_euler where two of the axes fall together", where=here(),
                             why="two angles are not determined there (gimbal lock)",
                             fix="use as_matrix or as_rotvec")  # fmt: skip
        plus, minus = np.arctan2(b, a), np.arctan2(d, c)
        middle = 2.0 * np.arctan2(np.hypot(c, d), np.hypot(a, b))
        first, third = plus - minus, plus + minus
        if not proper:
            third, middle = third * sign, middle - np.pi / 2
        made = np.stack([first, middle, third] if fixed else [third, middle, first], axis=-1)
        made = np.where(made < -np.pi, made + 2 * np.pi, np.where(made > np.pi, made - 2 * np.pi, made))
        return np.rad2deg(made) if degrees else made

    def magnitude(self) -> Any:
        return 2.0 * np.arctan2(np.linalg.norm(self._quat[..., :3], axis=-1), np.abs(self._quat[..., 3]))

    # what is done with it

    def inv(self) -> Rotation:
        return Rotation(self._quat * np.array([-1.0, -1.0, -1.0, 1.0]), normalize=False)

    def __mul__(self, other: Any) -> Rotation:
        return Rotation(_times(self._quat, _quaternion(other)))

    def __rmul__(self, other: Any) -> Rotation:
        return Rotation(_times(_quaternion(other), self._quat))

    def apply(self, vectors: Any, inverse: bool = False) -> Any:
        vectors = doubles(vectors)
        if vectors.ndim not in (1, 2) or vectors.shape[-1] != 3:
            raise ValueError(f"Expected input of shape (3,) or (P, 3), got {vectors.shape}.")  # SciPy's words
        matrix = self.as_matrix()
        return np.einsum("...ji,...j->...i" if inverse else "...ij,...j->...i", matrix, vectors)


def of_scipy() -> Any:
    """SciPy's class."""
    return vars(sys.modules["scipy.spatial.transform._rotation"])["Rotation"]


def _quaternion(rotation: Any) -> Any:
    return rotation._quat if isinstance(rotation, Rotation) else rotation.as_quat()


def _class(*args: Any, **kwargs: Any) -> Rotation:
    return Rotation(*args, **kwargs)


_class.class_methods = {
    name: getattr(Rotation, name) for name in ("from_quat", "from_rotvec", "from_matrix", "from_euler")
}
# of SciPy's rotations, applied to traced vectors or multiplied by traced rotations
METHODS: dict[str, Callable[..., Any]] = {
    "apply": lambda rotation, vectors, inverse=False: Rotation(rotation.as_quat()).apply(vectors, inverse),
}
FUNCTIONS: dict[str, dict[str, Any]] = {"scipy.spatial.transform": {"Rotation": _class}}
