"""Optimizers: how a gradient becomes a step.

An optimizer is a value without state.  `init(parameters)` makes the state (arrays beside every parameter) and
`update(gradient, state, parameters, rate, step)` returns new parameters and state; both are plain functions on
arrays, so a whole training step can be traced and run by any back end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from payback.elsewhere import missing_method
from payback.errors import InputError
from payback.ir.arguments import answered, told
from payback.optim.schedules import Constant, Schedule, positive
from payback.trace.repeat import Repeated
from payback.trace.tree import leaves, paths, unflatten

Slots = tuple[Any, ...]


@told("pb.optim.global_norm")
def global_norm(gradient: Any) -> Any:
    """The Euclidean norm of all entries of all leaves together: what `clip_norm` bounds.

    gradient: a container of numbers and arrays; of their dtype.  Raises InputError for what holds others.

    >>> import numpy as np, payback as pb
    >>> pb.optim.global_norm({"w": np.array([3.0]), "b": np.array([4.0])})
    np.float64(5.0)
    """
    total: Any = 0.0
    for leaf in leaves(gradient):
        total = total + (leaf * leaf).sum()
    return np.sqrt(total)


def _settled(moment: Any) -> Any:
    """A moment without what is too small for a normal number: it would never leave that range, where processors compute
    in tens of cycles.  Decay ends at the smallest number, for 0.9 of that is rounded to it again."""
    return np.where(np.abs(moment) < np.finfo(moment.dtype).tiny, 0.0, moment)  # NaN stays


def _rest(beta: float, step: Any) -> Any:
    """1 − betaᵗ: what a mean of `step` gradients has of the weights of all."""
    if type(step) is not np.ndarray or not beta:
        return 1 - beta**step
    powers = np.zeros(len(step))  # where 1 minus them is 1 they are not computed
    np.power(beta, step, out=powers, where=step * np.log(beta) > -40.0)
    return 1 - powers


def _unit_interval(name: str, value: float) -> None:
    if not 0 <= positive(name, value, zero=True) < 1:
        raise InputError(f"{name} is {value!r}", why="it must be at least 0 and less than 1")


@answered("pb.optim.Optimizer")
@dataclass(frozen=True)
class Optimizer:
    """The base of optimizers.

    rate: the step length, a positive number or a schedule.
    clip_norm: gradients whose norm over all parameters is larger are scaled down to it; None: never.
    One of your own defines `leaf`, and how many arrays it keeps beside each parameter as `slots`.
    Raises InputError for options that are no positive numbers.

    >>> import numpy as np, payback as pb
    >>> class Sign(pb.optim.Optimizer):
    ...     def leaf(self, p, g, slots, rate, step):
    ...         return p - rate * np.sign(g), slots
    >>> rule, p = Sign(0.1), {"w": np.array([1.0, 2.0])}
    >>> rule.update({"w": np.array([3.0, -4.0])}, rule.init(p), p, 0.1, 1)[0]["w"]
    array([0.9, 2.1])
    """

    rate: float | Schedule = 1e-3
    clip_norm: float | None = None
    slots: ClassVar[int] = 0  # arrays of state beside each parameter
    line_search: ClassVar[bool] = False  # whether each step's length is searched for; see `GradientDescent`

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            # NumPy's numbers would bring their dtype into the step
            if isinstance(value, np.number) and value.dtype.kind in "fiu":
                object.__setattr__(self, name, value.item())
        if callable(self.rate) and not isinstance(self.rate, Schedule):
            raise InputError("the step length is a function", why="it is a positive number or a schedule",
                             fix="write a class of pb.optim.Schedule with __call__(self, step, total)")  # fmt: skip
        if not isinstance(self.rate, Schedule):
            positive("the step length", self.rate)
        if self.clip_norm is not None:
            positive("clip_norm", self.clip_norm)

    def __getattr__(self, name: str) -> Any:
        raise missing_method("an optimizer", self, name)

    @property
    def schedule(self) -> Schedule:
        """Its rate as a schedule: a number is `Constant`."""
        return self.rate if isinstance(self.rate, Schedule) else Constant(float(self.rate))

    def init(self, parameters: Any) -> list[Slots]:
        """Zeros: `slots` arrays for each parameter."""
        # unlike zeros_like, this takes no memory before it is written to
        return [tuple(np.zeros(leaf.shape, leaf.dtype) for _ in range(self.slots)) for leaf in leaves(parameters)]

    def update(
        self, gradient: Any, state: list[Slots], parameters: Any, rate: Any, step: Any
    ) -> tuple[Any, list[Slots]]:
        """New parameters and state.  rate: this step's length; step: its number, from 1."""
        own = type(self).leaf.__module__ == __name__
        numbers = self.numbers(rate, step) if own else (rate, step)
        return self.taken(gradient, state, parameters, numbers)

    def numbers(self, rate: Any, step: Any) -> tuple[Any, ...]:
        """What a step is told beside arrays: numbers that follow from its length and number alone.

        For many steps they are made at once: of arrays of lengths and numbers, arrays.
        """
        return rate, step

    def taken(
        self, gradient: Any, state: list[Slots], parameters: Any, numbers: tuple[Any, ...]
    ) -> tuple[Any, list[Slots]]:
        """As `update`, by a step's numbers."""
        grads = leaves(gradient)
        if self.clip_norm is not None:
            norm = global_norm(gradient)
            info = np.finfo(norm.dtype)  # a bound beyond its numbers bounds nothing, or all
            bound = min(max(self.clip_norm, float(info.tiny)), float(info.max))
            scale = bound / np.maximum(norm, bound)
            grads = [g * scale.astype(g.dtype) for g in grads]
        own = type(self).leaf.__module__ == __name__  # of others it is not known that all leaves are treated alike
        leaf = Repeated(self.moved) if own else self.leaf
        stepped = [leaf(p, g, s, *numbers) for p, g, s in zip(leaves(parameters), grads, state, strict=True)]
        return unflatten(parameters, iter([p for p, _ in stepped])), [s for _, s in stepped]

    def leaf(self, p: Any, g: Any, slots: Slots, rate: Any, step: Any) -> tuple[Any, Slots]:
        """One parameter's step."""
        raise NotImplementedError

    def moved(self, p: Any, g: Any, slots: Slots, *numbers: Any) -> tuple[Any, Slots]:
        """One parameter's step, by the step's numbers."""
        return self.leaf(p, g, slots, *numbers)

    def flat(self, parameters: Any) -> Optimizer | None:
        """An optimizer that does to all these parameters' entries in one vector what this one does to each array.

        None where that is not known: of optimizers that others wrote.
        """
        return self if type(self) in OPTIMIZERS.values() else None


