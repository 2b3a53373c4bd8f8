"""LLVM IR as text, written while it is built: types, values, functions, and a builder with the methods of llvmlite's.

Half of what emitting took went into llvmlite's objects for instructions, and into their text.  Here an instruction is
its line: what is kept of it is its name and its type.  What a block computes once more from the same operands is the
value that it has.  Types are compared by identity.  Wrong types are found by LLVM, when it reads the text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

_PLAIN = re.compile(r"[-a-zA-Z$._][-a-zA-Z$._0-9]*")
_SIGNED = {"<": "slt", "<=": "sle", ">": "sgt", ">=": "sge", "==": "eq", "!=": "ne"}
_UNSIGNED = {"<": "ult", "<=": "ule", ">": "ugt", ">=": "uge", "==": "eq", "!=": "ne"}
_ORDERED = {"<": "olt", "<=": "ole", ">": "ogt", ">=": "oge", "==": "oeq", "!=": "one", "ord": "ord", "uno": "uno"}
_UNORDERED = {"<": "ult", "<=": "ule", ">": "ugt", ">=": "uge", "==": "ueq", "!=": "une", "ord": "ord", "uno": "uno"}


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


# --- values ---------------------------------------------------------------------------------------------------


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


class Phi(Value):
    __slots__ = ("incoming",)

    def __init__(self, type: Type, text: str):
        super().__init__(type, text)
        self.incoming: list[str] = []

    def add_incoming(self, value: Value, block: Block) -> None:
        self.incoming.append(f"[{value.text}, %{block.name}]")

    def __str__(self) -> str:
        return f"{self.text} = phi {self.type.text} {', '.join(self.incoming)}"


PhiInstr = Phi


class Switch:
    def __init__(self, value: Value, default: Block):
        self.value, self.default = value, default
        self.cases: list[str] = []

    def add_case(self, value: Any, block: Block) -> None:
        value = value if isinstance(value, Value) else Constant(self.value.type, value)
        self.cases.append(f"{value.type.text} {value.text}, label %{block.name}")

    def __str__(self) -> str:
        value = self.value
        return f"switch {value.type.text} {value.text}, label %{self.default.name} [{' '.join(self.cases)}]"


class Block:
    """lines: instructions; known: values by what computes them; ended: whether the last one goes elsewhere."""

    __slots__ = ("ended", "function", "known", "lines", "name")

    def __init__(self, function: Function, name: str):
        self.function, self.name = function, name
        self.lines: list[Any] = []
        self.known: dict[str, Value] = {}
        self.ended = False

    @property
    def is_terminated(self) -> bool:
        return self.ended


class Module:
    def __init__(self, name: str = ""):
        self.name, self.triple = name, ""
        self.globals: dict[str, Any] = {}
        self.metadata: dict[str, int] = {}

    def add(self, name: str, value: Any) -> str:
        """A name for what others may refer to, as it is written."""
        if name in self.globals:
            raise ValueError(f"{name} is defined twice")
        self.globals[name] = value
        return f"@{name}" if _PLAIN.fullmatch(name) else f'@"{name}"'

    @property
    def functions(self) -> list[Function]:
        return [thing for thing in self.globals.values() if isinstance(thing, Function)]

    def note(self, text: str) -> int:
        """The number of a piece of metadata."""
        return self.metadata.setdefault(text, len(self.metadata))

    def head(self) -> list[str]:
        return [f'target triple = "{self.triple}"'] if self.triple else []

    def tail(self) -> list[str]:
        return [*[f"!{number} = {text}" for text, number in self.metadata.items()], ""]

    def __str__(self) -> str:
        lines = self.head()
        for thing in self.globals.values():
            thing.write(lines)
        return "\n".join(lines + self.tail())


class GlobalVariable(Value):
    def __init__(self, module: Module, kind: Type, name: str):
        super().__init__(PointerType(), module.add(name, self))
        self.kind, self.linkage, self.global_constant, self.align = kind, "", False, 0
        self.initializer: Constant | None = None

    defined = True

    def declared(self) -> str:
        return f"{self.text} = external {'constant' if self.global_constant else 'global'} {self.kind}"

    def write(self, lines: list[str], shared: bool = False) -> None:
        """shared: other modules refer to it."""
        how = f"{'' if shared else self.linkage} {'constant' if self.global_constant else 'global'}".strip()
        initial = self.initializer.text if self.initializer else "zeroinitializer"
        align = f", align {self.align}" if self.align else ""
        lines.append(f"{self.text} = {how} {self.kind} {initial}{align}")


class Function(Value):
    def __init__(self, module: Module, kind: FunctionType, name: str):
        super().__init__(PointerType(kind), module.add(name, self))
        self.module, self.name, self.kind, self.linkage = module, name, kind, ""
        self.args = [Value(type, f"%a{k}") for k, type in enumerate(kind.args)]
        self.blocks: list[Block] = []
        self.values = 0

    def append_basic_block(self, name: str = "") -> Block:
        made = Block(self, f"b{len(self.blocks)}")
        self.blocks.append(made)
        return made

    @property
    def defined(self) -> bool:
        return bool(self.blocks)

    def declared(self) -> str:
        return f"declare {self.kind.result} {self.text}({', '.join(map(str, self.kind.args))})"

    def write(self, lines: list[str], shared: bool = False) -> None:
        """shared: other modules call it."""
        if not self.blocks:
            lines.append(self.declared())
            return
        linkage = f"{self.linkage} " if self.linkage and not shared else ""
        lines.append(f"define {linkage}{self.kind.result} {self.text}({', '.join(map(str, self.args))}) {{")
        for block in self.blocks:
            lines.append(f"{block.name}:")
            lines += [line if line.__class__ is str else str(line) for line in block.lines]
        lines.append("}")


# --- the builder ----------------------------------------------------------------------------------------------


def _binary(name: str) -> Any:
    def operation(self: IRBuilder, a: Value, b: Value) -> Value:
        return self._pure(f"{name} {a.type.text} {a.text}, {b.text}", a.type)

    return operation


def _cast(name: str) -> Any:
    def operation(self: IRBuilder, value: Value, kind: Type) -> Value:
        if value.type is kind:
            return value
        return self._pure(f"{name} {value.type.text} {value.text} to {kind.text}", kind)

    return operation


class IRBuilder:
    """Writes at the end of a block."""

    def __init__(self, block: Block):
        self.position_at_end(block)

    def position_at_end(self, block: Block) -> None:
        self.block, self.function = block, block.function
        self._lines, self._known = block.lines, block.known

    @property
    def module(self) -> Module:
        return self.function.module

    def append_basic_block(self, name: str = "") -> Block:
        return self.function.append_basic_block(name)

    @contextmanager
    def goto_block(self, block: Block) -> Iterator[None]:
        """Write in another block, before its end."""
        before, last = self.block, block.lines.pop() if block.ended else None
        block.ended = False
        self.position_at_end(block)
        yield
        if last is not None:
            block.lines.append(last)
            block.ended = True
        self.position_at_end(before)

    def goto_entry_block(self) -> Any:
        return self.goto_block(self.function.blocks[0])

    def _name(self) -> str:
        function = self.function
        function.values = number = function.values + 1
        return f"%v{number}"

    def _pure(self, text: str, kind: Type) -> Value:
        """What depends on its operands alone."""
        made = self._known.get(text)
        if made is None or made.type is not kind:  # pointers to what can be called differ by type alone
            function = self.function
            function.values = number = function.values + 1
            made = self._known[text] = Value(kind, f"%v{number}")
            self._lines.append(f"{made.text} = {text}")
        return made

    def _made(self, text: str, kind: Type) -> Value:
        made = Value(kind, self._name())
        self._lines.append(f"{made.text} = {text}")
        return made

    def _end(self, text: Any) -> None:
        self._lines.append(text)
        self.block.ended = True

    sub, and_, or_, xor = (_binary(name) for name in ("sub", "and", "or", "xor"))
    shl, lshr, ashr = (_binary(name) for name in ("shl", "lshr", "ashr"))
    udiv, sdiv, urem, srem = (_binary(name) for name in ("udiv", "sdiv", "urem", "srem"))
    fadd, fsub, fmul, fdiv, frem = (_binary(name) for name in ("fadd", "fsub", "fmul", "fdiv", "frem"))
    trunc, zext, sext, bitcast = (_cast(name) for name in ("trunc", "zext", "sext", "bitcast"))
    fptrunc, fpext, fptosi, sitofp, uitofp = (_cast(x) for x in ("fptrunc", "fpext", "fptosi", "sitofp", "uitofp"))
    fptoui, ptrtoint, inttoptr = (_cast(name) for name in ("fptoui", "ptrtoint", "inttoptr"))

    def add(self, a: Value, b: Value) -> Value:
        if a.text == "0":
            return b
        return a if b.text == "0" else self._pure(f"add {a.type.text} {a.text}, {b.text}", a.type)

    def mul(self, a: Value, b: Value) -> Value:
        if a.text == "1":
            return b
        return a if b.text == "1" else self._pure(f"mul {a.type.text} {a.text}, {b.text}", a.type)

    def neg(self, a: Value) -> Value:
        return self.sub(Constant(a.type, None), a)

    def not_(self, a: Value) -> Value:
        ones = [-1] * a.type.count if isinstance(a.type, VectorType) else -1
        return self.xor(a, Constant(a.type, ones))

    def fneg(self, a: Value) -> Value:
        return self._pure(f"fneg {a.type.text} {a.text}", a.type)

    def _compare(self, what: str, a: Value, b: Value) -> Value:
        kind = a.type
        bit = VectorType(IntType(1), kind.count) if isinstance(kind, VectorType) else IntType(1)
        return self._pure(f"{what} {kind.text} {a.text}, {b.text}", bit)

    def icmp_signed(self, operator: str, a: Value, b: Value) -> Value:
        return self._compare(f"icmp {_SIGNED[operator]}", a, b)

    def icmp_unsigned(self, operator: str, a: Value, b: Value) -> Value:
        return self._compare(f"icmp {_UNSIGNED[operator]}", a, b)

    def fcmp_ordered(self, operator: str, a: Value, b: Value) -> Value:
        return self._compare(f"fcmp {_ORDERED[operator]}", a, b)

    def fcmp_unordered(self, operator: str, a: Value, b: Value) -> Value:
        return self._compare(f"fcmp {_UNORDERED[operator]}", a, b)

    def select(self, condition: Value, high: Value, low: Value) -> Value:
        kind = high.type
        text = f"select {condition.type.text} {condition.text}, {kind.text} {high.text}, {kind.text} {low.text}"
        return self._pure(text, kind)

    def extract_element(self, vector: Value, at: Value) -> Value:
        text = f"extractelement {vector.type.text} {vector.text}, {at.type.text} {at.text}"
        return self._pure(text, vector.type.element)

    def insert_element(self, vector: Value, value: Value, at: Value) -> Value:
        text = f"insertelement {vector.type.text} {vector.text}, {value.type.text} {value.text}, "
        return self._pure(f"{text}{at.type.text} {at.text}", vector.type)

    def shuffle_vector(self, a: Value, b: Value, order: Value) -> Value:
        kind = a.type
        text = f"shufflevector {kind.text} {a.text}, {kind.text} {b.text}, {order.type.text} {order.text}"
        return self._pure(text, VectorType(kind.element, order.type.count))

    def extract_value(self, whole: Value, k: int) -> Value:
        return self._pure(f"extractvalue {whole.type.text} {whole.text}, {k}", whole.type.elements[k])

    def insert_value(self, whole: Value, value: Value, k: int) -> Value:
        text = f"insertvalue {whole.type.text} {whole.text}, {value.type.text} {value.text}, {k}"
        return self._pure(text, whole.type)

    def gep(self, pointer: Value, indices: Sequence[Value], source_etype: Type) -> Value:
        (at,) = indices
        if at.text == "0":
            return pointer
        text = f"getelementptr {source_etype.text}, ptr {pointer.text}, {at.type.text} {at.text}"
        return self._pure(text, PointerType())

    # --- memory and calls

    def alloca(self, kind: Type, size: Value | None = None) -> Value:
        many = f", {size.type.text} {size.text}" if size is not None else ""
        return self._made(f"alloca {kind.text}{many}", PointerType())

    def load(self, pointer: Value, typ: Type, align: int | None = None) -> Value:
        aligned = f", align {align}" if align else ""
        return self._made(f"load {typ.text}, ptr {pointer.text}{aligned}", typ)

    def store(self, value: Value, pointer: Value, align: int | None = None) -> None:
        aligned = f", align {align}" if align else ""
        self._lines.append(f"store {value.type.text} {value.text}, ptr {pointer.text}{aligned}")

    def load_atomic(self, pointer: Value, ordering: str, align: int, typ: Type) -> Value:
        return self._made(f"load atomic {typ.text}, ptr {pointer.text} {ordering}, align {align}", typ)

    def atomic_rmw(self, operation: str, pointer: Value, value: Value, ordering: str) -> Value:
        text = f"atomicrmw {operation} ptr {pointer.text}, {value.type.text} {value.text} {ordering}"
        return self._made(text, value.type)

    def call(self, function: Value, args: Sequence[Value], pure: bool = False) -> Value:
        """Of a function, or of a pointer that says which type of function it points to.

        pure: neither reads memory nor writes there.
        """
        kind = function.type.pointee
        if len(kind.args) != len(args):
            raise TypeError(f"{function.text} takes {len(kind.args)} arguments, not {len(args)}")
        result = kind.result
        text = f"call {result.text} {function.text}({', '.join([f'{x.type.text} {x.text}' for x in args])})"
        if result is not _VOID:
            return self._pure(text, result) if pure else self._made(text, result)
        self._lines.append(text)
        return Value(_VOID, "")

    # --- the end of a block

    def phi(self, kind: Type) -> Phi:
        made = Phi(kind, self._name())
        self._lines.append(made)
        return made

    def branch(self, block: Block) -> None:
        self._end(f"br label %{block.name}")

    def cbranch(self, condition: Value, yes: Block, no: Block, likely: bool | None = None) -> None:
        text = f"br i1 {condition.text}, label %{yes.name}, label %{no.name}"
        if likely is not None:
            weights = "i32 99, i32 1" if likely else "i32 1, i32 99"
            text += f', !prof !{self.module.note(f"""!{{!"branch_weights", {weights}}}""")}'
        self._end(text)

    def switch(self, value: Value, default: Block) -> Switch:
        made = Switch(value, default)
        self._end(made)
        return made

    def ret(self, value: Value) -> None:
        self._end(f"ret {value.type.text} {value.text}")

    def ret_void(self) -> None:
        self._end("ret void")

    def unreachable(self) -> None:
        self._end("unreachable")

    @contextmanager
    def _inside(self, block: Block, after: Block) -> Iterator[None]:
        with self.goto_block(block):
            yield
            if not self.block.ended:
                self.branch(after)

    @contextmanager
    def if_then(self, condition: Value, likely: bool | None = None) -> Iterator[Block]:
        inside, after = self.append_basic_block(), self.append_basic_block()
        self.cbranch(condition, inside, after, likely)
        with self._inside(inside, after):
            yield after
        self.position_at_end(after)

    @contextmanager
    def if_else(self, condition: Value, likely: bool | None = None) -> Iterator[tuple[Any, Any]]:
        yes, no, after = (self.append_basic_block() for _ in range(3))
        self.cbranch(condition, yes, no, likely)
        yield self._inside(yes, after), self._inside(no, after)
        self.position_at_end(after)


_VOID = VoidType()
