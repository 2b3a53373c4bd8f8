"""micrograd, with the one function that it lacks, written as its own are; its sweep recurses on a large stack."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

from micrograd.engine import Value

VARIANTS = [""]


class _Functions:
    __name__ = "micrograd"

    @staticmethod
    def sin(x: Value) -> Value:
        out = Value(math.sin(x.data), (x,), "sin")

        def _backward() -> None:
            x.grad += math.cos(x.data) * out.grad

        out._backward = _backward
        return out


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    if work.kind == "training":
        raise NotImplementedError("it is for scalars")
    (x,) = data

    def once() -> tuple[float, list[float]]:
        entries = [Value(float(entry)) for entry in x]
        top = work.f(_Functions, entries)
        top.backward()
        return top.data, [entry.grad for entry in entries]

    def deeply(count: int) -> Any:
        """In a thread with a stack for a recursion as deep as the program is long."""
        answer: list[Any] = []

        def run() -> None:
            sys.setrecursionlimit(10**7)
            try:
                for _ in range(count):
                    answer[:] = once()
            except BaseException as problem:
                answer[:] = [problem]

        threading.stack_size(1 << 30)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if isinstance(answer[0], BaseException):
            raise answer[0]
        return answer

    def check() -> list[float]:
        value, gradient = deeply(1)
        return [float(value), float(sum(gradient))]

    def repeat(count: int) -> None:
        deeply(count)

    return check, repeat