@answered("pb.optim.GradientDescent")
@dataclass(frozen=True)
class GradientDescent(Optimizer):
    """p − rate·g.  rate and clip_norm: see `Optimizer`, which says what raises InputError.

    line_search: choose each step's length by backtracking (Armijo, Pacific J. Math. 16, 1966): start from the last
    accepted length, doubled, and halve until the cost falls by at least 10⁻⁴ of what the slope promises.  Needs the
    whole data in one batch.

    >>> import payback as pb
    >>> pb.optim.GradientDescent(line_search=True).rate
    0.1
    """

    rate: float | Schedule = 0.1
    line_search: bool = False  # type: ignore[misc]

    def leaf(self, p: Any, g: Any, slots: Slots, rate: Any, step: Any) -> tuple[Any, Slots]:
        return p - rate * g, ()


@answered("pb.optim.Momentum")
@dataclass(frozen=True)
class Momentum(Optimizer):
    """v ← momentum·v + g; p − rate·v (Polyak, USSR Comp. Math. 4, 1964).

    momentum: at least 0 and less than 1, else InputError.  rate and clip_norm: see `Optimizer`.

    >>> import payback as pb
    >>> pb.optim.Momentum(0.05, momentum=0.8).momentum
    0.8
    """

    rate: float | Schedule = 0.01
    momentum: float = 0.9
    slots: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _unit_interval("momentum", self.momentum)

    def leaf(self, p: Any, g: Any, slots: Slots, rate: Any, step: Any) -> tuple[Any, Slots]:
        v = _settled(self.momentum * slots[0] + g)
        return p - rate * v, (v,)


@answered("pb.optim.Nesterov")
@dataclass(frozen=True)
class Nesterov(Momentum):
    """v ← momentum·v + g; p − rate·(g + momentum·v) (Nesterov, 1983; Sutskever et al., ICML 2013).

    Options and errors as of `Momentum`.

    >>> import payback as pb
    >>> pb.optim.Nesterov(pb.optim.Cosine(0.1)).schedule(0, 100)
    0.1
    """

    def leaf(self, p: Any, g: Any, slots: Slots, rate: Any, step: Any) -> tuple[Any, Slots]:
        v = _settled(self.momentum * slots[0] + g)
        return p - rate * (g + self.momentum * v), (v,)


@answered("pb.optim.RMSprop")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """s ← decay·s + (1−decay)·g²; p − rate·g / (√s + epsilon) (Tieleman & Hinton, 2012).

    decay: at least 0 and less than 1; epsilon: positive; else InputError.  rate and clip_norm: see `Optimizer`.

    >>> import payback as pb
    >>> pb.optim.RMSprop(decay=0.99).rate
    0.001
    """

    decay: float = 0.9
    epsilon: float = 1e-8
    slots: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _unit_interval("decay", self.decay)
        positive("epsilon", self.epsilon)

    def leaf(self, p: Any, g: Any, slots: Slots, rate: Any, step: Any) -> tuple[Any, Slots]:
        s = _settled(self.decay * slots[0] + (1 - self.decay) * (g * g))
        return p - rate * g / (np.sqrt(s) + self.epsilon), (s,)


