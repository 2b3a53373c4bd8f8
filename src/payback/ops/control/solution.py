"""`solution`: x with body(x, *parameters) = 0, found by any solver, differentiated by the implicit function theorem.

∂x/∂θ = −J⁻¹·∂f/∂θ with J = ∂f/∂x at the solution: how the solver got there plays no part.  The rules read the solution
from the graph, so they can be differentiated again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import NonFiniteError
from payback.ir.aval import Aval
from payback.ir.where import caller, position
from payback.ops.control.call import is_floating
from payback.ops.row import Row


class Equations:
    """What a solver is given: `g(x)`, which is to become 0, and `g.jacobian(x)`, a matrix."""

    def __init__(self, m: Any, body: Any, parameters: tuple[Any, ...]):
        self.m, self.body, self.parameters = m, body, parameters

    def __call__(self, x: Any) -> Any:
        aval = self.body.takes[0]
        return self.body(np.asarray(x, aval.dtype).reshape(aval.shape)[()], *self.parameters)[0]

    def jacobian(self, x: Any) -> Any:
        aval = self.body.takes[0]
        x = np.asarray(x, aval.dtype).reshape(aval.shape)[()]
        return _jacobian(self.m, x, list(self.parameters), self.body)


def solution_values(m: Any, start: Any, *parameters: Any, body: Any, solver: Any) -> Any:
    equations, aval = Equations(m, body, parameters), body.takes[0]
    try:
        found = solver(equations, start)
    except NonFiniteError:
        raise
    except ArithmeticError as problem:  # SciPy's mixing methods overflow where they run away
        raise _unsolved(f"the solver raised {type(problem).__name__}: {problem}") from problem
    found = np.asarray(found, aval.dtype).reshape(aval.shape)[()]
    if not getattr(solver, "converges", False):
        _checked(equations, found, start)
    return found


_NEAR = 1e-2  # of the size of x: a loose tolerance is its author's matter, a place that is no solution is none


def _checked(equations: Equations, found: Any, start: Any) -> None:
    """Raises NonFiniteError if no solution is near: the implicit function theorem would give numbers all the same."""
    residual = np.asarray(equations(found)).reshape(-1, 1)
    size = float(np.linalg.norm(residual))
    if size <= 1e-3 * float(np.linalg.norm(np.asarray(equations(start)).ravel())):
        return
    step = np.inf
    if np.isfinite(size):
        matrix = equations.jacobian(found)
        step = float(np.linalg.norm(np.linalg.lstsq(matrix, residual, rcond=None)[0]))
    scale = max(float(np.linalg.norm(np.ravel(found))), float(np.linalg.norm(np.ravel(start))))
    if not step <= max(_NEAR * scale, float(np.finfo(residual.dtype).eps) ** 0.5):
        raise _unsolved(f"the solver stopped where |f(x)| = {size:.3g}, and no solution is near")


def _unsolved(why: str) -> NonFiniteError:
    return NonFiniteError("root found no solution", where=position(caller(2)), why=why,
                          fix="start nearer, or give another solver=")  # fmt: skip


def _jacobian(m: Any, y: Any, parameters: list[Any], body: Any) -> Any:
    """J at the solution, a row at a time: (n, n) for n unknowns."""
    aval: Aval = body.takes[0]
    pulled, answered = body.pullback((0,), (0,))
    n, count = aval.size, len(parameters)

    def build(m: Any, *terms: Any) -> list[Any]:
        if not answered[0]:
            return [m.zeros(Aval((n,), aval.dtype))]
        (row,) = pulled.inline(m, [*terms[:-1], m.reshape(terms[-1], shape=aval.shape)])
        return [m.reshape(row, shape=(n,))]

    step = body.once(("row",), [*body.takes, Aval((n,), aval.dtype)], build)
    ran = m.scan(y, *parameters, np.eye(n, dtype=aval.dtype), body=step, constants=1 + count, carried=0, length=n,
                 backwards=False)  # fmt: skip
    return m.part(ran, k=0)


def _solved(m: Any, matrix: Any, bar: Any, shape: tuple[int, ...]) -> Any:
    column = m.reshape(bar, shape=(int(np.prod(shape, dtype=int)), 1))
    return m.reshape(m.solve(matrix, column), shape=shape)


def _vjp(m: Any, bar: Any, args: list[Any], y: Any, wanted: list[int], body: Any, solver: Any) -> list[Any]:
    parameters = args[1:]
    matrix = m.transpose(_jacobian(m, y, parameters, body), axes=(1, 0))
    owed = -_solved(m, matrix, bar, body.takes[0].shape)
    slots = tuple(slot for slot in wanted if slot and is_floating(body.takes[slot]))
    pulled, answered = body.pullback(slots, (0,))
    made = m.call(y, *parameters, owed, body=pulled)
    answers: list[Any] = [None] * len(args)
    place = 0
    for slot, there in zip(slots, answered, strict=True):
        if there:
            answers[slot], place = m.part(made, k=place), place + 1
    return answers


def _jvp(m: Any, dots: dict[int, Any], args: list[Any], y: Any, body: Any, solver: Any) -> Any:
    parameters = args[1:]
    moved = tuple(slot for slot in sorted(dots) if slot)
    pushed, answered = body.pushforward(moved)
    if not answered[0]:
        return None
    made = m.call(y, *parameters, *[dots[slot] for slot in moved], body=pushed)
    return -_solved(m, _jacobian(m, y, parameters, body), m.part(made, k=1), body.takes[0].shape)


Row(
    "solution",
    "own",
    lambda m, *args, **params: m.solution(*args, **params),
    shape=lambda start, *parameters, body, solver: body.takes[0],
    vjp=_vjp,
    jvp=_jvp,
    math="−J⁻¹·∂f/∂θ",
)
