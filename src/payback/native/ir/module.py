"""Modules: variables, and functions with their blocks of instructions."""

from __future__ import annotations

import re
from typing import Any

from payback.native.ir.values import Constant, FunctionType, PointerType, Type, Value

_PLAIN = re.compile(r"[-a-zA-Z$._][-a-zA-Z$._0-9]*")


class Phi(Value):
    __slots__ = ("incoming",)

    def __init__(self, type: Type, text: str):
        super().__init__(type, text)
        self.incoming: list[str] = []

    def add_incoming(self, value: Value, block: Block) -> None:
        self.incoming.append(f"[{value.text}, %{block.name}]")

    def __str__(self) -> str:
        return f"{self.text} = phi {self.type.text} {', '.join(self.incoming)}"


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
        self.noted: dict[int, str] = {}  # attributes of arguments
        self.attributes = ""
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
        args = [f"{x.type.text} {self.noted.get(k, '')} {x.text}" for k, x in enumerate(self.args)]
        after = f" {self.attributes}" if self.attributes else ""
        lines.append(f"define {linkage}{self.kind.result} {self.text}({', '.join(args)}){after} {{")
        for block in self.blocks:
            lines.append(f"{block.name}:")
            lines += [line if line.__class__ is str else str(line) for line in block.lines]
        lines.append("}")
