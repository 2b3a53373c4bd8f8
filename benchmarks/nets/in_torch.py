"""The same for PyTorch: its functions on its own layouts, eager or through `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812  as everybody calls it

from benchmarks.nets.listed import Net
from benchmarks.nets.models import EDGES

TEXTS: dict[str, Callable[..., Any]] = {}


def text_of(f: Any) -> Any:
    TEXTS[f.__name__] = f
    return f


def linear(p: Any, k: int, x: Any) -> Any:
    return F.linear(x, p[f"w{k}"], p[f"b{k}"])


def conv(p: Any, k: int, x: Any, **options: Any) -> Any:
    weight = p[f"c{k}"]
    return (F.conv2d if weight.ndim == 4 else F.conv1d)(x, weight, p[f"d{k}"], **options).relu_()


@text_of
def lenet_5(p: Any, x: Any) -> Any:
    x = F.max_pool2d(conv(p, 0, x, padding=2), 2)
    x = F.max_pool2d(conv(p, 1, x), 2)
    x = x.permute(0, 2, 3, 1).flatten(1)  # free for channels last
    return linear(p, 2, linear(p, 1, linear(p, 0, x).relu()).relu())


@text_of
def convolutions(p: Any, x: Any) -> Any:
    x = F.max_pool2d(conv(p, 1, conv(p, 0, x, padding=1), padding=1), 2)
    return linear(p, 0, conv(p, 3, conv(p, 2, x, padding=1), padding=1).mean((2, 3)))


@text_of
def strided(p: Any, x: Any) -> Any:
    for k in range(3):
        # zeros as JAX and payback put them: behind an even number of places, on both sides of an odd one
        x = F.pad(x, (0, 1, 0, 1)) if x.shape[2] % 2 == 0 else F.pad(x, (1, 1, 1, 1))
        x = conv(p, k, x, stride=2)
    return linear(p, 0, x.mean((2, 3)))


@text_of
def signals(p: Any, x: Any) -> Any:
    x = F.max_pool1d(conv(p, 0, x, padding=3), 2)
    x = F.max_pool1d(conv(p, 1, x, padding=2), 2)
    return linear(p, 0, conv(p, 2, x, padding=1).mean(2))


@text_of
def separable(p: Any, x: Any) -> Any:
    x = conv(p, 0, F.pad(x, (0, 1, 0, 1)), stride=2)
    for k in range(2):
        x = conv(p, k + 1, F.conv2d(x, p[f"k{k}"], padding=1, groups=x.shape[1]))
    return linear(p, 0, x.mean((2, 3)))


def _cells(kind: Any) -> Any:
    """PyTorch's own kernels over all steps; its weights are rows of gates, in the order that it has them."""

    def f(p: Any, x: Any) -> Any:
        zero = x.new_zeros(1, len(x), 64)
        weights = [p["x"], p["h"], p["b"], torch.zeros_like(p["b"])]
        state = (zero, zero) if kind is torch._VF.lstm else zero
        return linear(p, 0, kind(x, state, weights, True, 1, 0.0, True, False, True)[0][:, -1])

    return f


for kind, kernel in (("rnn", torch._VF.rnn_tanh), ("gru", torch._VF.gru), ("lstm", torch._VF.lstm)):
    for name in ("loop_16", "scan_16", "scan_100"):
        TEXTS[f"{kind}_{name}"] = _cells(kernel)


