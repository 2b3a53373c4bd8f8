"""Random scalar programs on a tape: what the interpreter gives, by whatever transform and at whatever numbers.

The interpreter computes elementary functions with the bits of machine code here, so a program that is one tape has to
agree to the bit, in value and gradient.  What other rows split is several tapes, whose payments are added in another
order.  NumPy's maximum of 0 and −0 is either: where the sign matters, the same program without a tape has the say.
"""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from native.compare import same_but_zeros
from native.scalar_programs import native_functions, point, program, recording
from payback.native.tape import columns as tape
from payback.native.tape import rounds, runs
from payback.trace.tree import leaves


def same(found, wanted):
    found, wanted = leaves(found), leaves(wanted)
    return len(found) == len(wanted) and all(
        np.shape(a) == np.shape(b) and same_but_zeros(a, b) for a, b in zip(found, wanted, strict=True)
    )


def close(found, wanted):
    """Up to rounding that grew on the way; what is not finite is where it was."""
    for a, b in zip(leaves(found), leaves(wanted), strict=True):
        a, b = np.asarray(a, float), np.asarray(b, float)
        finite = np.isfinite(b)
        if a.shape != b.shape or (np.isfinite(a) != finite).any():
            return False
        size = max(1.0, np.abs(b[finite]).max(initial=0.0))
        if not np.allclose(a[finite], b[finite], rtol=1e-7, atol=1e-9 * size):
            return False
    return True


def without(f, *args):
    with recording(False):
        return pb.compile(f)(*args)


def is_one_tape(compiled):
    names = [node.op.name for node in compiled._last.body.graph.nodes]
    return names.count("call") == 1 and set(names) <= {"call", "part", "identity", "input"}


def test_value_and_gradient():
    whole = 0
    with np.errstate(all="ignore"):
        for seed in range(amount.cases(75, 400, 20000)):
            made, x = program(seed), point(seed)
            f = pb.value_and_grad(lambda x, made=made: (lambda y: y[-1] + 0.5 * y[-2])(made(x)))
            with native_functions():
                wanted = f(x)
            with recording(True):
                compiled = pb.compile(f)
                found = compiled(x)
            one = is_one_tape(compiled)
            agree = same(found, wanted) if one else close(found, wanted)
            assert agree or same(found, without(f, x)), f"{seed}: {found} is not {wanted}"
            whole += one
        assert whole > seed // 2, "they are hardly on tapes"