@answered("pb.optim.Adam")
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba, ICLR 2015): p − rate·m̂ / (√v̂ + epsilon), with bias correction.

    m ← beta1·m + (1−beta1)·g, m̂ = m / (1−beta1ᵗ); v ← beta2·v + (1−beta2)·g², v̂ = v / (1−beta2ᵗ) at step t, from 1.
    beta1, beta2: at least 0 and less than 1; epsilon: positive; else InputError.  rate and clip_norm: see `Optimizer`.

    >>> import numpy as np, payback as pb
    >>> rule, p = pb.optim.Adam(0.1), np.array([1.0, 2.0])
    >>> moved, state = rule.update(np.array([30.0, -0.4]), rule.init(p), p, 0.1, 1)
    >>> moved.round(6)
    array([0.9, 2.1])
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    slots: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _unit_interval("beta1", self.beta1)
        _unit_interval("beta2", self.beta2)
        positive("epsilon", self.epsilon)

    def numbers(self, rate: Any, step: Any) -> tuple[Any, ...]:
        return rate / _rest(self.beta1, step), 1 / _rest(self.beta2, step) ** 0.5

    def leaf(self, p: Any, g: Any, slots: Slots, rate: Any, step: Any) -> tuple[Any, Slots]:
        return self.moved(p, g, slots, *self.numbers(rate, step))

    def moved(self, p: Any, g: Any, slots: Slots, length: Any, scale: Any) -> tuple[Any, Slots]:
        m = _settled(self.beta1 * slots[0] + (1 - self.beta1) * g)
        v = _settled(self.beta2 * slots[1] + (1 - self.beta2) * (g * g))
        return p - length * m / (scale * np.sqrt(v) + self.epsilon), (m, v)  # √(v/c), without dividing every entry


@answered("pb.optim.AdamW")
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, ICLR 2019): p also shrinks by rate·weight_decay.

    Only arrays of two or more axes decay: weights, not biases; nor do those in `pb.nn.Frozen`.
    exempt: names of parameters that do not decay either (the last part of their path, such as "skip").
    weight_decay: a number from 0 up, else InputError.  Other options as of `Adam`.

    >>> import payback as pb
    >>> pb.optim.AdamW(1e-3, weight_decay=0.1, exempt=("skip",)).beta1
    0.9
    """

    weight_decay: float = 0.01
    exempt: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("weight_decay", self.weight_decay, zero=True)
        if isinstance(self.exempt, str):
            raise InputError(
                f"exempt is {self.exempt!r}", why="it is a tuple of names", fix=f"write ({self.exempt!r},)"
            )

    def update(
        self, gradient: Any, state: list[Slots], parameters: Any, rate: Any, step: Any
    ) -> tuple[Any, list[Slots]]:
        stepped, state = super().update(gradient, state, parameters, rate, step)
        shrunk = [
            q - (rate * self.weight_decay) * p if decays else q
            for decays, p, q in zip(self._decays(parameters), leaves(parameters), leaves(stepped), strict=True)
        ]
        return unflatten(parameters, iter(shrunk)), state

    def _decays(self, parameters: Any) -> list[bool]:
        return [self.decays(path, p) for path, p in zip(paths(parameters), leaves(parameters), strict=True)]

    def decays(self, path: str, p: Any) -> bool:
        """Whether the parameter of this path shrinks."""
        *above, name = path.split(".")
        return len(p.shape) > 1 and name not in self.exempt and "frozen" not in above  # the field of `nn.Frozen`

    def flat(self, parameters: Any) -> Optimizer | None:
        if type(self) is not AdamW:
            return None
        shares = [
            np.full(p.size, d, p.dtype) for d, p in zip(self._decays(parameters), leaves(parameters), strict=True)
        ]
        return _FlatAdamW(**vars(self), shares=np.concatenate(shares))


@dataclass(frozen=True)
class _FlatAdamW(AdamW):
    """AdamW on one vector: `shares` are 1 where an entry decays, else 0."""

    shares: Any = None

    def numbers(self, rate: Any, step: Any) -> tuple[Any, ...]:
        return *super().numbers(rate, step), rate * self.weight_decay

    def update(
        self, gradient: Any, state: list[Slots], parameters: Any, rate: Any, step: Any
    ) -> tuple[Any, list[Slots]]:
        return self.taken(gradient, state, parameters, self.numbers(rate, step))

    def taken(
        self, gradient: Any, state: list[Slots], parameters: Any, numbers: tuple[Any, ...]
    ) -> tuple[Any, list[Slots]]:
        (q,), state = super().taken(gradient, state, parameters, numbers[:-1])
        shrinking = numbers[-1]
        return [q - shrinking * self.shares * parameters[0]], state


# The closed list of optimizers that may be named, in code and on the command line.
OPTIMIZERS: dict[str, type[Optimizer]] = {
    "gd": GradientDescent,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