def transformer(p: Any, x: Any) -> Any:
    b, t, d = x.shape
    h = F.linear(F.layer_norm(x, (d,), p["s0"], p["t0"]), p["qkv"])
    q, k, v = (part.view(b, t, 4, d // 4).transpose(1, 2) for part in h.chunk(3, -1))
    heads = F.scaled_dot_product_attention(q, k, v)
    x = x + F.linear(heads.transpose(1, 2).reshape(b, t, d), p["o"])
    h = F.gelu(F.linear(F.layer_norm(x, (d,), p["s1"], p["t1"]), p["up"], p["u"]), approximate="tanh")
    return linear(p, 0, (x + F.linear(h, p["down"], p["v"])).mean(1))


for name in ("16_32", "32_64", "64_128"):
    TEXTS[f"transformer_{name}"] = transformer


@text_of
def text(p: Any, x: Any) -> Any:
    return linear(p, 1, linear(p, 0, F.embedding_bag(x, p["table"], mode="mean")).relu())


@text_of
def vae(p: Any, x: Any) -> Any:
    h = torch.tanh(F.linear(x[:, :196], p["in"]))
    mean, spread = F.linear(h, p["mean"]), F.linear(h, p["spread"])
    z = mean + torch.exp(0.5 * spread) * x[:, 196:]
    return torch.cat([F.linear(torch.tanh(F.linear(z, p["out"])), p["back"]), mean, spread], 1)


@text_of
def autoencoder(p: Any, x: Any) -> Any:
    for k in range(3):
        x = torch.tanh(linear(p, k, x))
    return linear(p, 3, x)


def _residual(norm: Any) -> Any:
    def f(p: Any, x: Any) -> Any:
        x = linear(p, 0, x)
        for k in range(4):
            h = linear(p, 2 * k + 1, norm(x, p[f"s{k}"], p[f"t{k}"])).relu()
            x = x + linear(p, 2 * k + 2, h)
        return linear(p, 9, x)

    return f


TEXTS["residual_layer_norm"] = _residual(lambda x, s, t: F.layer_norm(x, (128,), s, t))
TEXTS["residual_batch_norm"] = _residual(lambda x, s, t: F.batch_norm(x, None, None, s, t, True))


@text_of
def experts(p: Any, x: Any) -> Any:
    h = torch.matmul(x, p["up"]).relu()
    gates = torch.softmax(F.linear(x, p["gate"]), -1)
    return torch.einsum("ebo,be->bo", torch.bmm(h, p["down"]), gates)


@text_of
def graph(p: Any, x: Any) -> Any:
    a, x = x[..., :24], x[..., 24:]
    for k in range(2):
        x = torch.baddbmm(p[f"b{k}"], a, F.linear(x, p[f"w{k}"])).relu()
    return linear(p, 2, x.mean(1))


@text_of
def pinn(p: Any, x: Any) -> Any:
    x = x.detach().requires_grad_()
    u = linear(p, 2, torch.tanh(linear(p, 1, torch.tanh(linear(p, 0, x)))))
    (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True)
    return first[:, 1:] + u * first[:, :1] - 0.01 * second[:, :1]


@text_of
def neural_ode(p: Any, x: Any) -> Any:
    def slope(x: Any) -> Any:
        return linear(p, 1, torch.tanh(linear(p, 0, x)))

    for _ in range(10):
        a = slope(x)
        b = slope(x + 0.05 * a)
        c = slope(x + 0.05 * b)
        x = x + (0.1 / 6) * (a + 2.0 * b + 2.0 * c + slope(x + 0.1 * c))
    return x


@text_of
def sets(p: Any, x: Any) -> Any:
    x = linear(p, 1, linear(p, 0, x).relu()).relu()
    return linear(p, 3, linear(p, 2, x.mean(1)).relu())


@text_of
def fourier_features(p: Any, x: Any) -> Any:
    x = F.linear(x, p["frequencies"])
    return linear(p, 1, linear(p, 0, torch.cat([torch.sin(x), torch.cos(x)], 1)).relu())


def conv_relu(p: Any, k: int, x: Any) -> Any:
    return conv(p, k, x, padding=1)


def beside(small: Any, large: Any) -> Any:
    return torch.cat([F.interpolate(small, scale_factor=2, mode="nearest"), large], 1)


@text_of
def unet(p: Any, x: Any) -> Any:
    a = conv_relu(p, 1, conv_relu(p, 0, x))
    b = conv_relu(p, 3, conv_relu(p, 2, F.max_pool2d(a, 2)))
    x = conv_relu(p, 5, beside(conv_relu(p, 4, F.max_pool2d(b, 2)), b))
    return linear(p, 0, conv_relu(p, 6, beside(x, a)).movedim(1, -1))


@text_of
def densely_connected(p: Any, x: Any) -> Any:
    x = conv_relu(p, 0, x)
    for k in range(1, 4):
        x = torch.cat([x, conv_relu(p, k, x)], 1)
    return linear(p, 0, x.mean((2, 3)))


@text_of
def dilated(p: Any, x: Any) -> Any:
    x, total = F.linear(x, p["in"]).transpose(1, 2), 0.0
    for k in range(5):
        before = F.pad(x, (2**k, 0))
        a, b = (F.conv1d(before, p[f"{name}{k}"], dilation=2**k) for name in ("f", "g"))
        h = F.conv1d(torch.tanh(a) * torch.sigmoid(b), p[f"o{k}"][..., None])
        x, total = x + h, total + h
    return linear(p, 1, linear(p, 0, total.transpose(1, 2).relu()).relu())


FROM, TO = (torch.from_numpy(part.copy()) for part in EDGES)


@text_of
def messages(p: Any, x: Any) -> Any:
    x = x[0]
    for k in range(2):
        x = F.linear(x, p[f"w{k}"])
        x = (torch.zeros_like(x).index_add(0, TO, x[FROM]) + x + p[f"b{k}"]).relu()
    return linear(p, 2, x)[None]


def cost_of(loss: str, made: Any, y: Any) -> Any:
    if loss == "cross_entropy":
        return F.cross_entropy(made, y)
    if loss == "squared_error":
        return F.mse_loss(made, y)
    logits, mean, spread, x = made[:, :196], made[:, 196:212], made[:, 212:], y[:, :196]
    likelihood = -F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    divergence = -0.5 * torch.sum(1.0 + spread - mean**2 - torch.exp(spread))
    return (divergence - likelihood) / len(y)


def _own(name: str, value: Any) -> Any:
    """A parameter as PyTorch has it: (outputs, inputs, places), matrices as (outputs, inputs)."""
    value = torch.from_numpy(value.copy())
    if value.ndim == 3 and name[0] in "fg":
        return value.movedim((-1, -2), (0, 1)).contiguous()
    if name[0] in "ck" and name[1:].isdigit():
        value = value[..., None, :] if name[0] == "k" else value
        value = value.movedim((-1, -2), (0, 1)).contiguous()
        return value.to(memory_format=torch.channels_last) if value.ndim == 4 else value
    matrix = value.ndim == 2 and name != "table"
    return value.T.contiguous() if matrix else value


def training(work: Net, data: Any, variant: str) -> Any:
    f, loss = TEXTS[work.entry.name], work.entry.loss
    x, y = (torch.from_numpy(data[key]) for key in "xy")
    if any(name[0] == "c" for name in data["p"]):
        x = x.movedim(-1, 1)  # channels last as they lie
        x = x if x.ndim == 4 else x.contiguous()
    xs, ys = x.split(data["batch"]), y.split(data["batch"])

    def cost(p: Any, x: Any, y: Any) -> Any:
        return cost_of(loss, f(p, x), y)

    run = torch.compile(cost) if variant == "compile" else cost
    state: list[Any] = [None]

    def begin() -> None:
        p = {name: _own(name, value).requires_grad_() for name, value in data["p"].items()}
        state[0] = p, optimizer_of(work.optimizer, list(p.values()))

    def epoch() -> list[Any]:
        p, optimizer = state[0]
        costs = []
        for x, y in zip(xs, ys, strict=True):
            optimizer.zero_grad(set_to_none=True)
            value = run(p, x, y)
            value.backward()
            if work.optimizer == "clip":
                torch.nn.utils.clip_grad_norm_(p.values(), 0.1)
            optimizer.step()
            costs.append(value.detach())
        return costs

    def check() -> list[float]:
        begin()
        epoch()
        return [float(torch.stack(epoch()).mean())]

    def repeat(count: int) -> None:
        for _ in range(max(count // work.batches, 1)):
            epoch()

    return check, repeat


def optimizer_of(name: str, p: Any) -> Any:
    if name in ("sgd", "momentum"):
        return torch.optim.SGD(p, 1e-2, momentum=0.9 * (name == "momentum"), fused=True)
    if name == "rmsprop":
        return torch.optim.RMSprop(p, 1e-3, alpha=0.9)
    if name == "adamw":
        groups = [{"params": [q for q in p if (q.ndim > 1) == w], "weight_decay": 0.01 * w} for w in (True, False)]
        return torch.optim.AdamW(groups, 1e-3, fused=True)
    return torch.optim.Adam(p, 1e-3, fused=True)
