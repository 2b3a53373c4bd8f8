"""Programs that write into arrays, and what is asked of each: NumPy's value, and right derivatives."""

from __future__ import annotations

import numpy as np

import payback as pb

X = np.array([0.5, 1.25, 2.0])


def check(f, *args, order=2):
    """NumPy's value, and derivatives that agree with finite differences."""
    expected = f(*[np.array(a) if np.ndim(a) else a for a in args])
    value, _ = pb.vjp(f, *args)
    assert np.allclose(value, expected, rtol=1e-13, atol=1e-13)
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    pb.check_grads(f, *args, order=order, rtol=1e-5, atol=1e-6)


def writes(out, x, index):
    out[index] = x
    return out


def augmented(x):
    out = np.ones(3)
    out[1:] += x[1:]
    out[0] *= x[0]
    out[[0, 2]] -= x[:2]
    out[out > 1.5] *= 2
    out /= 3
    return out


def triangle(x):
    out = np.zeros((3, 3))
    for i in range(3):
        for j in range(i + 1):
            out[i, j] = x[i] * x[j]
            out[j][i] = out[i][j] + i
    return out @ x


def recurrence(x):
    u = np.zeros((6, 2))
    u[0] = x[:2]
    for i in range(5):
        u[i + 1] = u[i] + 0.1 * np.array([u[i, 1], -np.sin(u[i, 0])])
        if i:
            u[i - 1, 0] = u[i, 1]
    return u


def swap(x):
    y = np.array(x)
    y[0], y[2] = y[2] * 1.0, y[0] * 2.0
    y[[0, 1]] = y[[1, 0]]
    return y * x


def stencil(x):
    u = np.zeros(8)
    u[2:5] = x
    for _ in range(4):
        u[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return u


def masks(x):
    y = x * 1.0
    y[y > 1] *= 2
    y[~(y > 1)] = 0
    out = np.where(x > 1, 0.0, np.ones(3))
    out = np.array(out)
    out[x > 1] = np.log(y[x > 1])
    return out + y


def overlap(x):
    y = np.arange(5.0)
    y[:3] = x
    y[1:] = y[:-1]
    y[:] = y[::-1]
    y[1:] += y[:-1]
    return y


def copyto(x):
    out, other = np.zeros(3), x * 2
    np.copyto(out, x)
    np.copyto(other, x * x, where=X > 1)
    filled = np.zeros(2)
    filled.fill(x[1])
    return out * other + filled.sum()


def add_at(x):
    out = np.zeros((2, 3))
    np.add.at(out, (0, np.array([0, 0, 2])), x)
    np.subtract.at(out, (slice(None), [1, 1]), x[0])
    y = x * 1.0
    np.add.at(y, [0, 0], x[1:])
    return out * y


def ufunc_out(x):
    out = np.empty(3)
    np.multiply(x, x, out=out)
    np.sin(out, out)
    np.add(out, 1.0, out=out)
    y = x * 2
    np.exp(x, out=y)
    return out * y


def iteration(x):
    out = np.zeros((3, 2))
    for k, row in enumerate(out):
        row[:] = x[k]
        row[1] *= x[0]
    return sum(row * 2 for row in out) + np.array([v.sum() for v in out])[:2]


def axes(x):
    out = np.zeros((2, 1, 3))
    out.swapaxes(0, 2)[0] = x[0]
    np.moveaxis(out, 0, -1)[0, 1] = x[:2]
    np.squeeze(out)[1] *= x
    out.ravel()[0] = x[1]
    return out


def plain_over(x):
    out = np.zeros(4)
    out[:3] = x
    out[1] = 7.0
    out[2:] = [1, 2]
    assert isinstance(out[1], np.float64)
    assert out[1] == 7
    y = x * 2
    y[0] = 3
    return out.sum() * y


LOOPS = {
    "augmented": augmented,
    "triangle": triangle,
    "recurrence": recurrence,
    "swap": swap,
    "stencil": stencil,
    "masks": masks,
    "overlap": overlap,
    "copyto": copyto,
    "add.at": add_at,
    "ufunc out": ufunc_out,
    "iteration": iteration,
    "swapped axes": axes,
    "plain over traced": plain_over,
}
