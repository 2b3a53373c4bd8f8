"""Linear algebra and Fourier transforms, compiled, beside JAX's jit: values, and values with gradients.

    python -m benchmarks.matrices --peers PYTHON                      # all, float32 and float64, one thread
    python -m benchmarks.matrices det:100 qr:10000x3 fft:20x1009 --peers PYTHON --dtype float64

A size is that of a square matrix, or `BATCHxSIZE`, or `LINESxLENGTH` of numbers to be transformed.  Contestants work in
turns, in processes of their own; a ratio is the median of those of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.report import told

SECONDS = 0.05  # that a contestant works on a case in each round
EACH = ("30", "100", "10000x3")
SIZES = {
    **dict.fromkeys(("det", "slogdet", "inv", "solve", "cholesky"), EACH),
    **dict.fromkeys(("qr", "pinv", "eigh", "svd"), ("20", "100", "10000x3")),
    "lstsq": ("20", "100"),
    **dict.fromkeys(("fft", "rfft"), ("20x1009", "100x1000", "1x100003")),
}


def functions(np: Any) -> dict[str, Callable[..., Any]]:
    """Of arrays to arrays, in NumPy or in jax.numpy."""
    la, ft = np.linalg, np.fft
    return {
        "det": la.det,
        "slogdet": lambda a: la.slogdet(a)[1],
        "inv": la.inv,
        "solve": la.solve,
        "cholesky": la.cholesky,
        "qr": la.qr,
        "lstsq": lambda a, b: la.lstsq(a, b, rcond=None)[0],
        "pinv": la.pinv,
        "eigh": la.eigh,
        "svd": lambda a: la.svd(a, full_matrices=False),
        "fft": lambda x, y: _parts(ft.fft(x + 1j * y)),
        "rfft": lambda x: _parts(ft.rfft(x)),
    }


def _parts(z: Any) -> tuple[Any, Any]:
    return z.real, z.imag


def arguments(name: str, size: str) -> list[np.ndarray[Any, Any]]:
    """Matrices that every function takes: well conditioned, of different singular values."""
    rng = np.random.default_rng(0)
    shape = tuple(map(int, size.split("x")))
    if name in ("fft", "rfft"):
        return [rng.normal(size=shape) for _ in range(2 if name == "fft" else 1)]
    *batch, n = shape
    a = rng.normal(size=(*batch, n, n)) / n**0.5 + 2.0 * np.eye(n)
    if name in ("cholesky", "eigh"):
        a = a @ np.swapaxes(a, -1, -2)
    if name in ("lstsq", "pinv") and not batch:
        a = rng.normal(size=(2 * n, n))
    if name in ("solve", "lstsq"):
        return [a, rng.normal(size=(*a.shape[:-1], 1) if name == "solve" else a.shape[:-1])]
    return [a]


def contestant(who: str) -> None:
    """Answers lines `[name, size, dtype]` with the seconds of the value, and of value and gradient (null: has none)."""
    xp: Any
    jit: Any
    both: Any
    if who == "jax":
        import jax  # type: ignore[import-not-found, unused-ignore]

        jax.config.update("jax_enable_x64", True)
        xp, jit, both, ready = jax.numpy, jax.jit, jax.value_and_grad, jax.block_until_ready
    else:
        import payback as pb

        xp, jit, both, ready = np, pb.compile, pb.value_and_grad, lambda result: result
    known: dict[str, Any] = {}
    for line in sys.stdin:
        if line not in known:
            name, size, dtype = json.loads(line)
            f, given = functions(xp)[name], [xp.asarray(a.astype(dtype)) for a in arguments(name, size)]

            def cost(*args: Any, f: Any = f) -> Any:
                results = f(*args)
                results = results if isinstance(results, tuple) else (results,)
                return sum(xp.sum(x * x * 0.5 + x) for x in results)

            known = {line: (jit(f), jit(both(cost, tuple(range(len(given))))), given)}
        *two, given = known[line]
        print(json.dumps([_seconds(g, given, ready) for g in two]), flush=True)


def _seconds(f: Any, args: Any, ready: Any) -> float | None:
    try:
        ready(f(*args))
    except NotImplementedError:  # JAX's, of gradients that it has not
        return None
    taken: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(taken) < 3 or time.perf_counter() < end:
        begun = time.perf_counter()
        ready(f(*args))
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _process(python: str, who: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS")}
    env |= {"PAYBACK_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
    command = [python, "-m", "benchmarks.matrices", "--contestant", who]
    pinned = ["taskset", "-c", "0"] if sys.platform == "linux" else []
    return subprocess.Popen([*pinned, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="NAME:SIZE", help=f"names: {', '.join(SIZES)}")
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"], choices=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="the interpreter that has JAX")
    parser.add_argument("--contestant", choices=["payback", "jax"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        return contestant(options.contestant)
    cases = options.cases or [f"{name}:{size}" for name, sizes in SIZES.items() for size in sizes]
    processes = [_process(sys.executable, "payback"), _process(options.peers, "jax")]
    print("| function | type | value | JAX | times faster | with gradient | JAX | times faster |")
    print("|---|---|---|---|---|---|---|---|")
    for case in cases:
        for dtype in options.dtype:
            rounds = []
            for _ in range(options.rounds):
                rounds.append([_asked(process, [*case.split(":"), dtype]) for process in processes])
            cells = []
            for k in range(2):  # the value, then with its gradient
                ours, theirs = ([of[who][k] for of in rounds] for who in range(2))
                cells += _cells(ours, theirs)
            print(f"| {case.replace(':', ' ')} | {dtype} | {' | '.join(cells)} |", flush=True)
    for process in processes:
        process.communicate()
    return None


def _asked(process: subprocess.Popen[str], case: list[str]) -> list[Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(case) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit(f"a contestant ended at {':'.join(case)}")
    return list(json.loads(answer))


def _cells(ours: list[Any], theirs: list[Any]) -> list[str]:
    if None in ours or None in theirs:
        return ["–" if None in each else told(statistics.median(each)) for each in (ours, theirs)] + ["–"]
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return [told(statistics.median(ours)), told(statistics.median(theirs)), f"**{ratio:.2f}×**"]


if __name__ == "__main__":
    main()
