"""Random programs as users write them, as source text: NumPy's functions in all their ways, writes through views,
branches, loops, helpers, closures and objects.  NumPy itself runs each program while it is written: what it refuses, or
what grows, is left out.

In a template {a}, {b} and {w} stand for names, {w} for one of an array; {r} for a number, {k} for a small whole one;
NEW for a name that is made.
"""

from __future__ import annotations

import linecache
import re
import warnings
from typing import Any

import numpy as np

from programs import templates

# fmt: off
ENTRYWISE = [
    "np.sin({a})", "np.tanh({a})", "{a} * {a}", "-{a}", "abs({a})", "np.exp(np.tanh({a}))", "np.log({a} * {a} + 1.0)",
    "np.sqrt({a} * {a} + 0.5)", "{a} ** 2", "{a} ** 3", "({a} ** 2 + 0.3) ** 0.5", "2.0 ** np.tanh({a})",
    "np.arctan2({a}, 1.5)", "np.hypot({a}, 0.7)", "np.maximum({a}, {r})", "np.minimum({r}, {a})",
    "np.clip({a}, -0.7, 0.9)", "np.clip({a}, None, {r})", "np.where({a} > {r}, {a}, 0.5 * {a})",
    "np.where({a} > 0, np.log(np.abs({a}) + 1), np.sin({a}))", "1.0 / (1.0 + {a} * {a})", "{a} % 1.3",
    "{a} // 0.7 + {a}", "np.floor({a}) * {a}", "np.sign({a}) * {a}", "np.fmod({a}, 0.9)", "np.remainder({a}, -0.8)",
    "np.divmod({a}, 0.9)[1]", "np.modf({a})[0]", "np.rint({a}) - {a}", "np.nan_to_num({a})", "np.cbrt({a} + 3.0)",
    "np.sinc({a})", "np.i0({a} * 0.1)", "np.copysign({a}, {r})", "np.heaviside({a}, 0.5) * {a}",
    "np.logaddexp({a}, {r})", "np.square({a})", "np.reciprocal({a} * {a} + 1.0)",
    "np.float_power(abs({a}) + 0.5, 1.5)", "np.positive({a})", "np.deg2rad({a}) * 10", "np.arcsinh({a})",
    "np.log1p({a} ** 2)", "np.expm1(np.sin({a}))", "np.ldexp({a}, 1)", "np.spacing(1.0) + {a}", "np.real({a})",
    "np.conj({a})", "np.abs({a} + 0.3j)", "np.exp(0.5j * np.real({a})).real", "np.real(({a} + 1j) ** 2)",
    "np.angle({a} + 2j)", "({a} * (1 + 2j)).imag", "np.sqrt({a} + 1j).real",
    "np.vectorize(lambda z: z * z + 1.0)({a})", "np.apply_along_axis(lambda z: z * z.sum(), 0, {a})",
    "np.piecewise({a}, [{a} < 0, {a} >= 0], [lambda z: -z * 2, lambda z: z * z])",
    "np.select([{a} > 0.5, {a} < -0.5], [{a} ** 2, -{a}], {r})",
    "np.choose(np.array([0, 1]), [{a}[..., 0], {a}[..., -1]]) if np.ndim({a}) == 1 else {a} * 1.5",
    "np.float64({r}) * {a}", "np.interp({a}, [-2.0, 0.0, 0.7, 2.0], [0.0, 1.0, -1.0, 0.5])", "np.trapezoid({a})",
    "np.gradient({a}) if np.ndim({a}) == 1 and np.size({a}) > 1 else {a}", "np.diff({a})", "np.ediff1d({a})",
    "np.unwrap({a})", "np.convolve({a}, [0.2, 0.5, -0.3], 'same') if np.ndim({a}) == 1 else {a}",
]
PAIRS = [
    "{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / ({b} * {b} + 1.0)", "np.maximum({a}, {b})", "np.minimum({a}, {b})",
    "np.fmax({a}, {b})", "np.where({a} > {b}, {a}, {b} * 2.0)", "np.arctan2({a}, {b} + 3.0)", "np.hypot({a}, {b})",
    "np.logaddexp({a}, {b})", "np.logaddexp2({a}, {b})", "(np.abs({a}) + 0.5) ** np.tanh({b})",
    "np.power(np.abs({a}) + 0.5, {b})", "({a} > {b}) * {a}", "np.subtract({a}, {b}, dtype=float)",
    "np.copysign({a}, {b})", "{a} % ({b} * {b} + 0.4)", "np.where({a} > {b})[0] * 0.1",
    "(lambda p, q: p * q + p)({a}, {b})", "({a}, {b})[1]", "[{a}, {b}][0]", "{{'p': {a}, 'q': {b}}}['q']",
    "np.where(np.isfinite({a}), {a}, {b})", "{a} if np.sum({a}) > np.sum({b}) else {b}", "max({a}, {b})",
    "np.matmul({a}[..., None, :], {b}[..., :, None])",
]
MOVES = [
    "{a}.T", "{a}.reshape(-1)", "{a}[None]", "{a}[..., ::-1]", "{a}[..., :2]", "{a}[::2]", "{a}[1:]", "{a}[::-2]",
    "{a}[..., -1]", "{a}[..., None]", "{a}[-1:0:-1]", "{a}[..., [0, -1, 0]]", "{a}[ORDER]", "{a}[[1, 0]]",
    "{a}[np.array([[0, -1]])]", "{a}.ravel()", "{a}.ravel('F')", "{a}.flatten()", "np.squeeze({a})",
    "np.expand_dims({a}, 0)", "np.swapaxes({a}, 0, -1)", "np.moveaxis({a}, 0, -1)", "np.transpose({a})",
    "np.atleast_2d({a})", "np.flip({a})", "np.flip({a}, 0)", "np.fliplr({a})", "np.rot90({a})", "np.roll({a}, {k})",
    "np.roll({a}, 1, axis=0)", "np.tile({a}, 2)", "np.tile({a}, (2, 1))", "np.repeat({a}, 2)",
    "np.repeat({a}, 2, axis=0)", "np.repeat({a}, [1, 2], axis=0)", "np.pad({a}, 1)", "np.pad({a}, 1, mode='edge')",
    "np.pad({a}, (1, 2), mode='reflect')", "np.pad({a}, 1, mode='wrap')", "np.pad({a}, 1, constant_values={r})",
    "np.pad({a}, 1, mode='linear_ramp')", "np.pad({a}, 2, mode='mean')", "np.pad({a}, 2, mode='maximum')",
    "np.concatenate([{a}, {b}])", "np.concatenate([{a}, {b}], axis=-1)", "np.concatenate(({a}, {b}), axis=None)",
    "np.stack([{a}, {b}])", "np.stack([{a}, {b}], axis=-1)", "np.hstack([{a}, {b}])", "np.vstack([{a}, {b}])",
    "np.column_stack([{a}, {b}])", "np.dstack([{a}, {b}])", "np.block([[{a}, {b}]])", "np.append({a}, {b})",
    "np.array([{a}, {b}])", "np.array([[{a}, {b}], [{b}, {a}]])", "np.asarray([{a}, {b}, 1.0])",
    "np.insert({a}, 1, {r})", "np.delete({a}, 0)", "np.delete({a}, 1, axis=0)", "np.resize({a}, (2, 3))",
    "np.broadcast_to({a}, (2,) + np.shape({a}))", "np.broadcast_arrays({a}, {b})[0]", "np.split({a}, 2)[1]",
    "np.array_split({a}, 3)[0]", "np.array_split({a}, 2, axis=-1)[1]", "np.hsplit({a}, 2)[0]", "np.unstack({a})[0]",
    "np.triu({a})", "np.tril({a}, -1)", "np.diag({a})", "np.diagonal({a})", "np.trace({a})", "np.take({a}, [0, 2])",
    "np.take({a}, [0, -1], axis=-1)", "np.take({a}, 7, mode='wrap')", "np.take({a}, [9, 1], mode='clip')",
    "np.take_along_axis({a}, np.argsort({a}, axis=-1), axis=-1)", "np.compress([True, False, True], {a})",
    "np.extract({a} > 0, {a})", "{a}[{a} > 0]", "{a}[{a} > {r}].sum()", "{a}[np.nonzero({a} > 0)]",
    "{a}[np.where({a} < 0.5)]", "{a}[~({a} > 0)]", "{a}[np.ix_([0, 1], [1, 0])]", "{a}[[0, 1], [1, 0]]", "{a}[0]",
    "{a}[-1]", "{a}[0][...]", "{a}[()]", "{a}[...]", "{a}[:0]", "{a}[1:1]", "{a}.item(0) if np.size({a}) else 0.0",
    "{a}.flat[1]", "{a}.flat[::2]", "np.array(list({a}))", "np.fromiter(({a}.ravel()[q] for q in range(2)), float)",
    "{a}.swapaxes(0, 1)", "{a}.squeeze()", "{a}.copy()", "{a}.copy('F')", "np.asfortranarray({a})",
    "np.ascontiguousarray({a})", "{a}.astype(np.float64)", "{a}.astype(float, copy=False)", "{a}.view()", "{a}.real",
    "np.lib.stride_tricks.sliding_window_view({a}.ravel(), 2)", "np.meshgrid({a}.ravel()[:2], {b}.ravel()[:3])[0]",
    "np.kron({a}, {b})", "np.vander({a}, 3)", "np.fft.fftshift({a})", "np.rollaxis({a}, -1)", "np.array({a}, ndmin=3)",
    "np.array({a}, copy=True)",
]
REDUCTIONS = [
    "np.sum({a})", "np.sum({a}, axis=-1)", "np.sum({a}, axis=0, keepdims=True)", "np.sum({a}, axis=(0, -1))",
    "{a}.sum(0)", "np.sum({a}, where={a} > {r})", "np.sum({a}, initial={r})",
    "np.sum({a}, axis=0, where=np.array([True, False, True, True][:np.shape({a})[-1]]))", "np.mean({a})",
    "np.mean({a}, axis=-1, keepdims=True)", "np.mean({a}, where={a} > -5)", "{a}.mean(axis=0)", "np.std({a})",
    "np.std({a}, axis=0, ddof=1)", "np.var({a}, axis=-1)", "np.var({a}, mean=np.mean({a}))", "np.prod({a})",
    "np.prod({a}, axis=-1)", "np.max({a})", "np.max({a}, axis=-1)", "np.max({a}, initial={r})",
    "np.max({a}, where={a} < 1, initial=-3.0)", "np.min({a}, axis=0)", "{a}.min()",
    "np.amax({a}, axis=0, keepdims=True)", "np.ptp({a})", "np.median({a})", "np.median({a}, axis=0)",
    "np.quantile({a}, 0.3)", "np.quantile({a}, [0.2, 0.7], axis=0)", "np.percentile({a}, 40.0)",
    "np.average({a}, weights=np.abs({a}) + 1)", "np.average({a}, axis=0)", "np.linalg.norm({a})",
    "np.linalg.norm({a}, axis=-1)", "np.linalg.norm({a}, 1)", "np.linalg.norm({a}, np.inf)", "np.nansum({a})",
    "np.nanmean({a}, axis=0)", "np.nanmax({a})", "np.nanstd({a})", "np.cumsum({a})", "np.cumsum({a}, axis=0)",
    "np.cumsum({a}, axis=-1)", "np.cumprod({a}, axis=-1)", "np.maximum.accumulate({a})",
    "np.minimum.accumulate({a}, axis=-1)", "np.add.accumulate({a})", "np.multiply.accumulate({a})",
    "np.subtract.accumulate({a})", "np.add.reduce({a})", "np.multiply.reduce({a}, axis=-1)", "np.maximum.reduce({a})",
    "np.logaddexp.reduce({a})", "np.hypot.reduce({a})", "np.add.reduceat({a}, [0, 2])",
    "np.maximum.reduceat({a}, [0, 1])", "np.subtract.reduce({a})", "np.sort({a})", "np.sort({a}, axis=0)",
    "np.sort({a}, axis=None)", "np.partition({a}, 1)", "{a}[np.argsort({a})]", "{a}[np.argmax({a})]",
    "{a}.ravel()[np.argmin({a})]", "np.searchsorted(np.array([-1.0, 0.0, 1.0]), {a}) * {a}",
    "np.digitize({a}, [0.0, 1.0]) + {a}", "np.count_nonzero({a} > 0) * {a}", "np.any({a} > 1) * {a}",
    "np.all({a} < 2) + {a}", "np.bincount([0, 1, 1, 2], weights={a}.ravel()[:4])",
    "np.histogram({a}, bins=3, range=(-2, 2))[0] * 0.1", "np.cumulative_sum({a}.ravel(), include_initial=True)",
    "np.nancumsum({a})", "sum({a})", "max({a})", "min({a}.ravel().tolist())", "sorted({a}.ravel())[0]",
    "np.dot({a}, {b})", "{a} @ {b}", "np.matmul({a}, {b})", "np.inner({a}, {b})", "np.outer({a}, {b})",
    "np.vdot({a}, {b})", "np.tensordot({a}, {b}, 1)", "np.tensordot({a}, {b}, ([0], [0]))",
    "np.einsum('ij,ij->j', {a}, {a})", "np.einsum('ij->ji', {a})", "np.einsum('i,j->ij', {a}, {b})",
    "np.einsum('ii', {a})", "np.einsum('...i,i', {a}, {b})", "np.einsum('ij,jk', {a}, {b})",
    "np.multiply.outer({a}, {b})", "np.add.outer({a}, {b})", "np.cross({a}[..., :3], {b}[..., :3])", "{a} @ {a}.T",
    "np.linalg.det({a} @ {a}.T + np.eye(len({a})))", "np.linalg.inv({a} @ {a}.T + np.eye(len({a})))",
    "np.linalg.solve({a} @ {a}.T + np.eye(len({a})), {a})", "np.linalg.slogdet({a} @ {a}.T + np.eye(len({a})))[1]",
    "np.linalg.svd({a}, compute_uv=False)", "np.linalg.eigvalsh({a} + {a}.T)", "np.linalg.qr({a})[1]",
    "np.linalg.cholesky({a} @ {a}.T + np.eye(len({a})))", "np.linalg.pinv({a})", "np.linalg.matrix_power({a}, 2)",
    "np.linalg.multi_dot([{a}, {a}.T, {a}])", "np.linalg.lstsq({a}, {b})[0]", "np.corrcoef({a})", "np.cov({a})",
    "np.correlate({a}, {b})", "np.convolve({a}, {b})", "np.fft.fft({a}).real", "np.abs(np.fft.rfft({a})) ** 2",
    "np.fft.ifft({a}).imag", "np.polyval([1.0, -0.5, 0.2], {a})", "np.polyval({a}, {r})",
    "np.polyfit([0.0, 1.0, 2.0, 3.5], {a}, 1)", "np.poly({a})", "np.cumsum({a}[::-1])[::-1]",
    "np.isclose({a}, {b}) * {a}", "np.trim_zeros({a})", "np.matvec({a}, {b})", "np.vecdot({a}, {b})",
]
KINDS = [
    "{a}.astype(np.float32)", "{a} * np.float32(1.5)", "{a} * np.arange(np.shape({a})[-1])", "{a} + True",
    "{a} * np.int64(3)", "({a} > 0).astype(np.float64) * {a}", "{a} * ({a} > 0)",
    "{a} + np.array([1, 2, 3, 4], np.int32)[:np.shape({a})[-1]]", "np.float32({r}) + {a}",
    "np.full(np.shape({a}), 2) * {a}", "np.zeros_like({a}) + {a}", "np.ones_like({a}) * {a}",
    "np.full_like({a}, {r}) + {a}", "np.arange(4.0)[:np.shape({a})[-1]] * {a}", "np.linspace(0, 1, 3) * {a}",
    "np.linspace({a}, {b}, 3)", "np.linspace({a}, 1.0, 3)[..., 1]", "np.eye(np.shape({a})[-1]) @ {a}", "int(3) * {a}",
    "{a} * FACTOR", "{a} + TABLE", "{a} * SETTINGS['rate']", "{a} * SETTINGS['weights'][0]", "{a} + T[0, 1]",
    "np.array({a}, dtype=np.float32)", "np.asarray({a}, dtype=np.float64)", "complex(1, 2).real * {a}",
    "np.multiply({a}, 2, dtype=np.float32)", "np.sum({a}, dtype=np.float32)", "len({a}) * {a}", "{a}.size + {a}",
    "{a}.ndim * {a}", "np.shape({a})[0] * {a}", "np.astype({a}, np.float32)", "np.add(np.int8(2), {a})",
    "np.asarray({a}) * 1j * 1j", "np.real({a} * (2 - 1j))", "({a} + 1j * {b}).imag", "np.float16(0.5) * {a}",
]
WRITES = [
    "NEW = np.zeros(4); NEW[:2] = {a}", "NEW = np.zeros((3, 4)); NEW[1] = {a}",
    "NEW = np.empty(3); NEW[:] = {r}; NEW[0] = {a}", "NEW = np.zeros_like({a}); NEW[...] = {b}",
    "NEW = np.zeros(np.shape({a})); NEW += {a}", "NEW = [0.0] * 3; NEW[1] = {a}; NEW = np.array(NEW[1])",
    "NEW = np.full(3, 2.0); NEW[1:] *= {a}", "NEW = np.zeros((2, 4)); NEW[:, ::2] = {a}", "{w}[0] = {a}",
    "{w}[-1] = {b} * 0.5", "{w}[1:] = {a}", "{w}[::2] += {a}", "{w}[..., 0] = {a}", "{w}[..., -1] *= 2.0",
    "{w}[{w} > 0] = {r}", "{w}[{w} < 0] *= 0.5", "{w}[{w} > 0] = {a}[{w} > 0]", "{w}[[0, 1]] = {a}",
    "{w}[[0, 0]] += {a}", "{w}[::-1] = {w} * 2.0", "{w}[1:] += {w}[:-1]", "{w}[:-1] = {w}[1:]", "{w} += {a}",
    "{w} *= 0.5", "{w} -= {w}[0]", "{w} /= 2.0", "{w} **= 2", "{w} += 1", "{w}.fill({r})", "{w}.sort()",
    "{w}.T[0] = {a}", "{w}.flat[1] = {a}", "{w}.flat[:2] = {r}", "{w}.ravel()[0] = {a}", "{w}.reshape(-1)[1] = {a}",
    "np.add.at({w}, [0, 0, 1], {a})", "np.maximum.at({w}, [0, 1], {a})", "np.multiply.at({w}, [0, 0], 2.0)",
    "np.add({w}, {a}, out={w})", "np.multiply({w}, {a}, out={w}, where={w} > 0)", "np.sin({w}, out={w})",
    "np.copyto({w}, {a})", "np.copyto({w}, {a}, where={w} > 0)", "np.put({w}, [0, 2], {a})",
    "np.putmask({w}, {w} > 0, {r})", "np.place({w}, {w} > 0, [{r}])", "np.fill_diagonal({w}, {a})",
    "np.put_along_axis({w}, np.array([0]), {r}, None)", "np.clip({w}, -0.5, 0.5, out={w})", "np.cumsum({w}, out={w})",
    "np.sum({a}, axis=0, out={w})", "{w}[...] = {a}", "{w}[None][0, 0] = {a}", "NEW = {w}[1:]; NEW += 1.0",
    "NEW = {w}[::-1]; NEW[0] = {a}", "NEW = {w}.T; NEW *= 2.0", "NEW = {w}.view(); NEW[0] = {a}",
    "NEW = {w}.reshape(-1); NEW[:2] = {r}", "NEW = {w}[[0, 1]]; NEW += 5.0", "NEW = {w}; NEW += {a}",
    "NEW = {w}.copy(); NEW[0] = 0.0", "NEW = np.asarray({w}); NEW[0] = {r}", "NEW, M = {a}[0], {a}[1]; NEW = NEW * M",
    "NEW, *M = {a}; NEW = NEW + M[-1]", "NEW = np.split({w}, 2)[0]; NEW += {r}",
    "NEW = np.diagonal({w}) * 1.0; NEW[0] = {a}", "NEW = np.lib.stride_tricks.sliding_window_view({w}, 2).sum(-1)",
    "NEW = np.broadcast_to({a}, (2, 4)).copy(); NEW[0] = {b}", "NEW = np.einsum('ii->i', {w}); NEW[:] = {r}",
    "NEW = np.squeeze({w}); NEW[0] = {a}", "NEW = np.atleast_1d({a}); NEW[0] = {r}", "{w}[0], {w}[1] = {w}[1], {w}[0]",
    "{w}[[0, 1]] = {w}[[1, 0]]", "{w}[0] = {w}[1] = {a}", "NEW = float(len({a})) * {b}",
    "NEW = {a}; del NEW; NEW = {b}", "NEW = [q * 2 for q in {a}]; NEW = np.array(NEW)",
    "NEW = sum(q * q for q in {a})", "NEW = {{q: {a}[q] for q in range(2)}}; NEW = NEW[0] + NEW[1]",
    "NEW = list(map(lambda q: q + 1.0, {a})); NEW = np.stack(NEW)",
    "NEW = [(p * q) for p, q in zip({a}, {b})]; NEW = np.array(NEW)", "NEW = {a} * 1.0; NEW[np.arange(2)] = {b}",
    "NEW = np.where({a} > 0, {a}, np.nan); NEW = NEW[~np.isnan(NEW)]", "NEW = next(iter({a})) * 2.0",
    "NEW = np.zeros(2); NEW[0], NEW[1] = {a}, {b}", "NEW = {a}[..., 0] if {a}.ndim > 1 else {a}",
    "NEW = np.zeros(4); NEW[1:3] = {a}; NEW[2:] += NEW[:2]", "{w} = {w} + 0.0; {w}[0] = {a}",
]
LOOPS = [
    "for i in range(2):", "for i in range(2, -1, -1):", "for i, each in enumerate({a}):", "for each in {a}:",
    "for each in ({a}, {b}):", "for i in range(len({a})):",
]
BRANCHES = [
    "np.sum({a}) > {r}", "{a}.ndim > 1", "np.max({a}) > 0.5 and np.min({b}) < 1", "not np.any({a} > 1)", "0 < s < 1",
    "len({a}) > 3", "isinstance({a}, np.ndarray)", "isinstance({a}, float)", "np.size({a}) > 2",
    "np.allclose({a}, {b})", "hasattr({a}, 'shape')",
]
SHAPED = [0, 1, 5, 6, 8, 10]  # the branches that do not look at numbers
IDIOMS = [
    "NEW = {a}; def step(z):;     nonlocal NEW;     NEW = NEW * 0.5 + z; step({b}); step(0.3)",
    "state = {{'k': {a}, 'n': 0}}; for _ in range(2):;     state['k'] = state['k'] + {b};     state['n'] += 1; "
    "NEW = state['k'] * state['n']",
    "try:;     NEW = {a}[7]; except (IndexError, TypeError):;     NEW = {b} * 1.0",
    "past = [{a}]; while len(past) < 3:;     past.append(np.tanh(past[-1]) + {b}); NEW = past[-1]",
    "class Sum:;     def __init__(self, z):;         self.z = z;     def plus(self, y):;         self.z = self.z + y;"
    "         return self; NEW = Sum({a}).plus({b}).plus(1.0).z",
    "def parts():;     for each in {a}:;         yield each * 2; NEW = np.array(list(parts()))",
    "NEW = (lambda z, w={b}: z * w)({a})", "import functools; NEW = functools.reduce(lambda c, z: c * 0.5 + z, {a})",
    "assert np.all(np.isfinite({a})); NEW = {b} * 2.0", "with np.errstate(all='ignore'):;     NEW = {a} / 3.0",
    "NEW = 0; while np.sum({a}) > NEW and NEW < 3:;     NEW += 1",
]
# fmt: on
MAKING = [WRITES, templates.WRITES, templates.COMPLEX_WRITES]  # statements, which may make a name
FAMILIES = [ENTRYWISE] * 4 + [PAIRS] * 3 + [MOVES] * 5 + [REDUCTIONS] * 4 + [KINDS] * 2 + [WRITES] * 6
FAMILIES += [templates.FUNCTIONS] * 5 + [templates.WRITES] * 4 + [templates.COMPLEX] * 2 + [templates.COMPLEX_WRITES]


