"""The networks, in NumPy's names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.nets.listed import network


def dense(g: Any, *shape: int, gain: float = 1.0) -> Any:
    return gain * g.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))


def linears(g: Any, *sizes: int, gain: float = 1.4) -> dict[str, Any]:
    """Weights and biases of layers a0, a1, …"""
    pairs = list(pairwise(sizes))
    return {f"w{k}": dense(g, a, b, gain=gain) for k, (a, b) in enumerate(pairs)} | {
        f"b{k}": np.zeros(b) for k, (_, b) in enumerate(pairs)
    }


def relu(xp: Any, x: Any) -> Any:
    return xp.maximum(x, 0.0)


def convs(g: Any, *shapes: tuple[int, ...]) -> dict[str, Any]:
    return {f"c{k}": dense(g, *shape, gain=1.4) for k, shape in enumerate(shapes)} | {
        f"d{k}": np.zeros(shape[-1]) for k, shape in enumerate(shapes)
    }


def images(g: Any, batch: int, side: int, channels: int) -> tuple[Any, Any]:
    return g.standard_normal((batch, side, side, channels)), g.integers(0, 10, batch)


@network(lambda g: (convs(g, (5, 5, 1, 6), (5, 5, 6, 16)) | linears(g, 400, 120, 84, 10), *images(g, 64, 28, 1)),
         "cross_entropy")  # fmt: skip
def lenet_5(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    x = lib.pool(relu(xp, lib.conv(x, p["c0"], "same") + p["d0"]))
    x = lib.pool(relu(xp, lib.conv(x, p["c1"]) + p["d1"])).reshape(len(x), 400)
    for k in range(2):
        x = relu(xp, x @ p[f"w{k}"] + p[f"b{k}"])
    return x @ p["w2"] + p["b2"]


@network(lambda g: (convs(g, (3, 3, 3, 16), (3, 3, 16, 16), (3, 3, 16, 32), (3, 3, 32, 32)) | linears(g, 32, 10),
                    *images(g, 32, 32, 3)), "cross_entropy")  # fmt: skip
def convolutions(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    for k in range(4):
        x = relu(xp, lib.conv(x, p[f"c{k}"], "same") + p[f"d{k}"])
        x = lib.pool(x) if k == 1 else x
    return xp.mean(x, axis=(1, 2)) @ p["w0"] + p["b0"]


@network(lambda g: (convs(g, (3, 3, 1, 16), (3, 3, 16, 32), (3, 3, 32, 64)) | linears(g, 64, 10),
                    *images(g, 64, 28, 1)), "cross_entropy")  # fmt: skip
def strided(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    for k in range(3):
        x = relu(xp, lib.conv(x, p[f"c{k}"], "same", 2) + p[f"d{k}"])
    return xp.mean(x, axis=(1, 2)) @ p["w0"] + p["b0"]


@network(lambda g: (convs(g, (7, 4, 16), (5, 16, 32), (3, 32, 32)) | linears(g, 32, 5),
                    g.standard_normal((32, 256, 4)), g.integers(0, 5, 32)), "cross_entropy")  # fmt: skip
def signals(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    for k in range(3):
        x = relu(xp, lib.conv(x, p[f"c{k}"], "same") + p[f"d{k}"])
        x = lib.pool(x) if k < 2 else x
    return xp.mean(x, axis=1) @ p["w0"] + p["b0"]


@network(lambda g: (convs(g, (3, 3, 3, 16), (1, 1, 16, 32), (1, 1, 32, 32)) | linears(g, 32, 10)
                    | {"k0": dense(g, 3, 3, 16, gain=3.0), "k1": dense(g, 3, 3, 32, gain=4.0)},
                    *images(g, 32, 32, 3)), "cross_entropy")  # fmt: skip
def separable(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    x = relu(xp, lib.conv(x, p["c0"], "same", 2) + p["d0"])
    for k in range(2):
        x = relu(xp, lib.depthwise(x, p[f"k{k}"]) @ p[f"c{k + 1}"][0, 0] + p[f"d{k + 1}"])
    return xp.mean(x, axis=(1, 2)) @ p["w0"] + p["b0"]


def recurrent(g: Any, gates: int, steps: int, width: int = 64, inputs: int = 16, batch: int = 32) -> Any:
    p = {"x": dense(g, inputs, gates * width), "h": dense(g, width, gates * width), "b": np.zeros(gates * width)}
    return p | linears(g, width, 4), g.standard_normal((batch, steps, inputs)), g.integers(0, 4, batch)


def sigmoid(xp: Any, x: Any) -> Any:
    return 1.0 / (1.0 + xp.exp(-x))


def loop(xp: Any, lib: Any, step: Any, state: Any, x: Any) -> Any:
    for t in range(x.shape[1]):
        state = step(state, x[:, t])
    return state


def scan(xp: Any, lib: Any, step: Any, state: Any, x: Any) -> Any:
    return lib.scan(lambda state, x: (step(state, x), None), state, xp.swapaxes(x, 0, 1))[0]


def rnn(over: Any) -> Any:
    def f(xp: Any, lib: Any, p: Any, x: Any) -> Any:
        h = xp.zeros((len(x), 64), x.dtype)
        h = over(xp, lib, lambda h, x: xp.tanh(x @ p["x"] + h @ p["h"] + p["b"]), h, x)
        return h @ p["w0"] + p["b0"]

    return f


def gru(over: Any) -> Any:
    def f(xp: Any, lib: Any, p: Any, x: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            a, b = x @ p["x"] + p["b"], h @ p["h"]
            r, z = lib.sigmoid(a[:, :64] + b[:, :64]), lib.sigmoid(a[:, 64:128] + b[:, 64:128])
            return (1.0 - z) * xp.tanh(a[:, 128:] + r * b[:, 128:]) + z * h

        return over(xp, lib, step, xp.zeros((len(x), 64), x.dtype), x) @ p["w0"] + p["b0"]

    return f


def lstm(over: Any) -> Any:
    def f(xp: Any, lib: Any, p: Any, x: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            h, c = state
            i, f, u, o = xp.split(x @ p["x"] + h @ p["h"] + p["b"], 4, axis=1)
            c = lib.sigmoid(f) * c + lib.sigmoid(i) * xp.tanh(u)
            return lib.sigmoid(o) * xp.tanh(c), c

        zero = xp.zeros((len(x), 64), x.dtype)
        return over(xp, lib, step, (zero, zero), x)[0] @ p["w0"] + p["b0"]

    return f


for kind, gates in ((rnn, 1), (gru, 3), (lstm, 4)):
    for over, lengths in ((loop, (16,)), (scan, (16, 100))):
        for length in lengths:
            f = kind(over)
            f.__name__ = f"{kind.__name__}_{over.__name__}_{length}"
            network(lambda g, gates=gates, length=length: recurrent(g, gates, length), "cross_entropy")(f)


def layer_norm(xp: Any, x: Any, scale: Any, shift: Any) -> Any:
    d = x - xp.mean(x, axis=-1, keepdims=True)
    return d / xp.sqrt(xp.mean(d * d, axis=-1, keepdims=True) + 1e-5) * scale + shift


def block_of(tokens: int, width: int) -> Any:
    def made(g: Any) -> Any:
        p = {"qkv": dense(g, width, 3 * width), "o": dense(g, width, width), "up": dense(g, width, 4 * width),
             "down": dense(g, 4 * width, width), "s0": np.ones(width), "t0": np.zeros(width), "s1": np.ones(width),
             "t1": np.zeros(width), "u": np.zeros(4 * width), "v": np.zeros(width)}  # fmt: skip
        return p | linears(g, width, 10), g.standard_normal((32, tokens, width)), g.integers(0, 10, 32)

    return made


def transformer(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    b, t, d = x.shape
    h = layer_norm(xp, x, p["s0"], p["t0"]) @ p["qkv"]
    q, k, v = (xp.transpose(part.reshape(b, t, 4, d // 4), (0, 2, 1, 3)) for part in xp.split(h, 3, axis=-1))
    heads = lib.softmax(q @ xp.swapaxes(k, -1, -2) / np.sqrt(d // 4).item()) @ v
    x = x + xp.transpose(heads, (0, 2, 1, 3)).reshape(b, t, d) @ p["o"]
    x = x + lib.gelu(layer_norm(xp, x, p["s1"], p["t1"]) @ p["up"] + p["u"]) @ p["down"] + p["v"]
    return xp.mean(x, axis=1) @ p["w0"] + p["b0"]


for tokens, width in ((16, 32), (32, 64), (64, 128)):

    def f(xp: Any, lib: Any, p: Any, x: Any) -> Any:
        return transformer(xp, lib, p, x)

    f.__name__ = f"transformer_{tokens}_{width}"
    network(block_of(tokens, width), "cross_entropy")(f)


@network(lambda g: ({"table": g.standard_normal((20_000, 64))} | linears(g, 64, 64, 4),
                    g.integers(0, 20_000, (32, 50)), g.integers(0, 4, 32)), "cross_entropy")  # fmt: skip
def text(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    x = xp.mean(p["table"][x], axis=1)
    return relu(xp, x @ p["w0"] + p["b0"]) @ p["w1"] + p["b1"]


def vae_data(g: Any) -> Any:
    p = {"in": dense(g, 196, 128), "mean": dense(g, 128, 16, gain=0.5), "spread": dense(g, 128, 16, gain=0.5),
         "out": dense(g, 16, 128), "back": dense(g, 128, 196)}  # fmt: skip
    x = np.concatenate([g.random((64, 196)), g.standard_normal((64, 16))], 1)
    return p, x, x


@network(vae_data, "elbo")
def vae(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    h = xp.tanh(x[:, :196] @ p["in"])
    mean, spread = h @ p["mean"], h @ p["spread"]
    z = mean + xp.exp(0.5 * spread) * x[:, 196:]
    return xp.concatenate([xp.tanh(z @ p["out"]) @ p["back"], mean, spread], axis=1)


def autoencoder_data(g: Any) -> Any:
    x = g.standard_normal((64, 196))
    return linears(g, 196, 64, 16, 64, 196), x, x


@network(autoencoder_data)
def autoencoder(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    for k in range(4):
        x = x @ p[f"w{k}"] + p[f"b{k}"]
        x = xp.tanh(x) if k < 3 else x
    return x


def residual_data(g: Any) -> Any:
    p = linears(g, 20, *[128] * 9, 10) | {f"s{k}": np.ones(128) for k in range(4)}
    return p | {f"t{k}": np.zeros(128) for k in range(4)}, g.standard_normal((64, 20)), g.integers(0, 10, 64)


def batch_norm(xp: Any, x: Any, scale: Any, shift: Any) -> Any:
    d = x - xp.mean(x, axis=0)
    return d / xp.sqrt(xp.mean(d * d, axis=0) + 1e-5) * scale + shift


def residual(xp: Any, p: Any, x: Any, norm: Any) -> Any:
    x = x @ p["w0"] + p["b0"]
    for k in range(4):
        h = norm(xp, x, p[f"s{k}"], p[f"t{k}"])
        h = relu(xp, h @ p[f"w{2 * k + 1}"] + p[f"b{2 * k + 1}"])
        x = x + h @ p[f"w{2 * k + 2}"] + p[f"b{2 * k + 2}"]
    return x @ p["w9"] + p["b9"]


@network(residual_data, "cross_entropy")
def residual_layer_norm(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    return residual(xp, p, x, layer_norm)


@network(residual_data, "cross_entropy")
def residual_batch_norm(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    return residual(xp, p, x, batch_norm)


def experts_data(g: Any) -> Any:
    p = {
        "gate": dense(g, 32, 8),
        "up": dense(g, 32, 64, 8).transpose(2, 0, 1),
        "down": dense(g, 64, 16, 8).transpose(2, 0, 1),
    }
    return p, g.standard_normal((128, 32)), g.standard_normal((128, 16))


@network(experts_data)
def experts(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    h = relu(xp, xp.einsum("bi,eij->ebj", x, p["up"]))
    return xp.einsum("ebj,ejo,be->bo", h, p["down"], lib.softmax(x @ p["gate"]))


def graphs(g: Any) -> Any:
    a = (g.random((32, 24, 24)) < 0.2) + np.eye(24)
    a /= a.sum(-1, keepdims=True)
    return linears(g, 16, 64, 64, 4), np.concatenate([a, g.standard_normal((32, 24, 16))], -1), g.integers(0, 4, 32)


@network(graphs, "cross_entropy")
def graph(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    a, x = x[..., :24], x[..., 24:]
    for k in range(2):
        x = relu(xp, a @ (x @ p[f"w{k}"]) + p[f"b{k}"])
    return xp.mean(x, axis=1) @ p["w2"] + p["b2"]


@network(lambda g: (linears(g, 2, 32, 32, 1, gain=1.0), g.uniform(-1, 1, (256, 2)), np.zeros((256, 1))))
def pinn(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    """Residuals of u_t + u·u_x = 0.01·u_xx."""

    def u(x: Any) -> Any:
        for k in range(2):
            x = xp.tanh(x @ p[f"w{k}"] + p[f"b{k}"])
        return x @ p["w2"] + p["b2"]

    d_x, d_t = (xp.zeros_like(x) + np.eye(2, dtype=x.dtype)[k] for k in (0, 1))

    def u_x(x: Any) -> Any:
        return lib.jvp(u, (x,), (d_x,))

    (value, first), (_, second) = lib.jvp(u_x, (x,), (d_x,))
    return lib.jvp(u, (x,), (d_t,))[1] + value * first - 0.01 * second


@network(lambda g: (linears(g, 8, 64, 8, gain=1.0), *(g.standard_normal((2, 64, 8)))))
def neural_ode(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    def slope(x: Any) -> Any:
        return xp.tanh(x @ p["w0"] + p["b0"]) @ p["w1"] + p["b1"]

    for _ in range(10):
        a = slope(x)
        b = slope(x + 0.05 * a)
        c = slope(x + 0.05 * b)
        x = x + (0.1 / 6) * (a + 2.0 * b + 2.0 * c + slope(x + 0.1 * c))
    return x


@network(lambda g: (linears(g, 4, 64, 64, 64, 1), g.standard_normal((32, 50, 4)), g.standard_normal((32, 1))))
def sets(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    x = relu(xp, relu(xp, x @ p["w0"] + p["b0"]) @ p["w1"] + p["b1"])
    return relu(xp, xp.mean(x, axis=1) @ p["w2"] + p["b2"]) @ p["w3"] + p["b3"]


@network(lambda g: (linears(g, 64, 64, 3) | {"frequencies": dense(g, 2, 32, gain=5.0)}, g.uniform(-1, 1, (256, 2)),
                    g.random((256, 3))))  # fmt: skip
def fourier_features(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    x = x @ p["frequencies"]
    x = xp.concatenate([xp.sin(x), xp.cos(x)], axis=1)
    return relu(xp, x @ p["w0"] + p["b0"]) @ p["w1"] + p["b1"]


def conv_relu(xp: Any, lib: Any, p: Any, k: int, x: Any) -> Any:
    return relu(xp, lib.conv(x, p[f"c{k}"], "same") + p[f"d{k}"])


def beside(xp: Any, small: Any, large: Any) -> Any:
    """Each entry of the small image four times, with the channels of the large one."""
    return xp.concatenate([xp.repeat(xp.repeat(small, 2, axis=1), 2, axis=2), large], axis=-1)


@network(lambda g: (convs(g, (3, 3, 1, 8), (3, 3, 8, 8), (3, 3, 8, 16), (3, 3, 16, 16), (3, 3, 16, 32), (3, 3, 48, 16),
                          (3, 3, 24, 8)) | linears(g, 8, 1), *g.standard_normal((2, 16, 32, 32, 1))))  # fmt: skip
def unet(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    a = conv_relu(xp, lib, p, 1, conv_relu(xp, lib, p, 0, x))
    b = conv_relu(xp, lib, p, 3, conv_relu(xp, lib, p, 2, lib.pool(a)))
    x = conv_relu(xp, lib, p, 4, lib.pool(b))
    x = conv_relu(xp, lib, p, 5, beside(xp, x, b))
    return conv_relu(xp, lib, p, 6, beside(xp, x, a)) @ p["w0"] + p["b0"]


@network(lambda g: (convs(g, (3, 3, 3, 8), (3, 3, 8, 8), (3, 3, 16, 8), (3, 3, 24, 8)) | linears(g, 32, 10),
                    *images(g, 32, 16, 3)), "cross_entropy")  # fmt: skip
def densely_connected(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    x = conv_relu(xp, lib, p, 0, x)
    for k in range(1, 4):
        x = xp.concatenate([x, conv_relu(xp, lib, p, k, x)], axis=-1)
    return xp.mean(x, axis=(1, 2)) @ p["w0"] + p["b0"]


def dilated_data(g: Any) -> Any:
    p = {f"{name}{k}": dense(g, 2, 16, 16) for k in range(5) for name in ("f", "g")}
    p |= {f"o{k}": dense(g, 16, 16) for k in range(5)} | {"in": dense(g, 1, 16)} | linears(g, 16, 16, 1)
    return p, *g.standard_normal((2, 16, 200, 1))


@network(dilated_data)
def dilated(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    """Gated causal convolutions of two places, 1, 2, … 16 apart (WaveNet)."""
    x, total = x @ p["in"], 0.0
    for k in range(5):
        before = xp.pad(x, [(0, 0), (2**k, 0), (0, 0)])[:, : -(2**k)]
        a, b = (before @ p[f"{name}{k}"][0] + x @ p[f"{name}{k}"][1] for name in ("f", "g"))
        h = xp.tanh(a) * lib.sigmoid(b) @ p[f"o{k}"]
        x, total = x + h, total + h
    return relu(xp, relu(xp, total) @ p["w0"] + p["b0"]) @ p["w1"] + p["b1"]


EDGES = np.random.default_rng(1).integers(0, 300, (2, 1500))  # from, to


@network(lambda g: (linears(g, 16, 32, 32, 4), g.standard_normal((1, 300, 16)), g.standard_normal((1, 300, 4))))
def messages(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    """Along a list of edges; one sample is what all nodes of a graph have."""
    x = x[0]
    for k in range(2):
        x = x @ p[f"w{k}"]
        x = relu(xp, lib.sums(x[EDGES[0]], EDGES[1], 300) + x + p[f"b{k}"])
    return (x @ p["w2"] + p["b2"])[None]
