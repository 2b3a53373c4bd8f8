"""Loops on the disk: a new process neither traces nor plans a step that one before it has planned."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.codegen import cache, library
from payback.native.planning import scans
from payback.native.running import cores, program, reuse
from payback.native.running import stored as kept
from payback.native.running.loop import Loop
from payback.trace.tree import leaves
from payback.train import step

X = np.random.default_rng(0).standard_normal((70, 5)).astype(np.float32)


def fit(net=None, **options):
    net = pb.nn.MLP([5, 9, 3], activation="tanh", seed=0) if net is None else net
    options = {"loss": "squared_error", "epochs": 3, "batch_size": 32, "validation": 0} | options
    return [record["loss"] for record in pb.fit(net, X, np.sin(X[:, :3]), progress=False, **options).history]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.SETTING, str(tmp_path / "code"))
    monkeypatch.setattr(cache, "_keys", {})
    monkeypatch.setattr(cache, "_warned", False)
    monkeypatch.setattr(reuse, "_kept", True)
    return tmp_path / "code"


@pytest.fixture
def process(home, monkeypatch):
    """How often a process that knows nothing but this folder traces and plans, and the losses of its training.

    compiling: whether it has no code either.
    """
    counts = {"traced": 0, "planned": 0}

    def counted(name, f):
        def called(*args):
            counts[name] += 1
            return f(*args)

        return called

    monkeypatch.setattr(step, "trace", counted("traced", step.trace))
    monkeypatch.setattr(Loop, "_build", counted("planned", Loop._build))

    def process(*args, compiling=False, training=fit, **options):
        counts.update(traced=0, planned=0)
        monkeypatch.setattr(reuse, "_known", type(reuse._known)())
        for table in ("_addresses", "_named", "_homes") if compiling else ():
            monkeypatch.setattr(library, table, {})
        losses = training(*args, **options)
        return counts["traced"], counts["planned"], losses

    return process


def test_a_new_process_neither_traces_nor_plans(process):
    traced, planned, losses = process(compiling=True)
    assert (traced, planned) == (2, 2)  # whole batches, and what is left over
    assert process(compiling=True) == (0, 0, losses)


SCRIPT = """
import numpy as np, payback as pb
from payback.native.codegen import library
from payback.trace.tree import leaves
from payback.train import step
count, trace = [], step.trace
step.trace = lambda *args: count.append(1) or trace(*args)
x = np.random.default_rng(0).standard_normal((64, 3))
run = pb.fit(pb.nn.MLP([3, 7, 2], seed=0), x, x[:, :2], epochs=2, batch_size=32, validation=0, progress=False)
print(len(count), library.seconds["emit"] > 0, run.history[-1]["loss"])
"""


def test_a_process_of_its_own(home):
    told = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=os.environ | {cache.SETTING: str(home)},
                              capture_output=True, text=True, check=True)  # fmt: skip
        assert not done.stderr
        told.append(done.stdout.split())
    assert told[0][:2] == ["1", "True"]
    assert told[1] == ["0", "False", told[0][2]]


def test_whatever_changes_the_step_is_another_step(process, home, monkeypatch):
    """The results are those of a folder that knows nothing."""
    mlp = lambda *sizes, **options: pb.nn.MLP([*sizes], **{"activation": "tanh", "seed": 0} | options)  # noqa: E731
    changes = {
        "a number of units": {"net": mlp(5, 8, 3)},
        "an activation": {"net": mlp(5, 9, 3, activation="relu")},
        "a dtype": {"net": mlp(5, 9, 3, dtype=float)},
        "a decay": {"optimizer": pb.optim.Adam(beta1=0.5)},
        "what does not decay": {"optimizer": pb.optim.AdamW(exempt=("weight",))},
        "a loss": {"loss": "huber"},
        "weights": {"sample_weight": np.arange(70.0)},
    }
    process()
    for name, change in changes.items():
        with monkeypatch.context() as patched:
            patched.setenv(cache.SETTING, str(home) + name)
            alone = process(**change)
        assert alone[:2] == (2, 2)
        assert process(**change) == alone, name
        assert process(**change) == (0, 0, alone[2]), name


class Half(pb.optim.Adam):
    def leaf(self, p, g, slots, rate, step):
        return super().leaf(p, g, slots, 0.5 * rate, step)


class Doubled(pb.nn.Module):
    def __call__(self, x):
        return 2.0 * x


OWN = {
    "a layer of one's own": lambda patched: {
        "net": pb.nn.Sequential(*pb.nn.MLP([5, 9, 3], "tanh", seed=0).layers, Doubled())
    },
    "an optimizer of one's own": lambda patched: {"optimizer": Half()},
    "another activation": lambda patched: patched.setitem(pb.nn.ACTIVATIONS, "tanh", lambda x: x / (1.0 + x * x)),
    "another loss": lambda patched: patched.setitem(
        pb.nn.LOSSES, "squared_error", lambda p, y, w: ((p - y) * (p - y)).sum()
    ),
    "a layer that does something else": lambda patched: patched.setattr(
        pb.nn.Linear, "__call__", lambda self, x: x @ self.weight - 2.0 * self.bias
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_what_is_not_payback_s_own_is_traced_and_compared_as_a_graph(process, monkeypatch, name):
    _, _, losses = process()
    with monkeypatch.context() as patched:
        options = OWN[name](patched) or {}
        first = process(**options)
        assert first[0] == 2
        assert first[2] != losses
        assert process(**options) == (2, 0, first[2])
    assert process() == (0, 0, losses)


def test_a_plan_is_not_used_by_another_payback(process, monkeypatch):
    _, _, losses = process()
    for name, value in {"__version__": "0.0", "_BEGUN": 0}.items():  # the files may be others than what is running
        with monkeypatch.context() as patched:
            patched.setattr(cache, name, value)
            cache._stamp.cache_clear()
            assert process() == (2, 2, losses)
        cache._stamp.cache_clear()
    assert process() == (0, 0, losses)


@pytest.mark.parametrize("trouble", ["altered", "cut short", "empty", "code is gone"][amount.cases(2, 0) :])
def test_what_does_not_look_right_is_planned_again(process, home, trouble):
    gone = trouble == "code is gone"
    _, _, losses = process(compiling=gone)
    plans = list(home.glob("*.plan"))
    assert plans
    for entry in plans:
        content = entry.read_bytes()
        changed = {"altered": content[:50] + bytes([content[50] ^ 1]) + content[51:], "cut short": content[:-8]}
        entry.write_bytes(changed.get(trouble, b"" if trouble == "empty" else content))
    for entry in home.glob("*.code") if gone else ():
        entry.unlink()
    assert process(compiling=gone) == (2, 2, losses)
    assert process(compiling=gone) == (0, 0, losses)


def test_off_and_forgotten(process, home, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv(cache.SETTING, "off")
        assert process()[:2] == (2, 2)
    reuse.forget()
    assert process()[:2] == (2, 2)
    assert not list(home.glob("*.plan"))


def test_a_kept_loop_has_the_plan_of_the_one_that_was_made(process, monkeypatch):
    """Everything that a run reads is the same, and the plan itself can be asked for."""
    loops = []
    monkeypatch.setattr(reuse, "keep", lambda name, loop: (loops.append(loop), kept.keep(name, loop)))
    monkeypatch.setattr(reuse, "kept", lambda *args: loops.append(kept.kept(*args)) or loops[-1])
    for _ in range(2):
        process(batch_size=35)
    none, made, found = loops
    assert none is None
    assert type(made) is Loop
    assert type(found) is kept.KeptLoop
    for name in ("flat", "flags", "threads", "commands"):
        assert np.array_equal(*(getattr(loop.machine.segment, name) for loop in (made, found))), name
    for name in ("carried", "rows", "streams", "recorded", "before", "after", "chosen", "backwards", "input_bases",
                 "output_bases", "stops", "arena_bytes", "records"):  # fmt: skip
        assert getattr(made, name) == getattr(found, name), name
    assert made.order.base == found.order.base
    assert np.array_equal(made.advances, found.advances)
    assert [c.text for c in found.planner.commands] == [c.text for c in made.planner.commands]
    assert len(found.graph.nodes) == len(made.graph.nodes)


def chain(x, w, b):
    for _ in range(3):
        x = np.tanh(x @ w + b) * 0.75 + x
    return (x * x).sum()


ARGS = np.ones((6, 4)), np.eye(4) * 0.5, np.arange(4.0)


@pytest.fixture
def compiled(home, monkeypatch):
    """A call by a process that knows nothing but the folder: what the program is, and the results."""
    monkeypatch.setattr(cache, "_stamp", lambda: b"as it was")  # files may be younger than this process

    def compiled(f, *args, native_code=False, **options):
        for table in () if native_code else ("_addresses", "_named", "_homes"):
            monkeypatch.setattr(library, table, {})
        function = pb.compile(f, **options)
        results = [function(*args), function(*args)]  # the second goes the fast way
        (trace,) = function._traces.values()
        return type(trace.program), function, results

    return compiled


def same(found, wanted):
    for one, other in zip(leaves(found), leaves(wanted), strict=True):
        assert type(one) is type(other)
        np.testing.assert_array_equal(one, other)


def test_a_compiled_function_is_planned_once(compiled, monkeypatch):
    gradient = pb.value_and_grad(chain, argnums=(0, 1, 2))
    planned, _, wanted = compiled(gradient, *ARGS)
    assert planned is program.Program
    monkeypatch.setattr(program.Program, "__init__", None)  # nobody plans
    read, function, found = compiled(gradient, *ARGS)
    assert read is kept.KeptProgram
    same(found, wanted)
    assert function._fast is not None


def test_a_kept_program_can_be_looked_at(compiled):
    compiled(chain, *ARGS)
    read, function, _ = compiled(chain, *ARGS)
    assert read is kept.KeptProgram
    assert "tanh" in function.explain_compilation()
    assert "define" in function.llvm


def test_whatever_changes_a_program_is_another_program(compiled):
    """Each is planned, and right."""
    compiled(chain, *ARGS)
    x, w, b = ARGS
    others = {
        "dtype": (chain, [a.astype(np.float32) for a in ARGS]),
        "shape": (chain, [x[:5], w, b]),
        "operation": (lambda x, w, b: chain(x, w, b) * 1.0 + np.max(x), [x, w, b]),
        "number": (lambda x, w, b: chain(x, w, b) * 0.5, [x, w, b]),
        "next number": (lambda x, w, b: chain(x, w, b) * np.nextafter(0.5, 1.0), [x, w, b]),
        "order": (lambda x, w, b: chain(x, w, b) - x[0, 1], [x, w, b]),
        "place": (lambda x, w, b: chain(x, w, b) - x[1, 0], [x, w, b]),
    }
    for what, (f, args) in others.items():
        kind, _, found = compiled(f, *args)
        assert kind is program.Program, what
        np.testing.assert_allclose(found[0], f(*args), rtol=1e-5 if what == "dtype" else 1e-13)
        assert compiled(f, *args)[0] is kept.KeptProgram, what
    kinds = []
    for last in (4.0, 5.0):  # arrays of the function's own are read at each call
        array = np.array([1.0, 2.0, 3.0, last])
        f = lambda x, w, b, array=array: chain(x, w, b * array)  # noqa: E731
        kind, _, found = compiled(f, *ARGS)
        kinds.append(kind)
        np.testing.assert_allclose(found[0], f(*ARGS), rtol=1e-13)
    assert kinds == [program.Program, kept.KeptProgram]
    pb.set_threads(cores.threads() + 1)
    try:
        assert compiled(chain, *ARGS)[0] is program.Program
    finally:
        pb.set_threads(None)


def test_donated_memory_of_a_kept_program(compiled):
    def step(w, g):
        return w - 0.1 * g, np.sum(g)

    for kind in (program.Program, kept.KeptProgram):
        given = [np.arange(6.0), np.ones(6)]
        found, _, (first, _) = compiled(step, *given, donate="w")
        assert found is kind
        assert first[0] is given[0]
        np.testing.assert_array_equal(given[0], np.arange(6.0) - 0.1 - 0.1)


def test_a_product_of_bands_is_kept_without_addresses(compiled, home):
    """Bands call kernels by addresses that stand among their numbers: another process has others."""

    def banded(x, w):
        return (np.tanh(np.tanh(x @ w) @ w) ** 2).sum(0)

    args = np.random.default_rng(0).standard_normal((20_000, 16)), np.eye(16)
    kind, function, wanted = compiled(banded, *args)
    (trace,) = function._traces.values()
    assert kind is program.Program
    assert trace.program.segment.written.inner
    kind, _, found = compiled(banded, *args)
    assert kind is kept.KeptProgram
    same(found, wanted)


def test_a_spoiled_plan_of_a_program_is_planned_anew(compiled, home):
    _, _, wanted = compiled(chain, *ARGS)
    (entry,) = home.glob("*.plan")
    content = entry.read_bytes()
    flipped = bytes(b ^ 1 if k == len(content) // 2 else b for k, b in enumerate(content))
    other = home / ("0" * 40 + ".plan")
    for spoiled in (b"", content[:40], content[:-1], flipped, content + b"\0", b"\0" * 4096):
        entry.write_bytes(spoiled)
        kind, _, found = compiled(chain, *ARGS)
        assert kind is program.Program
        same(found, wanted)
    other.write_bytes(content)
    os.chmod(other, 0o600)
    assert cache.load(other.name) is None  # sealed under another name


def test_what_runs_on_numpy_is_planned_anew(compiled, home):
    def factored(x):
        return np.linalg.inv(x) + np.linalg.eigvalsh(x @ x.T)

    kinds = [compiled(factored, np.eye(30) * 2.0)[0] for _ in range(2)]  # more rows than are native
    assert kinds == [program.Program] * 2
    assert not list(home.glob("*.plan"))


@pytest.mark.parametrize("inside", [True, False])
def test_scans_and_loops_are_known_by_their_bodies(compiled, inside, monkeypatch):
    """Also where their kernels are called by address."""
    monkeypatch.setattr(scans, "WRITTEN_INSIDE", 100_000 * inside)

    def scanned(factor, limit):
        def f(x):
            x = pb.scan(lambda c, _: (np.sin(c @ c) * factor + 1.0, c), x, None, length=3)[0]
            return pb.while_loop(lambda c: np.sum(c) < limit, lambda c: c * 2.0, x)

        return f

    x = np.eye(3) * 2.0
    kinds = [(0.5, 40.0), (0.5, 40.0), (0.25, 40.0), (0.25, 90.0), (0.25, 90.0)]
    made = [compiled(scanned(*kind), x) for kind in kinds]
    anew, again = program.Program, kept.KeptProgram
    assert [kind for kind, _, _ in made] == [anew, again, anew, anew, again]
    for (_, _, found), kind in zip(made, kinds, strict=True):
        np.testing.assert_allclose(found, [scanned(*kind)(x)] * 2, rtol=1e-12)