FUNCTIONS = {
    "clip": lambda a, b, c: np.clip(a, -1.0, b), "clip of three": lambda a, b, c: np.clip(a, b, c),
    "clip by whole numbers": lambda a, b, c: np.clip(a + c, -1, 1) * b, "where": lambda a, b, c: np.where(a > b, a, c),
    "ties": lambda a, b, c: np.maximum(a, np.minimum(a, b)) * 0.9, "relu": lambda a, b, c: pb.nn.relu(a) - c * 0.1,
    "sigmoid": lambda a, b, c: pb.nn.sigmoid(a) * b, "hypot": lambda a, b, c: np.hypot(a, b) * 0.7,
    "powers": lambda a, b, c: a**2 * 0.1 - b**3 * 0.01 + c**4 * 0.001,
    "square": lambda a, b, c: np.square(a) * 0.3 - b,
    "of a float": lambda a, b, c: np.float64(0.3) * a + 2.0 ** (-b * b),
    "angle": lambda a, b, c: np.arctan2(a, b + 2.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numbers_stay_on_one_tape(name):
    """What is made a node on the way costs as much as all else, and ends the tape."""

    def f(x):
        s = [x[0], x[1], x[2]]
        for k in range(60):
            s[k % 3] = FUNCTIONS[name](s[k % 3], s[(k + 1) % 3], s[(k + 2) % 3])
        return s[0] + s[1] + s[2]

    x = np.array([0.3, 0.75, -0.5])
    with native_functions():
        wanted = pb.value_and_grad(f)(x)
    with recording(True):
        compiled = pb.compile(pb.value_and_grad(f))
        assert same(compiled(x), wanted)
    assert is_one_tape(compiled)


def transforms(made, count, random):
    """Name -> (on a tape, what it has to give)."""

    def several(x):
        found = made(x)
        return tuple(found[-1 - 2 * k] for k in range(count))

    vector, one = lambda x: np.array(list(several(x))), lambda x: several(x)[0]
    three = lambda a, b, x: made([a, x[1], b])[-1]  # noqa: E731
    bars, dot = random.normal(size=count), random.normal(size=3)
    plainly = lambda f: pb.compile(f, native=False)  # noqa: E731
    return {
        "values": lambda x: (pb.compile(several)(x), plainly(several)(x)),
        "a vector": lambda x: (pb.compile(vector)(x), plainly(vector)(x)),
        "vjp": lambda x: [pb.vjp(f, x)[1](tuple(bars.tolist())) for f in (pb.compile(several), several)],
        "vjp of a vector": lambda x: [pb.vjp(f, x)[1](bars) for f in (pb.compile(vector), vector)],
        "an entry": lambda x: [g(pb.grad(lambda x: vector(x)[-1]))(x) for g in (pb.compile, lambda f: f)],
        "jacobian": lambda x: (pb.compile(pb.jacobian(vector))(x), pb.jacobian(vector)(x)),
        "jvp": lambda x: [pb.jvp(f, (x,), (dot,)) for f in (pb.compile(one), one)],
        "jvp inside": lambda x: [
            g(lambda x, d: pb.jvp(one, (x,), (d,)))(x, dot) for g in (pb.compile, lambda f: f)
        ],
        "numbers": lambda x: [
            g(pb.value_and_grad(three, (0, 1, 2)))(float(x[0]), float(x[2]), x) for g in (pb.compile, lambda f: f)
        ],
        "grad outside": lambda x: (pb.grad(pb.compile(one))(x), pb.grad(one)(x)),
        "composed": lambda x: [g(pb.grad(lambda x: one(np.log(x))))(abs(x)) for g in (pb.compile, lambda f: f)],
        "composed outside": lambda x: [pb.grad(lambda x, f=f: f(np.log(x)))(abs(x)) for f in (pb.compile(one), one)],
        "hessian": lambda x: (pb.compile(pb.hessian(one))(x), pb.hessian(one)(x)),
        "hessian outside": lambda x: (pb.hessian(pb.compile(one))(x), pb.hessian(one)(x)),
        "vmap": lambda x: (pb.vmap(pb.compile(one))(np.stack([x, x / 2])),
                           np.array([plainly(one)(part) for part in (x, x / 2)])),
    }  # fmt: skip


NAMES = list(transforms(None, 1, np.random.default_rng(0)))


@pytest.mark.parametrize("name", NAMES[:: amount.cases(4, 1)])
def test_every_transform(name):
    with np.errstate(all="ignore"):
        for seed in range(amount.cases(4, 20, 400)):
            random = np.random.default_rng(seed)
            run = transforms(program(seed), int(random.integers(1, 4)), random)[name]
            with native_functions(), recording(True):
                found, wanted = run(point(seed))
            if not close(found, wanted):
                with recording(False):
                    found_without, _ = run(point(seed))
                assert close(found, found_without), f"{name} {seed}: {found} is not {wanted}"


def repeated(seed):
    """A program that runs the same steps again and again: with what it has found, with entries of x in turn."""
    made, random = program(seed), np.random.default_rng(seed)
    rounds, back = int(random.integers(20, 40)), int(random.integers(1, 4))

    def f(x):
        state, total = [x[0], x[1], x[2]], 0.0
        for k in range(rounds):
            found = made([x[k % 3], state[-1] * 0.5, state[-back]])
            state.append(np.tanh(found[-1]))
            total = total + found[-1] * state[k]
        return total + state[-1]

    return f


def test_rounds_of_a_loop(monkeypatch):
    """Written out as machine code of their own they give what the switch gives, and the interpreter."""
    written = 0
    monkeypatch.setattr(rounds, "SMALLEST", 20)
    with np.errstate(all="ignore"):
        # 21: a partial that takes long reads a number out of line, and then one that is kept
        for seed in dict.fromkeys([21, *range(amount.cases(4, 20, 600))]):
            f, x = pb.value_and_grad(repeated(seed)), point(seed)
            with native_functions():
                wanted = f(x)
            with recording(True):
                compiled = pb.compile(f)
                found = compiled(x)
                assert same(compiled(x), found), "memory is not left as it was"
                with monkeypatch.context() as patch:
                    patch.setattr(rounds, "SMALLEST", 10**9)
                    by_switch = pb.compile(f)(x)
            one = is_one_tape(compiled)
            bodies = [node.params["body"] for node in compiled._last.body.graph.nodes if node.op.name == "call"]
            written += any(piece.entries for body in bodies for piece in body.tape.pieces)
            assert same(found, by_switch), f"{seed}: {found} is not {by_switch}"
            agree = same(found, wanted) if one else close(found, wanted)
            assert agree or same(found, without(f, x)), f"{seed}: {found} is not {wanted}"
        assert written > amount.cases(4, 20, 600) // 2, "hardly a round was written out"


def test_a_fan_that_begins_a_round(monkeypatch):
    """What a round takes from the end of the one before, several times, is paid there: the Lorenz equations."""

    def f(x):
        a, b, c = x[0], x[1], x[2]
        for _ in range(100):
            a, b, c = a + 0.01 * x[3] * (b - a), b + 0.01 * (a * (x[4] - c) - b), c + 0.01 * (a * b - x[5] * c)
        return a + b + c

    monkeypatch.setattr(rounds, "SMALLEST", 100)
    monkeypatch.setattr(tape, "FEWEST", 10**9)
    x = np.array([1.0, 1.1, 0.9, 10.0, 28.0, 2.5])
    with recording(True):
        compiled = pb.compile(pb.value_and_grad(f))
        found = compiled(x)
    (body,) = (node.params["body"] for node in compiled._last.body.graph.nodes if node.op.name == "call")
    assert [piece for piece in body.tape.pieces if piece.entries]
    assert same(found, pb.value_and_grad(f)(x))


def test_runs_of_equal_cases(monkeypatch):
    """What repeats nothing is put in another order, and gives the same bits; beside rounds too."""
    with np.errstate(all="ignore"):
        for seed in range(amount.cases(4, 20, 1500)):
            random, x = np.random.default_rng(seed), point(seed)
            one, again = program(seed), repeated(seed)
            made = [
                lambda x, one=one: (lambda y: y[-1] + 0.5 * y[-2])(one(x)),
                again,
                lambda x, one=one, again=again: again(np.array(one(x)[-3:])) + one(x)[-1],
            ][seed % 3]
            f = pb.value_and_grad(made)
            monkeypatch.setattr(rounds, "SMALLEST", 20 if seed % 3 else 10**9)
            monkeypatch.setattr(runs, "BLOCK", int(random.integers(3, 100)))
            monkeypatch.setattr(tape, "FEWEST", 10**9)
            with recording(True):
                wanted = pb.compile(f)(x)
                monkeypatch.setattr(tape, "FEWEST", 1)
                compiled = pb.compile(f)
                found = compiled(x)
                assert same(compiled(x), found), f"{seed}: memory is not left as it was"
            assert same(found, wanted), f"{seed}: {found} is not {wanted}"