def arguments(seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed + 10_000)
    return rng.standard_normal((3, 4)), rng.standard_normal(4), float(rng.standard_normal())


def total(value: Any, k: int) -> Any:
    """A number of anything that a program makes, which depends on each of its floating entries in another way."""
    if np.iscomplexobj(value) and not isinstance(value, (list, tuple)):
        value = value.real + 0.7 * value.imag
    elif not hasattr(value, "dtype") or value.dtype.kind in "bi":
        if isinstance(value, (list, tuple)):
            return sum((total(part, k) for part in value), 0.0)
        return np.sum(np.asarray(value) * 0.3) if isinstance(value, float) else 0.0
    return np.sum(value * np.cos(np.arange(np.size(value)) * 0.7 + k + 0.3).reshape(np.shape(value)))


def function(source: str) -> Any:
    """The program, with its text where errors look for it."""
    space: dict[str, Any] = {
        "np": np, "total": total, "FACTOR": 1.7, "TABLE": np.array([0.3, -1.2, 0.8, 2.1]), "ORDER": np.array([2, 0, 1]),
        "T": np.array([[1.0, 2.0], [0.5, -1.0]]), "SETTINGS": {"rate": 0.5, "weights": [np.array([1.0, 2.0, -1.0])]},
    }  # fmt: skip
    name = f"<program {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), space)
    return space["f"]


