"""Networks and what is trained beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.programs.listed import program


def dense(g: Any, *shape: int) -> Any:
    return g.standard_normal(shape) / np.sqrt(shape[-2] if len(shape) > 1 else 1.0)


def sigmoid(xp: Any, x: Any) -> Any:
    return 1.0 / (1.0 + xp.exp(-x))


def softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def log_softmax(xp: Any, x: Any) -> Any:
    x = x - xp.max(x, axis=-1, keepdims=True)
    return x - xp.log(xp.sum(xp.exp(x), axis=-1, keepdims=True))


def gelu(xp: Any, x: Any) -> Any:
    return 0.5 * x * (1.0 + xp.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def layer_norm(xp: Any, x: Any, scale: Any, shift: Any) -> Any:
    centered = x - xp.mean(x, axis=-1, keepdims=True)
    return centered / xp.sqrt(xp.mean(centered**2, axis=-1, keepdims=True) + 1e-5) * scale + shift


def attend(xp: Any, x: Any, p: Any, mask: Any) -> Any:
    b, t, d = x.shape
    q, k, v = (xp.transpose((x @ p[name]).reshape(b, t, 4, d // 4), (0, 2, 1, 3)) for name in "qkv")
    scores = q @ xp.swapaxes(k, -1, -2) / np.sqrt(d // 4).item()
    heads = softmax(xp, xp.where(mask, scores, -1e9)) @ v
    return xp.transpose(heads, (0, 2, 1, 3)).reshape(b, t, d) @ p["o"]


def attention_data(g: Any) -> Any:
    x, y = g.standard_normal((2, 8, 64, 64))
    return {name: dense(g, 64, 64) for name in "qkvo"}, x, y, np.tril(np.ones((64, 64), bool))


def block_data(g: Any) -> Any:
    p, x, y, mask = attention_data(g)
    p |= {"scale": np.ones((2, 64)), "shift": np.zeros((2, 64)), "up": dense(g, 64, 256), "down": dense(g, 256, 64),
          "a": np.zeros(256), "b": np.zeros(64)}  # fmt: skip
    return p, x, y, mask


@program(attention_data)
def attention(xp: Any, lib: Any, p: Any, x: Any, y: Any, mask: Any) -> Any:
    return xp.mean((attend(xp, x, p, mask) - y) ** 2)


@program(block_data)
def norm_gelu(xp: Any, lib: Any, p: Any, x: Any, y: Any, mask: Any) -> Any:
    h = layer_norm(xp, x, p["scale"][0], p["shift"][0])
    return xp.mean((x + gelu(xp, h @ p["up"] + p["a"]) @ p["down"] + p["b"] - y) ** 2)


@program(block_data)
def transformer(xp: Any, lib: Any, p: Any, x: Any, y: Any, mask: Any) -> Any:
    x = x + attend(xp, layer_norm(xp, x, p["scale"][0], p["shift"][0]), p, mask)
    h = layer_norm(xp, x, p["scale"][1], p["shift"][1])
    return xp.mean((x + gelu(xp, h @ p["up"] + p["a"]) @ p["down"] + p["b"] - y) ** 2)


@program(lambda g: ((dense(g, 5, 16, 8), dense(g, 5, 16, 16)), g.standard_normal((32, 8, 256))))
def conv_1d_slices(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    for w in p:
        k, n = w.shape[0], x.shape[2] - w.shape[0] + 1
        x = xp.tanh(sum(xp.einsum("bcl,oc->bol", x[:, :, i : i + n], w[i]) for i in range(k)))
    return xp.mean(x**2)


@program(lambda g: (dense(g, 16, 27), g.standard_normal((16, 3, 32, 32))))
def conv_2d_einsum(xp: Any, lib: Any, w: Any, x: Any) -> Any:
    windows = xp.stack([x[:, :, i : i + 30, j : j + 30] for i in range(3) for j in range(3)], 2)
    return xp.mean(xp.maximum(xp.einsum("bckyx,ock->boyx", windows, w.reshape(16, 3, 9)), 0.0) ** 2)


@program(lambda g: ((dense(g, 16, 3, 3, 3) / 3, dense(g, 16, 16, 3, 3) / 7), g.standard_normal((8, 3, 32, 32))))
def conv_2d_windows(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    for w in p:
        x = xp.maximum(lib.correlate(x, w), 0.0)
    return xp.mean(x**2)


def cross_entropy(xp: Any, logits: Any, labels: Any) -> Any:
    return -xp.mean(log_softmax(xp, logits)[xp.arange(len(labels)), labels])


def lenet_data(g: Any) -> Any:
    p = {"c": dense(g, 6, 1, 5, 5), "d": dense(g, 16, 6, 5, 5) / 4, "e": dense(g, 256, 120), "f": dense(g, 120, 84),
         "out": dense(g, 84, 10)}  # fmt: skip
    return p, g.standard_normal((32, 1, 28, 28)), g.integers(0, 10, 32)


@program(lenet_data)
def lenet(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    for name in "cd":
        x = xp.maximum(lib.correlate(x, p[name]), 0.0)
        b, c, h, w = x.shape
        x = xp.max(x.reshape(b, c, h // 2, 2, w // 2, 2), axis=(3, 5))
    return cross_entropy(xp, xp.tanh(xp.tanh(x.reshape(32, 256) @ p["e"]) @ p["f"]) @ p["out"], y)


def residual_data(g: Any) -> Any:
    p = [(dense(g, 16, 16, 3, 3) / 12, np.ones((16, 1, 1)), np.zeros((16, 1, 1))) for _ in range(2)]
    return p, g.standard_normal((8, 16, 16, 16))


@program(residual_data)
def residual_block(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    h = x
    for w, scale, shift in p:
        h = lib.correlate(xp.pad(xp.maximum(h, 0.0), ((0, 0), (0, 0), (1, 1), (1, 1))), w)
        h = h - xp.mean(h, axis=(0, 2, 3), keepdims=True)
        h = h / xp.sqrt(xp.mean(h**2, axis=(0, 2, 3), keepdims=True) + 1e-5) * scale + shift
    return xp.mean((x + h) ** 2)


@program(lambda g: (g.standard_normal((3, 3)), g.standard_normal((256, 256))))
def conv_2d_slices(xp: Any, lib: Any, w: Any, x: Any) -> Any:
    y = sum(w[i, j] * x[i : i + 254, j : j + 254] for i in range(3) for j in range(3))
    return xp.mean(xp.tanh(y) ** 2)


def lstm_step(xp: Any, p: Any, h: Any, c: Any, x: Any) -> Any:
    i, f, o, u = xp.split(x @ p["x"] + h @ p["h"] + p["b"], 4, axis=1)
    c = sigmoid(xp, f) * c + sigmoid(xp, i) * xp.tanh(u)
    return sigmoid(xp, o) * xp.tanh(c), c


def lstm_data(g: Any) -> Any:
    p = {"x": dense(g, 16, 128), "h": dense(g, 32, 128), "b": np.zeros(128)}
    return p, g.standard_normal((30, 32, 16)), g.standard_normal((32, 32))


@program(lstm_data)
def lstm_loop(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    h = c = xp.zeros_like(y)
    for t in range(30):
        h, c = lstm_step(xp, p, h, c, x[t])
    return xp.mean((h - y) ** 2)


@program(lstm_data)
def lstm_scan(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    def step(state: Any, x: Any) -> Any:
        return lstm_step(xp, p, *state, x), None

    (h, _), _ = lib.scan(step, (xp.zeros_like(y), xp.zeros_like(y)), x)
    return xp.mean((h - y) ** 2)


@program(lambda g: ({"x": dense(g, 16, 96), "h": dense(g, 32, 96)}, g.standard_normal((30, 32, 16))))
def gru_scan(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        a, b = x @ p["x"], h @ p["h"]
        r, z = sigmoid(xp, a[:, :32] + b[:, :32]), sigmoid(xp, a[:, 32:64] + b[:, 32:64])
        h = (1.0 - z) * xp.tanh(a[:, 64:] + r * b[:, 64:]) + z * h
        return h, h

    _, hs = lib.scan(step, xp.zeros_like(x[0, :, :1] * p["h"][:1, :32]), x)
    return xp.mean(hs**2)


@program(lambda g: ((dense(g, 100, 10), np.zeros(10)), g.standard_normal((10_000, 100)), g.integers(0, 10, 10_000)))
def softmax_regression(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    return -xp.mean(log_softmax(xp, x @ p[0] + p[1])[xp.arange(10_000), y])


def vae_data(g: Any) -> Any:
    shapes = {"in": (196, 128), "mean": (128, 16), "spread": (128, 16), "out": (16, 128), "back": (128, 196)}
    return {n: 0.5 * dense(g, *s) for n, s in shapes.items()}, g.random((128, 196)), g.standard_normal((128, 16))


@program(vae_data)
def vae(xp: Any, lib: Any, p: Any, x: Any, noise: Any) -> Any:
    h = xp.tanh(x @ p["in"])
    mean, spread = h @ p["mean"], h @ p["spread"]
    z = mean + xp.exp(0.5 * spread) * noise
    logits = xp.tanh(z @ p["out"]) @ p["back"]
    likelihood = xp.sum(x * logits - xp.logaddexp(0.0, logits), axis=1)
    divergence = -0.5 * xp.sum(1.0 + spread - mean**2 - xp.exp(spread), axis=1)
    return xp.mean(divergence - likelihood)


@program(lambda g: ([(dense(g, 4, 32), dense(g, 32, 8) / 4) for _ in range(4)], g.standard_normal((256, 8))))
def coupling_flow(xp: Any, lib: Any, layers: Any, x: Any) -> Any:
    total = 0.0
    for a, b in layers:
        kept, moved = x[:, :4], x[:, 4:]
        out = xp.tanh(kept @ a) @ b
        s = xp.tanh(out[:, :4])
        total = total + xp.sum(s, axis=1)
        x = xp.concatenate([moved * xp.exp(s) + out[:, 4:], kept], axis=1)
    return xp.mean(0.5 * xp.sum(x**2, axis=1) - total)


@program(lambda g: (dense(g, 64, 32), g.standard_normal((256, 64)), g.standard_normal((256, 64))))
def contrastive(xp: Any, lib: Any, w: Any, x: Any, y: Any) -> Any:
    a, b = x @ w, y @ w
    a = a / xp.linalg.norm(a, axis=1, keepdims=True)
    b = b / xp.linalg.norm(b, axis=1, keepdims=True)
    s = a @ b.T / 0.1
    return -xp.mean(xp.diagonal(log_softmax(xp, s))) - xp.mean(xp.diagonal(log_softmax(xp, s.T)))


def batch_norm_data(g: Any) -> Any:
    p = {"a": dense(g, 64, 128), "scale": np.ones(128), "shift": np.zeros(128), "b": dense(g, 128, 10)}
    return p, g.standard_normal((256, 64)), g.random((256, 128)) < 0.8, g.standard_normal((256, 10))


@program(batch_norm_data)
def batch_norm_dropout(xp: Any, lib: Any, p: Any, x: Any, mask: Any, y: Any) -> Any:
    h = x @ p["a"]
    h = (h - xp.mean(h, axis=0)) / xp.sqrt(xp.var(h, axis=0) + 1e-5) * p["scale"] + p["shift"]
    h = xp.where(mask, xp.maximum(h, 0.0) / 0.8, 0.0)
    return xp.mean((h @ p["b"] - y) ** 2)


def actor_critic_data(g: Any) -> Any:
    p = {"w": dense(g, 6, 32), "b": np.zeros(32), "policy": dense(g, 32, 4), "value": dense(g, 32)}
    return p, g.standard_normal((128, 6)), g.integers(0, 4, 128), *g.standard_normal((2, 128)), -1.4 * np.ones(128)


@program(actor_critic_data)
def actor_critic(xp: Any, lib: Any, p: Any, x: Any, actions: Any, returns: Any, advantage: Any, before: Any) -> Any:
    h = xp.tanh(x @ p["w"] + p["b"])
    log_p = log_softmax(xp, h @ p["policy"])
    ratio = xp.exp(log_p[xp.arange(128), actions] - before)
    taken = xp.minimum(ratio * advantage, xp.clip(ratio, 0.8, 1.2) * advantage)
    entropy = -xp.mean(xp.sum(xp.exp(log_p) * log_p, axis=1))
    return 0.5 * xp.mean((returns - h @ p["value"]) ** 2) - xp.mean(taken) - 0.01 * entropy


@program(lambda g: ((dense(g, 2, 32), np.zeros(32), dense(g, 32, 2)), g.standard_normal((128, 2))))
def neural_ode(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    def field(x: Any) -> Any:
        return xp.tanh(x @ p[0] + p[1]) @ p[2]

    h = 0.05
    for _ in range(20):
        a = field(x)
        b = field(x + 0.5 * h * a)
        c = field(x + 0.5 * h * b)
        x = x + h / 6 * (a + 2 * b + 2 * c + field(x + h * c))
    return xp.mean(x**2)


@program(lambda g: ((dense(g, 2, 24), np.zeros(24), dense(g, 24, 24), np.zeros(24), dense(g, 24)), g.random((200, 2))))
def physics_informed(xp: Any, lib: Any, p: Any, points: Any) -> Any:
    def u(x: Any, t: Any) -> Any:
        h = xp.tanh(x * p[0][0] + t * p[0][1] + p[1])
        return xp.tanh(h @ p[2] + p[3]) @ p[4]

    def residual(z: Any) -> Any:
        u_t = lib.grad(u, 1)(z[0], z[1])
        u_xx = lib.grad(lib.grad(u, 0), 0)(z[0], z[1])
        return (u_t - 0.1 * u_xx) ** 2

    return xp.mean(lib.vmap(residual)(points))


@program(lambda g: ((dense(g, 10, 16), dense(g, 16, 10)), g.standard_normal((1000, 10))))
def jacobian_penalty(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    return xp.mean(lib.vmap(lib.jacobian(lambda x: xp.tanh(xp.tanh(x @ p[0]) @ p[1])))(x) ** 2)


def instance_norm_data(g: Any) -> Any:
    return (np.ones(8), np.zeros(8)), g.standard_normal((32, 16, 16, 8))


@program(instance_norm_data)
def instance_norm(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    """Images whose channels come last, in rows shorter than a vector."""
    mean = xp.mean(x, axis=(1, 2), keepdims=True)
    h = (x - mean) / xp.sqrt(xp.var(x, axis=(1, 2), keepdims=True) + 1e-5)
    return xp.mean(xp.tanh(h * p[0] + p[1]) ** 2)


def words_data(g: Any) -> Any:
    p = {"u": dense(g, 500, 16), "v": dense(g, 500, 16)}
    return p, *g.integers(0, 500, (2, 2000)), g.integers(0, 500, (2000, 5))


@program(words_data)
def skip_grams(xp: Any, lib: Any, p: Any, i: Any, j: Any, others: Any) -> Any:
    """Word vectors by their neighbors and by five words drawn for each (Mikolov 2013)."""
    word = p["u"][i]
    near = xp.sum(word * p["v"][j], axis=1)
    far = xp.einsum("nd,nkd->nk", word, p["v"][others])
    return xp.mean(xp.logaddexp(0.0, -near) + xp.sum(xp.logaddexp(0.0, far), axis=1))


def ranking_data(g: Any) -> Any:
    return dense(g, 20, 1), g.standard_normal((64, 30, 20)), g.integers(0, 4, (64, 30))


@program(ranking_data)
def pairwise_ranking(xp: Any, lib: Any, w: Any, x: Any, grades: Any) -> Any:
    """Of every two documents of a list the better one is to come first (Burges 2005)."""
    score = (x @ w)[:, :, 0]
    ahead = score[:, :, None] - score[:, None, :]
    better = grades[:, :, None] > grades[:, None, :]
    return xp.sum(xp.where(better, xp.logaddexp(0.0, -ahead), 0.0)) / 64


def classes_data(g: Any) -> Any:
    p = {"w": dense(g, 32, 100_000), "b": np.zeros(100_000)}
    return p, g.standard_normal((16, 32)), g.integers(0, 100_000, 16)


@program(classes_data)
def many_classes(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    scores = x @ p["w"] + p["b"]
    return xp.mean(lib.logsumexp(scores, axis=1) - scores[xp.arange(16), y])


def turned_data(g: Any) -> Any:
    return {name: dense(g, 64, 64) for name in "qkvo"}, g.standard_normal((4, 48, 64)), g.integers(0, 50, (4, 48))


@program(turned_data)
def rotary_attention(xp: Any, lib: Any, p: Any, x: Any, words: Any) -> Any:
    """Places are angles (Su 2021); words of the future and padding are masked."""
    b, t, d = x.shape
    h = d // 4
    angle = np.arange(t)[:, None] * 10_000.0 ** (-np.arange(h // 2) / (h // 2))
    cos, sin = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype)

    def turned(z: Any) -> Any:
        left, right = z[..., : h // 2], z[..., h // 2 :]
        return xp.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1)

    q, k, v = (xp.transpose((x @ p[name]).reshape(b, t, 4, h), (0, 2, 1, 3)) for name in "qkv")
    s = xp.einsum("bhqd,bhkd->bhqk", turned(q), turned(k)) / 4.0
    s = xp.where(np.tril(np.ones((t, t), bool)) & (words[:, None, None, :] > 5), s, -1e9)
    heads = xp.einsum("bhqk,bhkd->bhqd", softmax(xp, s), v)
    return xp.mean((xp.transpose(heads, (0, 2, 1, 3)).reshape(b, t, d) @ p["o"]) ** 2)


def kernel_attention_data(g: Any) -> Any:
    p = {"k": g.standard_normal((256, 16)), "v": g.standard_normal((256, 16)), "w": dense(g, 16, 16)}
    return p, g.standard_normal((256, 16))


@program(kernel_attention_data)
def linear_attention(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    """Attention by running sums (Katharopoulos 2020)."""

    def feature(z: Any) -> Any:
        return xp.where(z > 0, z + 1.0, xp.exp(z))

    q, k = feature(x @ p["w"]), feature(p["k"])
    pairs, total = xp.cumsum(k[:, :, None] * p["v"][:, None, :], axis=0), xp.cumsum(k, axis=0)
    return xp.mean((xp.einsum("td,tde->te", q, pairs) / xp.sum(q * total, axis=1)[:, None]) ** 2)


def molecule_data(g: Any) -> Any:
    p = {"a": dense(g, 33, 32), "b": dense(g, 32, 16), "c": dense(g, 32, 32), "d": dense(g, 32, 16)}
    return p, g.standard_normal((300, 16)), g.standard_normal((300, 3)), *g.integers(0, 300, (2, 3000))


@program(molecule_data)
def equivariant_messages(xp: Any, lib: Any, p: Any, h: Any, x: Any, i: Any, j: Any) -> Any:
    """Messages of features and distances (Satorras 2021)."""

    def silu(z: Any) -> Any:
        return z * sigmoid(xp, z)

    d = x[i] - x[j]
    m = xp.concatenate([h[i], h[j], xp.sum(d * d, axis=1, keepdims=True)], axis=1)
    m = silu(silu(m @ p["a"]) @ p["b"])
    u = xp.concatenate([h, lib.add_at(xp.zeros_like(h), i, m)], axis=1)
    return xp.mean((h + silu(u @ p["c"]) @ p["d"]) ** 2)


def experts_data(g: Any) -> Any:
    p = {"w": dense(g, 64, 128), "gate": dense(g, 64, 4), "o": dense(g, 4, 32, 8)}
    return p, g.standard_normal((512, 64)), g.standard_normal((512, 8))


@program(experts_data)
def mixture_of_experts(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    h = xp.maximum((x @ p["w"]).reshape(512, 4, 32), 0.0)
    return xp.mean((xp.einsum("nek,eko,ne->no", h, p["o"], softmax(xp, x @ p["gate"])) - y) ** 2)


@program(lambda g: ((dense(g, 8, 3, 3, 3) / 3, dense(g, 16, 8, 3, 3) / 8), g.standard_normal((8, 3, 33, 33))))
def strided_conv(xp: Any, lib: Any, p: Any, x: Any) -> Any:
    for w in p:
        n = (x.shape[2] - 3) // 2 + 1
        near = [(i, j, x[:, :, i : i + 2 * n - 1 : 2, j : j + 2 * n - 1 : 2]) for i in range(3) for j in range(3)]
        x = sum(xp.einsum("bcyx,oc->boyx", part, w[:, :, i, j]) for i, j, part in near)
        x = xp.maximum(x, 0.1 * x)
    return xp.mean(x**2)


@program(lambda g: ({"x": dense(g, 64, 256), "h": dense(g, 256, 256), "b": np.zeros(256)},
                    g.standard_normal((50, 64)), g.standard_normal(256)))  # fmt: skip
def one_sequence(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    """A recurrent network (Elman 1990) on a single sample."""

    def step(h: Any, x: Any) -> Any:
        return xp.tanh(x @ p["x"] + h @ p["h"] + p["b"]), None

    return xp.mean((lib.scan(step, xp.zeros_like(y), x)[0] - y) ** 2)


@program(lambda g: ((dense(g, 36, 64), dense(g, 64, 64), dense(g, 64, 4)), *g.random((2, 64, 32, 3))))
def volume_rendering(xp: Any, lib: Any, p: Any, x: Any, y: Any) -> Any:
    """Color and density along rays (Mildenhall 2020)."""
    waves = xp.concatenate([f(x * 2.0**k) for k in range(6) for f in (xp.sin, xp.cos)], axis=-1)
    out = xp.maximum(xp.maximum(waves @ p[0], 0.0) @ p[1], 0.0) @ p[2]
    a = 1.0 - xp.exp(-0.1 * xp.logaddexp(out[..., 3], 0.0))
    passed = xp.cumprod(xp.concatenate([xp.ones_like(a[:, :1]), 1.0 - a[:, :-1] + 1e-6], axis=1), axis=1)
    return xp.mean((xp.sum((a * passed)[..., None] * sigmoid(xp, out[..., :3]), axis=1) - y[:, 0]) ** 2)
