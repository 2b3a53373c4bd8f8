"""The builder: writes instructions at the end of a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from payback.native.ir.module import Block, Module, Phi, Switch
from payback.native.ir.values import Constant, IntType, PointerType, Type, Value, VectorType, VoidType

_SIGNED = {"<": "slt", "<=": "sle", ">": "sgt", ">=": "sge", "==": "eq", "!=": "ne"}
_UNSIGNED = {"<": "ult", "<=": "ule", ">": "ugt", ">=": "uge", "==": "eq", "!=": "ne"}
_ORDERED = {"<": "olt", "<=": "ole", ">": "ogt", ">=": "oge", "==": "oeq", "!=": "one", "ord": "ord", "uno": "uno"}
_UNORDERED = {"<": "ult", "<=": "ule", ">": "ugt", ">=": "uge", "==": "ueq", "!=": "une", "ord": "ord", "uno": "uno"}


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
    ptrtoint, inttoptr = _cast("ptrtoint"), _cast("inttoptr")

    def add(self, a: Value, b: Value) -> Value:
        if a.text == "0":
            return b
        return a if b.text == "0" else self._pure(f"add {a.type.text} {a.text}, {b.text}", a.type)

    def mul(self, a: Value, b: Value) -> Value:
        if a.text == "1":
            return b
        return a if b.text == "1" else self._pure(f"mul {a.type.text} {a.text}, {b.text}", a.type)

    def freeze(self, a: Value) -> Value:
        """The same value, whose making the analysis of loops around it does not see."""
        return self._made(f"freeze {a.type.text} {a.text}", a.type)

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

    def alloca(self, kind: Type, size: Value | None = None, align: int | None = None) -> Value:
        many = f", {size.type.text} {size.text}" if size is not None else ""
        aligned = f", align {align}" if align else ""
        return self._made(f"alloca {kind.text}{many}{aligned}", PointerType())

    def load(self, pointer: Value, typ: Type, align: int | None = None) -> Value:
        aligned = f", align {align}" if align else ""
        return self._made(f"load {typ.text}, ptr {pointer.text}{aligned}", typ)

    def store(self, value: Value, pointer: Value, align: int | None = None, past: bool = False) -> None:
        """past: the caches, to memory."""
        aligned = f", align {align}" if align else ""
        if past:
            aligned += f", !nontemporal !{self.function.module.note('!{i32 1}')}"
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
    def if_else(self, condition: Value) -> Iterator[tuple[Any, Any]]:
        yes, no, after = (self.append_basic_block() for _ in range(3))
        self.cbranch(condition, yes, no)
        yield self._inside(yes, after), self._inside(no, after)
        self.position_at_end(after)


_VOID = VoidType()