class Writer:
    """A program `f(x, v, s)` that returns a number and all that it has made.

    wide: computes in double precision throughout; known: looks at no number, so that it can be compiled.
    """

    def __init__(self, seed: int, wide: bool = True, known: bool = False):
        self.rng, self.args, self.wide, self.known = np.random.default_rng(seed), arguments(seed), wide, known
        self.body: list[str] = []
        self.arrays = {"x": True, "v": True, "s": False}  # the names, and whether they are arrays
        self.made = 0
        wanted = int(self.rng.integers(3, 11))
        for _ in range(300):
            if len(self.body) >= wanted:
                break
            lines, names = self.statement()
            try:
                found = self.tried(self.body + lines, list(dict.fromkeys([*self.arrays, *names])))
            except Exception:  # NumPy takes it not: something else is written
                continue
            self.body += lines
            names = list(dict.fromkeys([*self.arrays, *names]))
            self.arrays = {name: isinstance(x, np.ndarray) for name, x in zip(names, found, strict=True)}
        self.source = self.text(self.body, list(self.arrays))

    def text(self, lines: list[str], names: list[str]) -> str:
        number = " + ".join(f"total({name}, {k})" for k, name in enumerate(names))
        return "\n".join(["def f(x, v, s):", *indented([*lines, f"return {number}, ({', '.join(names)},)"])])

    def tried(self, lines: list[str], names: list[str]) -> Any:
        """What NumPy makes of it.  Raises ValueError for what is too large or no number."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            number, found = function(self.text(lines, names))(*map(copied, self.args))
        if not np.isfinite(number) or not all(map(moderate, found)):
            raise ValueError("too large")
        return found

    def pick(self, choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def filled(self, template: str, names: list[str]) -> str:
        """The template with names and numbers; the last names are taken more often."""
        last = {key: self.pick(names) if self.rng.random() < 0.6 else names[-1] for key in "ab"}
        arrays = [name for name in names if self.arrays.get(name, True)]
        return template.format(**last, w=self.pick(arrays), k=self.rng.integers(-2, 4), r=round(self.rng.normal(), 2))

    def simple(self, names: list[str]) -> tuple[list[str], list[str]]:
        family = self.pick(FAMILIES)
        while "float32" in (line := self.filled(self.pick(family), names)) or "float16" in line:
            if not self.wide:
                break
        new = self.new()
        if not any(family is each for each in MAKING):
            return [f"{new} = {line}"], [new]
        return line.replace("NEW", new).split("; "), [new] if "NEW" in line else []

    def new(self) -> str:
        self.made += 1
        return f"t{self.made}"

    def statement(self) -> tuple[list[str], list[str]]:
        """Some lines, and the names that they make."""
        names, kind = list(self.arrays), self.rng.random()
        if kind < 0.70:
            return self.simple(names)
        if kind < 0.78:
            head, target = self.filled(self.pick(LOOPS), names), self.pick(names)
            inner = [*names, "each"] if "each" in head else names
            lines = self.simple(inner)[0] + self.pick([[], self.simple(inner)[0]])
            lines = [line.replace("[0]", "[i]") if " i" in head else line for line in lines]
            added = self.pick(inner)
            lines.append(self.pick([f"{target} = {target} * 0.9 + {added}", f"{target} += {added}"]))
            return [head, *indented(lines)], []
        if kind < 0.85:
            asked = self.pick([BRANCHES[k] for k in SHAPED] if self.known else BRANCHES)
            (high, made), (low, other) = self.simple(names), self.simple(names)
            if made and other:
                low = [re.sub(rf"\b{other[0]}\b", made[0], line) for line in low]
            head = f"if {self.filled(asked, names)}:"
            return [head, *indented(high), "else:", *indented(low)], made if other else []
        if kind < 0.92:
            lines, made = self.simple(["p", "q"])
            end, new = self.pick(["", " * k", f" + {self.pick(names)}"]), self.new()
            head, call = "def helper(p, q=0.5, k=FACTOR):", f"{new} = helper({self.pick(names)}, {self.pick(names)})"
            return [head, *indented([*lines, f"return {(made or ['p'])[0]}{end}"]), call], [new]
        new = self.new()
        idiom = self.pick(IDIOMS[:-3] if self.known else IDIOMS + templates.IDIOMS)
        return self.filled(idiom, names).replace("NEW", new).split("; "), [new]


def indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def copied(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x


def moderate(value: Any) -> bool:
    """Whether a value is a number or array that can be compared, or holds such."""
    if isinstance(value, (list, tuple)):
        return len(value) < 60 and all(map(moderate, value))
    array = np.asarray(value)
    if array.dtype.kind not in "fcbiu" or array.size > 60 or array.ndim > 4:
        return callable(value)
    return bool(np.all(np.isfinite(array)) and np.all(abs(array) < 200))
