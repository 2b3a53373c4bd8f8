"""Layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from payback import elsewhere, random
from payback.errors import InputError, ShapeError
from payback.ir.arguments import told
from payback.nn.activations import ACTIVATIONS
from payback.nn.drawing import key_for
from payback.nn.initializers import INITIALIZERS, initializer_for
from payback.nn.module import Module, static
from payback.trace.array import Traced, stop_gradient
from payback.trace.tree import is_leaf


def known(name: Any, table: dict[str, Any], what: str) -> Any:
    """The entry of a closed table.  Raises InputError that lists the known names."""
    return table[name_in(table, name, what)]


def name_in(table: dict[str, Any], name: Any, what: str) -> Any:
    """A name of a closed table, which may be told by its entry.  Raises InputError that lists the known names."""
    if callable(name):
        name = next((key for key, entry in table.items() if entry is name), name)
    if callable(name) or name not in table:
        raise InputError(
            f"there is no {what} {name!r}",
            why=f"known are {', '.join(table)}",
            fix=elsewhere.named(what, name, table),
        )
    return name


def check_size(size: Any, what: str) -> int:
    """Raises InputError for what is no number of things."""
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise InputError(f"a layer of {size!r:.40} {what}", why="sizes are whole numbers from 1 up")
    return int(size)


def _is_floating(dtype: Any) -> bool:
    try:
        return np.dtype(dtype).kind == "f"
    except TypeError:
        return False


class Linear(Module):
    """x @ weight + bias.

    n_in, n_out: numbers of features in and out; x is (..., n_in).
    key: of the initial weights; bias starts at zero (bias=False: there is none).
    initializer: a name in `pb.nn.INITIALIZERS`.  dtype: of the parameters, float32 unless said.
    Its parameters are `weight`, (n_in, n_out), and `bias`, (n_out,) or None.

    Raises InputError for sizes below 1, other dtypes and unknown initializers, ShapeError for an x that does not fit.

    >>> import numpy as np, payback as pb
    >>> pb.nn.Linear(3, 2, key=pb.random.key(0))(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    weight: Any
    bias: Any

    @told("pb.nn.Linear")
    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        key: Any,
        bias: bool = True,
        initializer: str = "he_normal",
        dtype: Any = np.float32,
    ):
        for size in (n_in, n_out):
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
                raise InputError(
                    f"a layer of {n_in!r} inputs and {n_out!r} outputs", why="sizes are whole numbers from 1 up"
                )
        if not _is_floating(dtype):
            raise InputError(f"dtype is {dtype!r:.60}", why="parameters are floating numbers",
                             fix="write np.float32 or np.float64")  # fmt: skip
        self.weight = known(initializer, INITIALIZERS, "initializer")(key, int(n_in), int(n_out), dtype)
        self.bias = np.zeros(n_out, dtype) if bias else None

    @told("pb.nn.Linear")
    def __call__(self, x: Any) -> Any:
        n_in = self.weight.shape[0]
        if not x.shape or x.shape[-1] != n_in:
            raise ShapeError(
                f"a layer of {n_in} inputs was given an array of shape {x.shape}",
                why=f"its last axis must have {n_in} entries, one a feature",
                fix="put pb.nn.Flatten() before it" if len(x.shape) > 2 else "check the number of columns",
            )
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


