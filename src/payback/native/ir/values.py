"""Types, and values of them: a name or a constant, as LLVM writes it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, ClassVar


class Type:
    """text: as LLVM writes it; empty: its zero.  There is one object for equal arguments."""

    text: str
    empty = "zeroinitializer"
    _made: ClassVar[dict[Any, Any]] = {}

    def __new__(cls, *args: Any) -> Any:
        key = (cls, *[tuple(x) if isinstance(x, list) else x for x in args])
        found = Type._made.get(key)
        if found is None:
            found = object.__new__(cls)
            found._set(*key[1:])
            found = Type._made.setdefault(key, found)  # another thread may have been quicker
        return found

    def _set(self, *args: Any) -> None:
        pass

    def __str__(self) -> str:
        return self.text

    def __call__(self, value: Any) -> Constant:
        return Constant(self, value)

    def written(self, value: Any) -> str:
        """A constant of this type that is neither its zero nor undefined."""
        raise NotImplementedError


class VoidType(Type):
    text = "void"


class PointerType(Type):
    """pointee: of what can be called, the type of the function."""

    text, empty, pointee = "ptr", "null", None

    def _set(self, pointee: Any = None) -> None:
        self.pointee = pointee


class IntType(Type):
    empty = "0"

    def _set(self, width: int) -> None:
        self.width, self.text = width, f"i{width}"

    def written(self, value: Any) -> str:
        return str(int(value))


class _FloatingType(Type):
    empty = "0.0"

    def written(self, value: Any) -> str:
        return f"0x{struct.pack('>d', self.rounded(float(value))).hex()}"

    @staticmethod
    def rounded(value: float) -> float:
        return value


class DoubleType(_FloatingType):
    text = "double"


class FloatType(_FloatingType):
    text = "float"

    @staticmethod
    def rounded(value: float) -> float:
        try:
            return float(struct.unpack("f", struct.pack("f", value))[0])
        except OverflowError:
            return value * float("inf")


class HalfType(_FloatingType):
    text = "half"

    @staticmethod
    def rounded(value: float) -> float:
        try:
            return float(struct.unpack("e", struct.pack("e", value))[0])
        except OverflowError:
            return value * float("inf")


class _Several(Type):
    """Elements of one type."""

    brackets = "[]"

    def _set(self, element: Type, count: int) -> None:
        self.element, self.count = element, count
        self.text = f"{self.brackets[0]}{count} x {element}{self.brackets[1]}"

    def written(self, value: Any) -> str:
        kind = self.element
        items = [x if isinstance(x, Value) else Constant(kind, x) for x in value]
        return self.brackets[0] + ", ".join([f"{kind.text} {x.text}" for x in items]) + self.brackets[1]


class ArrayType(_Several):
    pass


class VectorType(_Several):
    brackets = "<>"

    def _set(self, element: Type, count: int) -> None:
        if isinstance(element, VectorType):
            raise TypeError(f"a vector of {element}")
        super()._set(element, count)


class LiteralStructType(Type):
    def _set(self, elements: Sequence[Type]) -> None:
        self.elements, self.text = elements, "{ " + ", ".join(map(str, elements)) + " }"


class FunctionType(Type):
    def _set(self, result: Type, args: Sequence[Type]) -> None:
        self.result, self.args = result, args
        self.text = f"{result} ({', '.join(map(str, args))})"


class Undefined:
    """The value of a constant that is any."""


class Value:
    """type, and text: its name, or what is written for a constant."""

    __slots__ = ("text", "type")

    def __init__(self, type: Type, text: str):
        self.type, self.text = type, text

    def __str__(self) -> str:
        return f"{self.type.text} {self.text}"


class Constant(Value):
    """None: zero."""

    __slots__ = ("constant",)

    def __init__(self, type: Type, value: Any):
        self.type, self.constant = type, value
        if type.__class__ is IntType and value.__class__ is int:
            self.text = str(value)
        elif value is Undefined:
            self.text = "undef"
        else:
            self.text = type.empty if value is None else type.written(value)

    def bitcast(self, kind: Type) -> Value:
        """The constant of another type that has the same bits."""
        return Value(kind, f"bitcast ({self.type.text} {self.text} to {kind.text})")
