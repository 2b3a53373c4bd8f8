"""Networks as people write them in plain NumPy, with parameters in dictionaries and lists.  None knows of payback."""

import itertools

import numpy as np

NETWORKS = {}


def network(made):
    """made(g): the parameters and the data, drawn anew for each test."""

    def add(f):
        NETWORKS[f.__name__.replace("_", " ")] = (f, made)
        return f

    return add


def dense(g, *shape):
    return g.standard_normal(shape) / np.sqrt(shape[-2])


def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def cross_entropy(logits, labels):
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))
    return -np.mean(log_p[np.arange(len(labels)), labels])


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def convolve(x, w, step=1):
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))[:, :, ::step, ::step]
    return np.einsum("bcyxkl,ockl->boyx", windows, w)


@network(lambda g: ({"c": dense(g, 4, 1, 3, 3), "b": np.zeros(4), "d": dense(g, 6, 4, 3, 3), "out": dense(g, 24, 3)},
                    g.standard_normal((5, 1, 14, 14)), g.integers(0, 3, 5)))  # fmt: skip
def lenet(p, x, y):
    """Convolutions and pools, of the largest and of the mean."""
    x = np.tanh(convolve(x, p["c"]) + p["b"][:, None, None])
    b, c, h, w = x.shape
    x = np.max(x.reshape(b, c, h // 2, 2, w // 2, 2), axis=(3, 5))
    x = convolve(x, p["d"])
    x = x * sigmoid(x)
    x = np.mean(x.reshape(b, 6, 2, 2, 2, 2), axis=(3, 5))
    return cross_entropy(x.reshape(b, -1) @ p["out"], y)


@network(lambda g: ({"in": dense(g, 4, 2, 3, 3), "scale": np.ones(4), "shift": np.zeros(4), "w": dense(g, 4, 4, 3, 3)},
                    g.standard_normal((3, 2, 15, 15))))  # fmt: skip
def residual_block(p, x):
    """Every second window; a batch norm; a block around which its argument is added."""
    x = convolve(x, p["in"], 2)
    h = x - np.mean(x, axis=(0, 2, 3), keepdims=True)
    h = h / np.sqrt(np.mean(h**2, axis=(0, 2, 3), keepdims=True) + 1e-5)
    h = np.tanh(h * p["scale"][:, None, None] + p["shift"][:, None, None])
    h = np.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.mean((x + convolve(h, p["w"])) ** 2)


@network(lambda g: ({"w": dense(g, 5, 4), "from": dense(g, 4, 1), "to": dense(g, 4, 1), "out": dense(g, 4, 3)},
                    g.standard_normal((9, 5)), g.integers(0, 9, (2, 20)), g.integers(0, 3, 9)))  # fmt: skip
def graph_attention(p, x, edges, y):
    h, (source, target) = x @ p["w"], edges
    score = (h @ p["from"])[source, 0] + (h @ p["to"])[target, 0]
    weight = np.exp(np.where(score > 0, score, 0.2 * score))
    total = np.full(9, 1e-6, x.dtype) + 0 * h[:, 0]
    np.add.at(total, target, weight)
    message = np.zeros_like(h)
    np.add.at(message, target, h[source] * (weight / total[target])[:, None])
    return cross_entropy(np.tanh(message) @ p["out"], y)


@network(lambda g: ({"h": dense(g, 7, 6), "key": dense(g, 6, 4), "gate": dense(g, 6, 1), "shift": dense(g, 6, 3),
                     "add": dense(g, 6, 4), "memory": g.standard_normal((5, 4))},
                    g.standard_normal((4, 2, 3))))  # fmt: skip
def neural_turing_machine(p, x):
    """Addressing by content, then by place."""
    memory = np.stack([p["memory"]] * 2)
    at, read = np.full((2, 5), 0.2, x.dtype), np.zeros((2, 4), x.dtype)
    for now in x:
        h = np.tanh(np.concatenate([now, read], axis=1) @ p["h"])
        key = h @ p["key"]
        norms = np.sqrt(np.sum(memory**2, axis=2) * np.sum(key**2, axis=1, keepdims=True) + 1e-6)
        near = softmax(2.0 * np.einsum("bnd,bd->bn", memory, key) / norms)
        gate, moved = sigmoid(h @ p["gate"]), softmax(h @ p["shift"])
        at = gate * near + (1 - gate) * at
        at = sum(moved[:, k : k + 1] * np.roll(at, k - 1, axis=1) for k in range(3))
        memory = memory * (1 - 0.5 * at[:, :, None]) + at[:, :, None] * (h @ p["add"])[:, None]
        read = np.einsum("bn,bnd->bd", at, memory)
    return np.sum(read**2)


@network(lambda g: ({"w": dense(g, 6, 4)}, g.standard_normal((12, 6))))
def connectionist_temporal_classification(p, x):
    """All alignments of a label with blanks between its letters, in logarithms."""
    label = np.array([0, 1, 0, 3, 0, 3, 0])
    logits = x @ p["w"]
    emit = (logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True)))[:, label]
    skips = np.r_[False, False, (label[2:] != 0) & (label[2:] != label[:-2])]
    nothing = np.full(7, -1e30, x.dtype)
    alpha = np.concatenate([emit[0, :2], nothing[2:]])
    for step in emit[1:]:
        one = np.concatenate([nothing[:1], alpha[:-1]])
        two = np.where(skips, np.concatenate([nothing[:2], alpha[:-2]]), nothing)
        alpha = np.logaddexp(np.logaddexp(alpha, one), two) + step
    return -np.logaddexp(alpha[-1], alpha[-2])


