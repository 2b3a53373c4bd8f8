"""Random programs as users write them: NumPy code of many operations over arrays of all ranks, sizes, dtypes and layouts.

Entries are small multiples of 1/8, and each step is tried on plain NumPy while a program is written, so sums and
products are exact in whatever order they are added: until something is divided or goes through an elementary function,
results are compared to the bit, and no kink or comparison depends on rounding.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import payback as pb

SIZES = (0, 1, 1, 2, 2, 3, 3, 5, 8, 16, 17, 31, 33, 64, 100, 257, 1000)
FLOATS = (np.float32, np.float32, np.float32, np.float64, np.float64, np.float16)
INTS = (np.int64, np.int32, np.int8, np.uint8, np.int16, np.uint16, np.uint32)
LAYOUTS = ("C", "C", "F", "stepped", "reversed", "read-only", "unaligned", "transposed", "shared")
MOST = 30_000  # entries of a value, unless large ones are asked for


class Program(NamedTuple):
    """source of f; arguments; whether each result is exact (None: no number that is compared)."""

    source: str
    args: tuple[Any, ...]
    exact: bool
    seed: int

    @property
    def f(self) -> Callable[..., Any]:
        space: dict[str, Any] = {"np": np, "pb": pb}
        exec(self.source, space)
        return space["f"]

    def __str__(self) -> str:
        shown = [f"a{k} = {_shown(arg)}" for k, arg in enumerate(self.args)]
        return "\n".join([f"# seed {self.seed}", *shown, self.source])


def _shown(arg: Any) -> str:
    if isinstance(arg, np.ndarray) and arg.size > 40:
        return f"<{arg.dtype}{list(arg.shape)} strides {arg.strides}>"
    return repr(arg)


def eighths(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind in "iu":
        return np.asarray(rng.integers(0 if dtype.kind == "u" else -9, 10, shape), dtype)
    return np.asarray(rng.integers(-16, 17, shape) / 8.0, dtype)


def laid_out(rng: np.random.Generator, x: np.ndarray[Any, Any], layout: str) -> np.ndarray[Any, Any]:
    """The same entries, otherwise in memory."""
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "stepped" and x.ndim:
        room = np.full(tuple(2 * n + 1 for n in x.shape), 77, x.dtype)
        made = room[tuple(slice(1, 1 + 2 * n, 2) for n in x.shape)]
        made[...] = x
        return made
    if layout == "reversed" and x.ndim:
        made = x[tuple(slice(None, None, -1) for _ in x.shape)].copy()
        return made[tuple(slice(None, None, -1) for _ in x.shape)]
    if layout == "transposed" and x.ndim > 1:
        axes = tuple(int(a) for a in rng.permutation(x.ndim))
        return np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))
    if layout == "unaligned" and x.ndim:
        room = np.zeros(x.nbytes + 1, np.uint8)
        made = room[1:].view(x.dtype).reshape(x.shape)
        made[...] = x
        return made
    if layout == "read-only":
        x = x.copy()
        x.flags.writeable = False
    return x


UNARY = """-{a} | abs({a}) | np.sign({a}) | np.floor({a}) | np.ceil({a}) | np.rint({a}) | np.trunc({a}) | np.square({a}) |
{a} * 2 | {a} + 1 | 1 - {a} | {a} * 0.5 | {a} - 0.25 | np.maximum({a}, 0.5) | np.minimum({a}, 0) | np.clip({a}, -1, 1) |
pb.nn.relu({a}) | np.where({a} > 0, {a}, 0) | np.where({a} >= 0.5, {a}, -{a}) | {a} ** 2 | {a} > 0 | {a} == {a}.T |
{a} != 0.5 | ~({a} > 0) | np.isfinite({a}) | np.isnan({a}) | {a} * ({a} > 0) | np.heaviside({a}, 0.5) | +{a} |
np.copysign({a}, -1.0) | np.fmax({a}, 0.25) | np.clip({a}, None, 1) | np.positive({a}) | {a} % 3 | {a} // 2 |
np.fmod({a}, 2.0) | np.mod({a}, 1.5) | np.nan_to_num({a}) | np.logical_not({a}) | {a}.clip(-0.5, 0.75) | {a} ** 3 |
np.abs({a}) ** 1 | np.remainder({a}, -2) | np.array({a}) | np.asarray({a}) * 1 |
np.real({a}) | np.conj({a}) | np.float_power({a}, 2) | np.zeros_like({a}) + {a} | np.ones_like({a}) * {a}"""
INTEGER = """{a} & 3 | {a} | 5 | {a} ^ 2 | ~{a} | {a} // 2 | {a} % 3 | {a} // 3 * 2 | np.abs({a}) |
{a} ** 2 | {a} * 100 | {a} + 100 | -{a} | np.sign({a}) | {a} / 2 | {a} * 0.5 | np.bitwise_and({a}, 6) | {a} > 2 |
np.invert({a}) | {a} // -2 | {a} % -3 | np.where({a} > 1, {a}, 7) | np.minimum({a}, 3) | np.clip({a}, 0, 4) | 2 ** np.abs({a} % 4) |
np.floor_divide(7, {a}) | divmod({a}, 4)[0] | divmod({a}, -4)[1] | np.gcd({a}, 6) | {a}.astype(bool)"""
BOOLEAN = """~{a} | {a} & {b} | {a} ^ {b} | {a} + {b} | {a} * {b} | np.logical_xor({a}, {b}) | {a} * 1.5 | {a} * 2 | {a}.astype(int) |
np.where({a}, {b}, 0.5) | {a}.sum() | {a}.any() | {a}.all() | np.where({a}, 1, {b}) | np.maximum({a}, {b}) | {a} < {b} | {a} == {b} | np.logical_or({a}, {b})"""
BINARY = """{a} + {b} | {a} - {b} | {a} * {b} | np.maximum({a}, {b}) | np.minimum({a}, {b}) | np.where({a} > {b}, {a}, {b}) |
{a} < {b} | {a} >= {b} | {a} == {b} | np.where(({a} > 0) & ({b} < 1), {a}, {b} * 2) |
np.select([{a} > 1, {b} > 0], [{a}, {b}], 0.5) | np.fmin({a}, {b}) | np.heaviside({a}, {b}) | {a} - {b} * {a} |
np.clip({a}, {b}, 1.5) | np.logical_and({a}, {b}) | np.where({b}, {a}, {b}) | np.add({a}, {b}) | np.subtract({b}, {a}) | np.square({a} - {b})
"""
MOVES = """{a}.T | {a}.reshape(-1) | {a}.ravel() | {a}[None] | {a}[..., None] | {a}[..., ::-1] | {a}[::-1] | {a}[..., :2] | {a}[::2] |
{a}[..., 1:] | {a}[1::3] | {a}[..., -3:] | {a}[-1] | {a}[..., 0] | {a}[..., ::-2] | {a}[::-3] | {a}[:, ::-1] | {a}[:, None, 1:] |
np.concatenate([{a}, {a} * 2], axis=-1) | np.concatenate([{a}[::-1], {a}, {a}[:1]], axis=0) | np.stack([{a}, -{a}], axis=-1) |
np.stack([{a}, {a}, {a}]) | {a}[..., np.array([0, -1, 0])] | {a}[np.array([[0, -1], [-1, 0]])] | np.broadcast_to({a}, (2, *{a}.shape)) |
np.moveaxis({a}, 0, -1) | np.swapaxes({a}, 0, -1) | {a}.reshape({a}.shape[::-1]) | np.flip({a}) | np.flip({a}, axis=0) | np.roll({a}, 1) |
np.roll({a}, -2, axis=-1) | np.repeat({a}, 2, axis=-1) | np.tile({a}, 2) | np.squeeze({a}) | np.atleast_2d({a}) | np.tril({a}) | np.triu({a}, 1) |
np.diagonal({a}) | np.diag({a}) | np.diff({a}) | np.diff({a}, axis=0) | np.pad({a}, 1) | np.pad({a}, 1, mode='edge') | np.rot90({a}) |
np.sort({a}, axis=-1) | np.sort({a}, axis=0) | np.sort({a}, axis=None) | np.argsort({a}, axis=-1) | np.take({a}, np.array([0, -1]), axis=-1) |
np.cumsum({a}, axis=-1) | np.cumsum({a}) | np.cumsum({a}, axis=0) | np.split({a}, [1], axis=-1)[-1] | np.array_split({a}, 3)[1] | np.hstack([{a}, {a}]) |
np.vstack([{a}, {a}]) | np.column_stack([{a}, {a}]) | {a}[{i}] | {a}[..., {i}] | {a}[{i}, {i}] | {a}[{i}, :, {i}] | {a}[:, {i}] | {a}[{i}][..., ::-1] |
np.take_along_axis({a}, np.argsort({a}, axis=-1), axis=-1) | np.expand_dims({a}, (0, -1)) | np.ravel({a}, order='F') | {a}.reshape(-1, order='F') |
{a}.transpose(np.arange({a}.ndim)[::-1]) | np.broadcast_to({a}[..., None], {a}.shape + (3,)) | {a}[..., None] * {a}[..., None, :] | np.fliplr({a}) |
np.append({a}, {a}) | np.insert({a}, 1, 0.5) | np.delete({a}, 0, axis=-1) | {a}.flatten() | np.block([{a}, {a}]) | {a}.swapaxes(0, -1).reshape(-1) | np.kron({a}, np.array([1.0, -1.0])) |
{a}.take([0, -1, 0]) | np.trim_zeros(np.arange(3.0)) * {a}[..., :1] | np.meshgrid({a}.ravel()[:4], {a}.ravel()[:3])[0] | np.ediff1d({a}) | np.lib.stride_tricks.sliding_window_view({a}, 2, axis=-1)"""
REDUCE = """np.sum({a}) | np.sum({a}, axis=-1) | np.sum({a}, axis=0) | np.max({a}, axis=-1) | np.min({a}, axis=0, keepdims=True) | np.max({a}) | {a}.min() |
np.sum({a}, axis=(0, -1)) | np.sum({a}, axis=tuple(range({a}.ndim)), keepdims=True) | {a}.sum(axis=1) | np.argmax({a}, axis=-1) | np.argmin({a}) |
np.any({a} > 0, axis=-1) | np.all({a} > 0) | np.count_nonzero({a} > 0) | np.count_nonzero({a}, axis=0) | np.ptp({a}, axis=-1) | np.max({a}, axis=(0, -1)) |
{a}.sum(axis=0, keepdims=True) | np.trace({a}) | np.median({a}[..., :5], axis=-1) | np.sum({a}, axis=-1, dtype=np.float64) | np.amax({a}, axis=1) |
np.add.reduce({a}, axis=0) | np.maximum.reduce({a}, axis=-1) | np.sum({a}[..., ::-1], axis=-1) | np.sum({a}.T, axis=0) | np.max({a}[::2], axis=0) | np.sum({a}, where={a} > 0) |
np.sum({a} * {a}, axis=-1) | np.maximum.accumulate({a}, axis=-1) | np.nansum({a}, axis=0) | np.nanmax({a}) | np.argmax({a}, axis=0) | np.add.accumulate({a}, axis=0) | np.sum(abs({a}), axis=-2)"""
PRODUCT = """{a} @ {a}.T | {a} @ np.swapaxes({a}, -1, -2) | np.swapaxes({a}, -1, -2) @ {a} | {a} @ {b} | {b} @ {a} | np.dot({a}, {b}) | np.outer({a}[..., :9], {b}[..., :9]) | np.inner({a}, {a}) |
{a} @ {a} | np.einsum('ij,ij->j', {a}, {a}) | np.einsum('ij,kj->ik', {a}, {a}) | np.einsum('ii->i', {a}) | np.einsum('ii', {a}) | np.einsum('ij,jk', {a}, {b}) |
np.einsum('ijk,ik->ij', {a}, {b}) | np.einsum('i,j,k->ikj', {a}[:5], {a}[:4], {b}[:3]) | np.einsum('...i,...i', {a}, {a}) | np.einsum('ij->ji', {a}) | np.einsum('ij->', {a}) |
np.tensordot({a}, {a}, ([0], [0])) | np.tensordot({a}, {b}, 1) | np.vdot({a}, {a}) | np.einsum('ij,ji->i', {a}, {b}) | np.einsum('ijj->i', {a}) | np.einsum('ij,ik->ijk', {a}, {b}) |
np.matmul({a}, {a}.swapaxes(-1, -2)) | ({a}.T @ {a})[::-1] | ({a} @ {a}.T).sum(axis=0) | np.maximum({a} @ {a}.T, 0) | ({a} @ {a}.T) * ({a} @ {a}.T > 0) | np.linalg.multi_dot([{a}, {a}.T, {a}]) |
({a} @ {a}.T + 1.0) * 0.5 | ({a}[..., ::2] @ {a}[..., ::2].T) | {a}[::-1] @ {a}.T | np.einsum('iij->j', {a}) | np.einsum('ab,bc,cd->ad', {a}, {a}.T, {a}) | {a}[None] @ {b} | {a} @ {b}[..., None] |
np.convolve({a}, np.array([1.0, 0.5, -1.0])) | np.correlate({a}, np.array([1.0, 2.0]), 'full') | np.convolve({a}, {b}, 'same') | np.dot({a}[:, 0], {a}[:, -1]) | {a}[:, :1] @ {a}[:1] | {a}[:0].T @ {a}[:0]"""
ROUNDED = """np.mean({a}) | np.mean({a}, axis=-1) | np.mean({a}, axis=0, keepdims=True) | {a} / 3 | 1 / ({a} * {a} + 1) | {a} / ({b} * {b} + 0.5) | np.exp(np.minimum({a}, 2)) |
np.tanh({a}) | np.sin({a}) | np.cos({a} + 0.1) | pb.nn.sigmoid({a}) | pb.nn.softplus({a}) | np.log({a} * {a} + 1) | np.sqrt({a} * {a} + 0.25) | ({a} * {a} + 0.25) ** 1.5 | pb.nn.logsumexp({a}, axis=-1) |
{a} - np.mean({a}, axis=-1, keepdims=True) | np.expm1(np.sin({a})) | np.var({a}) | np.var({a}, axis=0) | np.std({a} + 0.3, axis=-1) | np.linalg.norm({a}) | np.linalg.norm({a}, axis=-1) | pb.nn.softmax({a}) |
pb.nn.log_softmax({a}, axis=0) | np.arctan({a}) | np.arctan2({a}, {b} * {b} + 0.5) | np.hypot({a}, {b} + 3.5) | np.log1p(abs({a})) | np.sinc({a}) | np.logaddexp({a}, {b}) | np.arcsinh({a}) | np.cbrt({a} * {a} + 1) |
np.exp2(np.minimum({a}, 1.5)) | np.prod(1 + {a}[..., :4] / 8, axis=-1) | np.cumprod(1 + {a}[..., :6] / 8, axis=-1) | np.average({a}, axis=0) | ({a} - np.mean({a}, axis=0)) / (np.std({a}, axis=0) + 0.5) |
np.cov({a}[..., :4, :6]) | np.power(abs({a}) + 0.5, {b} * 0.25) | np.linalg.solve({m} , {v}) | np.linalg.det({m}) | np.linalg.inv({m}) | np.linalg.norm({a}, axis=0, ord=1) | np.linalg.cholesky({m} @ {m}.T) |
np.interp({a}, np.array([-1.0, 0.0, 2.0]), np.array([0.0, 3.0, 1.0])) | np.tan({a} * 0.25) | np.sinh({a} * 0.5) | np.cosh({a} * 0.5) | np.arcsin(np.clip({a}, -2, 2) / 4) | np.deg2rad({a}) | np.degrees({a}) | np.reciprocal({a} * {a} + 1.0) |
np.linalg.slogdet({m})[1] | np.nanmean({a}) | np.log(pb.nn.softmax({a}) + 0.125) | np.exp({a} - np.max({a}, axis=-1, keepdims=True)) | np.quantile({a}[..., :7], 0.3, axis=-1) | np.trapezoid({a}) | np.gradient({a}.ravel()[:50])"""
CONTROL = """pb.scan(lambda c, x: (c * 0.5 + x.sum(), c + x), {s}, {a})[1] | pb.scan(lambda c, x: (np.maximum(c, x), c - x), {a}[0], {a})[0] | pb.scan(lambda c, x: (c + x, np.minimum(c, x)), {a}[0] * 0, {a}, reverse=True)[1] |
pb.cond(np.sum({a}) > 0, lambda x: x * 2, lambda x: -x, {a}) | pb.while_loop(lambda c: c[1] < 2.5, lambda c: (c[0] * 0.5 + 0.25, c[1] + 1), ({a}, 0.0), max_steps=5)[0] | pb.compile(lambda x: x * 2 + 1)({a}) |
pb.vmap(lambda x: x * x.sum())({a}) | pb.grad(lambda x: (x * x * 0.5).sum())({a}) | pb.vmap(lambda x: np.maximum(x, x[..., :1]), in_axes=-1, out_axes=-1)({a}) | pb.stop_gradient({a}) + {a} | pb.remat(lambda x: x * x)({a}) |
pb.cond({s} > 0, lambda x: x[::-1], lambda x: x * 0.5, {a}) | pb.random.uniform(pb.random.key(3), {a}.shape) * 0 + {a} | pb.scan(lambda c, x: (c * x[..., ::-1], None), {a}[0], {a}[:2])[0] | pb.jvp(lambda x: x * x, ({a},), ({a} * 0 + 1,))[1] |
np.floor(pb.random.uniform(pb.random.key(5), (2, 3), dtype=np.float32) * 16) + {s} | pb.vmap(lambda x, y: np.dot(x, y) if x.ndim == 1 else x * y)({a}, {a}) | pb.compile(lambda x: (x[::-1], x.sum()))({a})[0] | pb.scan(lambda c, i: (c + 1, c * 2), {s}, None, length=4)[1] |
pb.vmap(lambda x: pb.cond(x.sum() > 0, lambda y: y * 2, lambda y: y - 1, x))({a}) | np.where(pb.random.uniform(pb.random.key(9), {a}.shape) < 0.5, {a}, 0)"""
WRITES = (
    "{t}[...] = {a}", "{t}[0] = {t}[-1] * 2", "{t}[..., ::2] = {s}", "{t}[..., ::-1] = {t} * 1", "{t}[{i}] += 1.5", "{t}[..., 0] = {t}[..., -1]",
    "{t} += {a}", "{t} *= 0.5", "{t}[1:] = {t}[:-1]", "{t}[:, 1:] -= {t}[:, :-1]", "{t}[{i}, {i}] = {s}", "{t}[{t} > 0] = 0.25", "{t}[{t} > 0.5] *= 2",
    "np.add.at({t}, {i}, 2)", "{t}.T[0] = 1", "{t}.reshape(-1)[::3] = {s}", "{t}[::2] += {a}[::2]", "{t}[{i}] = {a}[{i}]", "for k in range(min(len({t}), 4)): {t}[k] = {t}[k - 1] + k",
    "{t}[..., -1:] = {a}[..., :1]", "{t}[...] -= {t}.sum()", "np.maximum({t}, 0, out={t})", "{t}.fill(0.5)", "{t}[None, ...][0, 0] = 3", "np.subtract({t}, {a}, out={t})", "{t}[[0, 0]] += 1", "{t}.sort()", "np.copyto({t}, {a})", "np.put({t}, [0, -1], [0.5, 1.0])",
)  # fmt: skip


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.replace("{a} | 5", "{a} + 5").split(" |") if part.strip()]


GROUPS: list[tuple[list[str], float, bool]] = [  # texts, how often, whether exact
    (_split(UNARY.replace("\n", " ")), 3.0, True),
    (_split(BINARY.replace("\n", " ")), 4.0, True),
    (_split(MOVES.replace("\n", " ")), 5.0, True),
    (_split(REDUCE.replace("\n", " ")), 2.0, True),
    (_split(PRODUCT.replace("\n", " ")), 3.0, True),
    (_split(CONTROL.replace("\n", " ")), 0.6, True),
    (_split(ROUNDED.replace("\n", " ")), 3.0, False),
]
_BY_DTYPE = {"b": _split(BOOLEAN.replace("\n", " ")), "i": _split(INTEGER.replace("\n", " "))}
_BY_DTYPE["u"] = _BY_DTYPE["i"]
_SUMS = (
    "sum",
    "@",
    "dot",
    "einsum",
    "cumsum",
    "inner",
    "convolve",
    "correlate",
    "vdot",
    "trace",
    "accumulate",
    "scan",
    "kron",
    "grad",
    "matmul",
    "add.at",
)


class Writer:
    """Writes one program."""

    def __init__(self, seed: int, steps: int | None = None, exact: bool | None = None, dtypes: Any = None,
                 control: bool = True, large: bool = False):  # fmt: skip
        """large: with arrays of so many entries that threads share the work."""
        self.seed = seed
        rng = self.rng = np.random.default_rng(seed)
        self.exact = bool(rng.random() < 0.5) if exact is None else exact
        self.steps = int(rng.integers(5, 30)) if steps is None else steps
        self.control, self.large, self.most = control, large, 10 * MOST if large else MOST
        self.values: dict[str, Any] = {}
        self.args: list[Any] = []
        self.lines: list[str] = []
        kinds = [rng.choice(FLOATS, p=[0.2, 0.2, 0.2, 0.15, 0.15, 0.1])] if rng.random() < 0.6 else list(FLOATS)
        if not self.exact:
            kinds = [k for k in kinds if k is not np.float16] or [np.float32]
        self.kinds = kinds if dtypes is None else dtypes
        self._arguments()

    def _arguments(self) -> None:
        rng = self.rng
        extents = [int(rng.choice(SIZES)) for _ in range(3)]  # few, so that shapes fit
        if self.large:
            extents = [int(rng.choice([100, 128, 160, 200, 257, 300])) for _ in range(2)]
        big = False
        for k in range(int(rng.integers(1, 5))):
            rank = int(rng.choice([0, 1, 1, 2, 2, 2, 3, 4]))
            shape = tuple(
                int(rng.choice(extents)) if rng.random() < 0.75 else int(rng.choice(SIZES[:9])) for _ in range(rank)
            )
            if self.large and (k == 0 or rng.random() < 0.5):
                shape = (extents[0], extents[1]) if rng.random() < 0.7 else (3, extents[0], extents[1])
            elif np.prod(shape, dtype=int) > MOST or (big and np.prod(shape, dtype=int) > 3000):
                shape = shape[:1]
            big = big or np.prod(shape, dtype=int) > 3000
            dtype = self.kinds[rng.integers(len(self.kinds))]
            chance = rng.random()
            if k and chance < 0.2:
                dtype = INTS[rng.integers(len(INTS))]
            elif k and chance < 0.28:
                dtype = np.bool_
            if k and rank == 0 and rng.random() < 0.6:
                value: Any = float(eighths(rng, (), np.float64))
            else:
                value = laid_out(rng, eighths(rng, shape, dtype), LAYOUTS[rng.integers(len(LAYOUTS))])
            if (
                k
                and isinstance(value, np.ndarray)
                and rng.random() < 0.05
                and isinstance(self.args[0], np.ndarray)
                and self.args[0].ndim
            ):
                value = self.args[0][::-1]  # arguments that share memory
            self.args.append(value)
            self.values[f"a{k}"] = value

    def _pick(self) -> str:
        pool = list(self.values)
        return pool[-1] if self.rng.random() < 0.45 else pool[self.rng.integers(len(pool))]

    def _partner(self, name: str, product: bool) -> str:
        """Another value, one that fits if there is one."""
        rng, a = self.rng, self.values[name]
        fits = []
        for other, b in self.values.items():
            try:
                if product:
                    np.shape(np.empty(np.shape(a), np.int8) @ np.empty(np.shape(b), np.int8))
                else:
                    np.broadcast_shapes(np.shape(a), np.shape(b))
            except ValueError:
                continue
            fits.append(other)
        return str(rng.choice(fits)) if fits and rng.random() < 0.9 else self._pick()

    def _index(self, a: Any) -> str:
        """An index array for the first axis."""
        rng = self.rng
        n = np.shape(a)[0] if np.ndim(a) else 1
        names = [
            x
            for x, v in self.values.items()
            if isinstance(v, np.ndarray) and v.dtype.kind in "iu" and v.ndim in (1, 2) and 0 < v.size < 300
        ]
        if names and rng.random() < 0.4 and n:
            chosen = rng.choice(names)
            return f"np.abs({chosen}) % {n}" if rng.random() < 0.7 else f"({chosen} % {n} - {n})"
        count = int(rng.choice([1, 2, 3, 7, 17]))
        numbers = rng.integers(-n, n, count).tolist() if n else []
        dtype = rng.choice(["np.int64", "np.int32", "np.int8"] if n < 128 else ["np.int64", "np.int32"])
        return f"np.array({numbers}, {dtype})"

    def _expression(self) -> tuple[str, bool]:
        rng = self.rng
        name = self._pick()
        a = self.values[name]
        kind = np.asarray(a).dtype.kind
        if np.ndim(a) == 0 and rng.random() < 0.6:  # numbers are many among the values, and less can be done with them
            name = self._pick()
            a = self.values[name]
            kind = np.asarray(a).dtype.kind
        weights = np.array([w for _, w, exact in GROUPS])
        weights *= [1.0 if exact or not self.exact else 0.0 for _, _, exact in GROUPS]
        if not self.control:
            weights[5] = 0
        texts, _, exact = GROUPS[rng.choice(len(GROUPS), p=weights / weights.sum())]
        if kind in _BY_DTYPE and rng.random() < 0.5:
            texts, exact = _BY_DTYPE[kind], True
        text = texts[rng.integers(len(texts))]
        if np.ndim(a) == 0 and (
            texts in (GROUPS[2][0], GROUPS[5][0]) or "axis" in text or "sort" in text
        ):  # NumPy takes a number for an array there
            text = "{a} * 2"
        if (
            (kind == "b" and ("**" in text or texts is GROUPS[5][0]))  # int8 of booleans
            or (isinstance(a, (int, float)) and "~" in text)  # ~True is -2
            or (kind != "f" and "pb.nn." in text)  # NumPy's exp of small whole numbers is a float16
        ):
            text = "{a} * 2"
        if rng.random() < 0.08:
            text = (
                "{a}.astype(np."
                + str(rng.choice(["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool"]))
                + ")"
            )
        b = self._partner(name, texts is GROUPS[4][0])
        s = next((x for x in list(self.values)[::-1] if np.ndim(self.values[x]) == 0), "0.5")
        square = "(np.eye(3) * 4 + np.arange(9.0).reshape(3, 3) * 0.125)"
        flat = f"({name}.reshape(-1)[:3])" if np.size(a) >= 3 else "np.ones(3)"
        return text.format(a=name, b=b, i=self._index(a), s=s, m=f"({square} * (1 + {s} * {s}))", v=flat), exact

    def write(self) -> Program:
        tries = 0
        while len(self.lines) < self.steps and tries < 20 * self.steps:
            tries += 1
            name = f"t{len(self.values)}"
            if self.rng.random() < 0.08:
                done = self._write(name)
            else:
                text, _ = self._expression()
                done = self._try(name, f"{name} = {text}", _is_sum(text))
            if done:
                continue
        return Program(self._source(), tuple(self.args), self.exact, self.seed)

    def _try(self, name: str, line: str, sums: bool) -> bool:
        space: dict[str, Any] = {"np": np, "pb": pb, **self.values}
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(line, space)
                made = space[name]
                if not self._good(made):
                    return False
                if sums and self.exact and np.asarray(made).dtype.kind == "f":
                    larger = {
                        "np": np,
                        "pb": pb,
                        **{k: abs(v) if np.asarray(v).dtype.kind == "f" else v for k, v in self.values.items()},
                    }
                    exec(line, larger)
                    if not _holds(np.asarray(larger[name]), np.asarray(made).dtype):
                        return False
        except Exception:
            return False
        self.values[name] = made
        self.lines.append(line)
        return True

    def _write(self, name: str) -> bool:
        a = self._pick()
        if np.ndim(self.values[a]) == 0:
            return False
        text = WRITES[self.rng.integers(len(WRITES))]
        other = self._partner(a, False)
        s = next((x for x in list(self.values)[::-1] if np.ndim(self.values[x]) == 0), "0.5")
        start = self.rng.choice([f"{a}.copy()", f"{a} * 1", f"np.array({a})", f"np.zeros({a}.shape, {a}.dtype) + {a}"])
        line = f"{name} = {start}\n" + text.format(t=name, a=other, s=s, i=self._index(self.values[a]))
        return self._try(name, line, True)

    def _good(self, made: Any) -> bool:
        if not isinstance(made, (np.ndarray, np.generic, float, int)) or isinstance(made, np.matrix):
            return False
        value = np.asarray(made)
        if value.size > self.most or value.ndim > 5 or value.dtype.kind not in "fiub":
            return False
        if value.dtype == np.float16 and not self.exact:
            return False
        if value.dtype.kind == "f":
            if not np.isfinite(value).all() or (value.size and np.max(np.abs(value)) > 2000):
                return False
            return not self.exact or _holds(value, value.dtype)
        return value.dtype.kind == "b" or not value.size or int(np.max(np.abs(value.astype(np.float64)))) < 2**52

    def _source(self) -> str:
        rng, names = self.rng, [n for n in self.values if n.startswith("t")] or ["a0"]
        results = list(dict.fromkeys([names[-1], *rng.choice(names, min(3, len(names)), replace=False).tolist()]))
        if rng.random() < 0.15:
            results.append(f"a{rng.integers(len(self.args))}")
        if rng.random() < 0.1:
            results.append(results[0])
        shape = rng.integers(3)
        given = ", ".join(results)
        if shape == 0:
            given = f"({given},)"
        elif shape == 1:
            given = "{" + ", ".join(f"'r{k}': {r}" for k, r in enumerate(results)) + "}"
        else:
            given = (
                f"[{results[0]}, ({', '.join(results[1:])}{',' if len(results) == 2 else ''})]"
                if len(results) > 1
                else results[0]
            )
        head = f"def f({', '.join(f'a{k}' for k in range(len(self.args)))}):\n"
        return head + textwrap.indent("\n".join([*self.lines, f"return {given}"]), "    ")


def _is_sum(text: str) -> bool:
    return any(word in text for word in _SUMS)


def _holds(value: np.ndarray[Any, Any], dtype: Any) -> bool:
    """Whether entries are multiples of 2⁻⁸, and so small that sums of their like are exact in the dtype."""
    if value.dtype.kind != "f" or not value.size:
        return True
    bits = {2: 11, 4: 24, 8: 53}[np.dtype(dtype).itemsize]
    wide = value.astype(np.float64)
    if not np.isfinite(wide).all():
        return False
    grain = 8
    scaled = wide * 2**grain
    return bool((scaled == np.rint(scaled)).all() and np.max(np.abs(scaled)) < 2.0**bits / 4)


def write(seed: int, **options: Any) -> Program:
    return Writer(seed, **options).write()