class Activation(Module):
    """One of `pb.nn.ACTIVATIONS`, by name, as a layer without parameters.

    Raises InputError for other names.

    >>> import numpy as np, payback as pb
    >>> pb.nn.Activation("relu")(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    name: str = static()

    @told("pb.nn.Activation")
    def __init__(self, name: str):
        self.name = name_in(ACTIVATIONS, name, "activation")

    def __call__(self, x: Any) -> Any:
        return ACTIVATIONS[self.name](x)


class Dropout(Module):
    """While a network is trained, zeros at random places; what stays is divided by 1 − rate (Srivastava et al., JMLR
    15, 2014).  Otherwise x itself, so `net(X)` needs no other mode.

    rate: the probability that an entry becomes zero, at least 0 and less than 1, else InputError.
    `pb.fit` draws anew in each step, from its seed; in a loop of your own write `with pb.nn.training(key):`.

    >>> import numpy as np, payback as pb
    >>> layer, x = pb.nn.Dropout(0.5), np.ones(6)
    >>> layer(x)
    array([1., 1., 1., 1., 1., 1.])
    >>> with pb.nn.training(pb.random.key(0)):
    ...     layer(x)
    array([2., 2., 0., 0., 0., 0.])
    """

    rate: float = static()

    @told("pb.nn.Dropout")
    def __init__(self, rate: float = 0.5):
        if isinstance(rate, bool) or not 0 <= rate < 1:
            raise InputError(f"the rate is {rate!r:.40}", why="it is at least 0 and less than 1")
        self.rate = float(rate)

    @told("pb.nn.Dropout")
    def __call__(self, x: Any) -> Any:
        key = key_for(x) if self.rate else None
        if key is None:
            return x
        return np.where(random.bernoulli(key, 1.0 - self.rate, x.shape), x * (1.0 / (1.0 - self.rate)), 0.0)


class Embedding(Module):
    """A row of a table for each whole number: words, categories, numbers of users (Bengio et al., JMLR 3, 2003).

    count: how many numbers there are, from 0 on; size: of a row.  key, dtype: as of `Linear`; rows are normal at first.
    x of any shape of whole numbers gives (*x.shape, size); `Flatten` puts the rows of a sample side by side.
    `pb.fit` leaves an X of whole numbers as it is for a network that begins so.

    Raises InputError for sizes below 1, numbers out of range, and an x that holds none.

    >>> import numpy as np, payback as pb
    >>> layer = pb.nn.Embedding(5, 3, key=pb.random.key(0))
    >>> layer(np.array([[0, 4], [1, 1]])).shape
    (2, 2, 3)
    """

    table: Any

    @told("pb.nn.Embedding")
    def __init__(self, count: int, size: int, *, key: Any, dtype: Any = np.float32):
        for number in (count, size):
            if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
                raise InputError(f"an embedding of {count!r} rows of {size!r}", why="sizes are whole numbers from 1 up")
        self.table = random.normal(key, (int(count), int(size))).astype(random.floating(dtype))

    @told("pb.nn.Embedding")
    def __call__(self, x: Any) -> Any:
        count = self.table.shape[0]
        if not isinstance(x, Traced):
            x = np.asarray(x)
            if x.dtype.kind in "iu" and x.size and not 0 <= x.min() <= x.max() < count:
                fix = "number them from 0" if x.min() < 0 else f"make it with {x.max() + 1} rows"
                raise InputError(f"an embedding of {count} rows was given numbers from {x.min()} to {x.max()}",
                                 why=f"the rows are 0 to {count - 1}", fix=fix)  # fmt: skip
        if x.dtype.kind not in "iu":
            raise InputError(f"an embedding was given {x.dtype}", why="the numbers of rows are whole ones",
                             fix="write x.astype(int)")  # fmt: skip
        return self.table[x]


class Flatten(Module):
    """(n, a, b, …) → (n, a·b·…): images and the like for a `Linear` layer.

    Raises InputError for an x without axes.

    >>> import numpy as np, payback as pb
    >>> pb.nn.Flatten()(np.ones((5, 8, 8))).shape
    (5, 64)
    """

    @told("pb.nn.Flatten")
    def __call__(self, x: Any) -> Any:
        return x.reshape(x.shape[0], int(np.prod(x.shape[1:], dtype=int)))


class Applied(Module):
    """A function as a layer without parameters: part of the structure, so that what is around it can be trained."""

    function: Callable[[Any], Any] = static()

    def __call__(self, x: Any) -> Any:
        return self.function(x)


class Sequential(Module):
    """Layers one after another: the composite function layers[-1](… layers[0](x)).

    layers: modules, or any functions of one array; others raise InputError.

    >>> import numpy as np, payback as pb
    >>> first, second = pb.random.split(pb.random.key(0))
    >>> net = pb.nn.Sequential(pb.nn.Linear(4, 8, key=first), np.sin, pb.nn.Linear(8, 1, key=second))
    >>> net(np.ones((5, 4), np.float32)).shape
    (5, 1)
    """

    layers: tuple[Any, ...]

    def __init__(self, *layers: Any):
        for k, layer in enumerate(layers):
            if not callable(layer):
                raise InputError(
                    f"layer {k} is {layer!r:.60}",
                    why="a layer is a module or a function of one array",
                    fix="write pb.nn.Sequential(*layers)" if isinstance(layer, (list, tuple)) else None,
                )
        self.layers = tuple(Applied(layer) if callable(layer) and is_leaf(layer) else layer for layer in layers)

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


class Residual(Sequential):
    """x plus what the layers make of it (He, Zhang, Ren & Sun, CVPR 2016).

    layers: as of `Sequential`.  Raises ShapeError where their result has not the shape of x.

    >>> import numpy as np, payback as pb
    >>> pb.nn.Residual(np.sin, np.cos)(np.zeros((2, 3)))
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """

    @told("pb.nn.Residual")
    def __call__(self, x: Any) -> Any:
        y = super().__call__(x)
        if y.shape != x.shape:
            raise ShapeError(f"layers in a Residual make {y.shape} of {x.shape}", why="their result is added to x",
                             fix="give the last of them as many outputs as the first has inputs")  # fmt: skip
        return x + y


class Frozen(Module):
    """A layer or network whose parameters are not trained: those of another training, under new layers.

    frozen: a module, or another container of arrays that is called with a batch.  Its parameters are saved, shown and
    counted with the others; what they are owed is nothing, and they do not decay.  Gradients pass through it.
    Raises InputError for what is not called.

    >>> import numpy as np, payback as pb
    >>> base = pb.nn.MLP([2, 8, 3], seed=0)                  # of a training before
    >>> net = pb.nn.Sequential(
    ...     pb.nn.Frozen(pb.nn.Sequential(*base.layers[:-1])), pb.nn.Linear(8, 2, key=pb.random.key(1))
    ... )
    >>> X, y = pb.datasets.moons()
    >>> run = pb.fit(net, X, y, optimizer="adamw", epochs=2, seed=0)
    >>> np.array_equal(run.net.layers[0].frozen.layers[0].weight, base.layers[0].weight)
    True
    """

    frozen: Any

    @told("pb.nn.Frozen")
    def __init__(self, frozen: Any):
        if not callable(frozen):
            what = f"pb.nn.Frozen was given {type(frozen).__name__}"
            raise InputError(what, why="it takes a layer or a network", fix="write pb.nn.Frozen(net)")
        self.frozen = frozen

    @told("pb.nn.Frozen")
    def __call__(self, x: Any) -> Any:
        return stop_gradient(self.frozen)(x)


class MLP(Sequential):
    """A multilayer perceptron: linear layers of these sizes with an activation between them, none at the end.

    sizes: numbers of inputs, of units in each hidden layer, and of outputs.
    activation: a name in `pb.nn.ACTIVATIONS`.
    seed or key: of the initial weights (He for rectifiers, Glorot otherwise, unless `initializer` says).
    dtype: of the parameters, float32 unless said.
    skip: add a linear map from the inputs straight to the outputs, zero at first, so that the hidden layers need only
    learn what is not linear (wide & deep: Cheng et al., DLRS 2016).
    dropout: the rate of a `Dropout` after each activation; 0: none.

    Raises InputError for fewer than two sizes, sizes below 1, and unknown names.

    >>> import payback as pb
    >>> print(pb.nn.summary(pb.nn.MLP([64, 128, 10], seed=0)))
    layers[0].weight  64×128  float32  8,192
    layers[0].bias    128     float32    128
    layers[2].weight  128×10  float32  1,280
    layers[2].bias    10      float32     10
    9,610 parameters
    """

    skip: Any

    @told("pb.nn.MLP")
    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "relu",
        *,
        seed: int = 0,
        key: Any = None,
        initializer: str | None = None,
        dtype: Any = np.float32,
        skip: bool = False,
        dropout: float = 0.0,
    ):
        if isinstance(sizes, (int, np.integer)):
            raise InputError(f"the sizes are {sizes}", why="they are those of inputs, hidden layers and outputs",
                             fix="write pb.nn.MLP([2, 16, 1])")  # fmt: skip
        if len(sizes) < 2:
            raise InputError(
                f"an MLP of sizes {list(sizes)}", why="it needs the number of inputs and of outputs at least"
            )
        keys = random.split(random.key(seed) if key is None else key, len(sizes) - 1)
        activation = name_in(ACTIVATIONS, activation, "activation")
        layers: list[Module] = []
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            last = i == len(sizes) - 2
            chosen = initializer or ("glorot_uniform" if last else initializer_for(activation))
            layers.append(Linear(n_in, n_out, key=keys[i], initializer=chosen, dtype=dtype))
            if not last:
                layers += [Activation(activation), *([Dropout(dropout)] if dropout else [])]
        super().__init__(*layers)
        self.skip = np.zeros((sizes[0], sizes[-1]), dtype) if skip else None

    def __call__(self, x: Any) -> Any:
        y = super().__call__(x)
        return y if self.skip is None else y + x @ self.skip