@network(lambda g: ({"w": 0.5 * g.standard_normal((3, 5, 4, 3))}, g.standard_normal((4, 5, 4)), g.integers(0, 3, 4)))
def capsules(p, x, y):
    """Routing by agreement, three rounds."""
    votes = np.einsum("bid,cidk->bcik", x, p["w"])
    logits = np.zeros_like(votes[..., 0])
    for _ in range(3):
        s = np.einsum("bci,bcik->bck", softmax(logits, 1), votes)
        squared = np.sum(s * s, axis=-1, keepdims=True)
        v = squared / (1.0 + squared) * s / np.sqrt(squared + 1e-8)
        logits = logits + np.einsum("bck,bcik->bci", v, votes)
    length = np.sqrt(np.sum(v * v, axis=-1) + 1e-8)
    right = np.arange(3) == y[:, None]
    return np.mean(np.where(right, np.maximum(0.9 - length, 0.0) ** 2, 0.5 * np.maximum(length - 0.1, 0.0) ** 2))


@network(lambda g: ({"words": dense(g, 9, 5), "in": dense(g, 5, 6), "h": dense(g, 6, 6), "next": dense(g, 5, 6),
                     "align": dense(g, 6, 6), "out": dense(g, 12, 9)},
                    g.integers(0, 9, (6, 3)), g.integers(0, 9, (5, 3))))  # fmt: skip
def translation(p, given, wanted):
    """A sequence to a sequence, with attention to all that was read."""
    h, read = 0.0, []
    for words in given:
        h = np.tanh(p["words"][words] @ p["in"] + (h @ p["h"] if read else 0.0))
        read.append(h)
    memory, loss = np.stack(read, axis=1), 0.0
    for words, following in itertools.pairwise(wanted):
        h = np.tanh(p["words"][words] @ p["next"] + h @ p["h"])
        weight = softmax(np.einsum("bth,bh->bt", memory, h @ p["align"]))
        context = np.einsum("bt,bth->bh", weight, memory)
        loss = loss + cross_entropy(np.concatenate([h, context], axis=1) @ p["out"], following)
    return loss / (len(wanted) - 1)


@network(lambda g: ({"gate": dense(g, 4, 3), "up": dense(g, 3, 4, 6), "down": dense(g, 3, 6, 4),
                     "layers": [(dense(g, 4, 4), np.ones(4)) for _ in range(2)]},
                    g.standard_normal((7, 4))))  # fmt: skip
def mixture_of_experts(p, x):
    for w, gain in p["layers"]:
        h = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6) * gain @ w
        x = x + h * sigmoid(h)
    gate = softmax(x @ p["gate"])
    hidden = np.tanh(np.einsum("bi,eih->beh", x, p["up"]))
    y = np.einsum("beh,eho,be->bo", hidden, p["down"], gate)
    return np.mean(y**2) + np.sum(np.mean(gate, axis=0) ** 2)
