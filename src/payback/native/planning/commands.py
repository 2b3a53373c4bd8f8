"""What a program consists of: commands, and the numbers that stand in them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.errors import InputError
from payback.ir.node import Node
from payback.ir.where import position
from payback.native.lower.pointwise import code_of
from payback.native.planning.layout import Buffer, View

_PLAIN = {"0.0", "-0.0", "1.0", "-1.0", "0.5", "2.0", "inf", "-inf", "nan"}  # numbers that are part of the code


class Command:
    """One call: of a kernel with operands and numbers, or (kernel None) of a row's rule on NumPy arrays.

    reads, writes  views; of a nest, by operand
    numbers        what follows the operands in `args`
    inner          (place in the numbers, kernel) of kernels whose addresses stand there
    source         what it was lowered from, if that can be lowered again for some rows (`bands.py`); one object for all
                   commands that came of it
    owner          the thread that owns what it makes, and runs it; None: the first one does, or all of them
    """

    __slots__ = (
        "flops", "inner", "kernel", "node", "numbers", "operands", "owner", "reads", "source", "text", "writes",
    )  # fmt: skip

    def __init__(
        self, kernel: Any, operands: Sequence[View], numbers: Sequence[int], reads: Sequence[View],
        writes: Sequence[View], node: Node | None = None, text: str = "", flops: int = 0,
    ):  # fmt: skip
        self.kernel, self.operands, self.numbers = kernel, tuple(operands), tuple(numbers)
        self.reads, self.writes, self.node, self.text, self.flops = tuple(reads), tuple(writes), node, text, flops
        self.inner: tuple[tuple[int, Any], ...] = ()
        self.source: Any = None
        self.owner: int | None = None

    @property
    def kernels(self) -> list[Any]:
        """The kernels that it runs; none where it runs on NumPy."""
        return [*([] if self.kernel is None else [self.kernel]), *[kernel for _, kernel in self.inner]]

    @property
    def bytes(self) -> int:
        """About what a nest moves through memory."""
        return sum(view.buffer.bytes for view in self.operands)

    def replace(self, old: Buffer, new: Buffer) -> None:
        """Use another buffer in place of one, in what it may be lowered from again too."""
        self.operands, self.reads, self.writes = (_moved(v, old, new) for v in (self.operands, self.reads, self.writes))
        self.source = _moved(self.source, old, new)


def _moved(part: Any, old: Buffer, new: Buffer) -> Any:
    """A view, or what views stand in, with another buffer in place of one."""
    if isinstance(part, View):
        return part._replace(buffer=new) if part.buffer is old else part
    if not isinstance(part, tuple):
        return part
    parts = [_moved(each, old, new) for each in part]
    return type(part)(*parts) if hasattr(part, "_fields") else tuple(parts)


class Scalar:
    """A number that is the same at every entry: a literal, or an array whose entries are all equal."""

    __slots__ = ("code", "value")

    def __init__(self, code: str, value: Any):
        self.code, self.value = code, value


def scalar_constant(node: Node) -> Scalar | None:
    value, dtype = node.value, node.aval.dtype
    if isinstance(value, np.ndarray) and value.ndim:
        if value.size == 0:
            return None
        first, last = value[(0,) * value.ndim], value[(-1,) * value.ndim]
        if first.tobytes() != last.tobytes():
            return None
        if any(value.strides):  # numbers are compared by their bits
            bits = np.ascontiguousarray(value).reshape(-1, 1).view(f"u{min(value.itemsize, 8)}")
            if (bits != bits[0]).any():
                return None
        value = first
    if type(value) is int and dtype.kind == "i" and not -(2**63) <= value < 2**63:
        raise InputError(
            "a whole number of more than 64 bits cannot be compiled",
            where=position(node.where),
            why=f"with its sign it needs {value.bit_length() + 1}, and compiled programs have 64",
            fix="compute with it outside, or use a float",
        )
    return Scalar(code_of(dtype), dtype.type(value))


def text_of(scalar: Scalar) -> str:
    return repr(float(scalar.value)) if scalar.code[0] == "f" else str(int(scalar.value))


def number_of(scalar: Scalar, factors: list[int]) -> tuple[Any, ...]:
    """The instr for a number: written into the code, or a factor that the code is given."""
    return number(text_of(scalar), scalar.code, factors)


def number(text: str, code: str, factors: list[int]) -> tuple[Any, ...]:
    if code[0] != "f" or text in _PLAIN:
        return ("lit", code, text)
    factors.append(bits_of(code, float(text)))
    return ("arg", code, len(factors) - 1)


def bits_of(code: str, value: float) -> int:
    if code == "f8":
        return struct.unpack("<q", struct.pack("<d", value))[0]
    return struct.unpack("<i", struct.pack("<f", value))[0]
