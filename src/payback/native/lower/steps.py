"""A whole scan or loop as one kernel: its loop, and in each step the kernels of its body, whose arguments are known.

Kernels are written into the loop where the body is short: LLVM folds what their arguments say, and numbers that are
carried, or handed from one kernel to the next, stay in registers.  Elsewhere they are called.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, BYTE, INT, POINTER, Emitter
from payback.native.codegen.split import INLINED
from payback.native.lower.guard import may_stop
from payback.native.lower.kernel import SIGNATURE, Arguments, symbol

ALIGNMENT = 64
LOOP = ".loop"  # the end of the name of what is to be made simple, once kernels are written into it


class Place(NamedTuple):
    """What a base of the body's kernels points to.

    kind  "fixed": an array of the caller's; "moving": its entry of this step; "held": one that is in a local variable
          meanwhile; "local": such a variable
    size  bytes of a variable, or from the entry of one step to that of the next
    """

    kind: str
    size: int = 0


class Call(NamedTuple):
    """A command of the body: `kernel` is None where it is called by its address.

    inner: which of the numbers are addresses, of kernels that it calls itself
    """

    kernel: Any
    numbers: tuple[int, ...]
    inner: tuple[int, ...] = ()

    @property
    def addresses(self) -> int:
        return (self.kernel is None) + len(self.inner)


class Steps(NamedTuple):
    """args: pointers for all places that are not local, the number of steps, the addresses that each call needs.

    stops  whether one of these may say stop; the status is 1 then
    test   the call that says whether there is a further step; −1: there are as many as the number says.  With a test
           this is the most: the status is 1 if it still wants more
    """

    calls: tuple[Call, ...]
    places: tuple[Place, ...]
    stops: bool
    test: int = -1

    @property
    def family(self) -> str:
        """Compiled by itself: what is written into its loop is not to be found from elsewhere."""
        return f"steps {symbol(self)}"

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        given = [args.pointer() for place in self.places if place.kind != "local"]
        count = args.int()
        kernels = args.ints(sum(call.addresses for call in self.calls))
        # a function of its own, whose arguments are known to be apart
        kind = ir.FunctionType(INT, [POINTER] * len(given) + [INT] * (1 + len(kernels)))
        loop = ir.Function(e.module, kind, f"{function.name}{LOOP}")
        loop.linkage = "internal"
        loop.noted = dict.fromkeys(range(len(given)), "noalias")
        self._loop(Emitter(e.module, ir.IRBuilder(loop.append_basic_block("entry"))), loop, len(given))
        b.ret(b.call(loop, [*given, count, *kernels]))

    def _loop(self, e: Emitter, loop: ir.Function, pointers: int) -> None:
        b = e.b
        given, steps, *addresses = iter(loop.args[:pointers]), *loop.args[pointers:]
        table = b.alloca(ir.ArrayType(POINTER, len(self.places) + 2))
        e.store(e.int(0), table, 0)  # one thread, and its number
        e.store(e.int(1), table, 1)
        bases = e.at(table, 2, POINTER)
        moving, held = [], []
        for number, place in enumerate(self.places):
            pointer = next(given) if place.kind != "local" else None
            if place.kind in ("local", "held"):
                own = b.alloca(ir.ArrayType(BYTE, place.size), align=ALIGNMENT)
                if pointer is not None:
                    held.append((own, pointer, place.size))
                    self._copy(e, own, pointer, place.size)
                pointer = own
            elif place.kind == "moving":
                moving.append((number, pointer, place.size))
            b.store(pointer, e.at(bases, number, POINTER))
        called, arguments, at = [], [], iter(addresses)
        for k, call in enumerate(self.calls):
            called.append(next(at) if call.kernel is None else None)
            numbers = _numbers(e, f"{loop.name}.{k}", call.numbers)
            if call.inner:
                constants, numbers = numbers, b.alloca(numbers.kind)
                self._copy(e, numbers, constants, 8 * len(call.numbers))
                for place in call.inner:
                    e.store(next(at), numbers, place)
            arguments.append(numbers)
        with e.loop(0, steps) as i:
            for number, pointer, size in moving:
                b.store(e.at(pointer, b.mul(i, e.int(size)), BYTE), e.at(bases, number, POINTER))
            for k, (call, address, numbers) in enumerate(zip(self.calls, called, arguments, strict=True)):
                if address is not None:
                    kernel = b.inttoptr(address, ir.PointerType(SIGNATURE))
                else:
                    kernel = _inside(e, call.kernel)
                status = b.call(kernel, [bases, numbers])
                if k == self.test:
                    with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                        self._end(e, held)
                elif may_stop(call.kernel):
                    with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                        b.ret(e.int(1))
        if self.test < 0:
            self._end(e, held)
        else:
            b.ret(e.int(1))

    def _end(self, e: Emitter, held: list[tuple[ir.Value, ir.Value, int]]) -> None:
        for own, pointer, size in held:
            self._copy(e, pointer, own, size)
        e.b.ret(e.int(0))

    @staticmethod
    def _copy(e: Emitter, to: ir.Value, source: ir.Value, size: int) -> None:
        name = "llvm.memcpy.p0.p0.i64"
        function = e.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, INT, BIT])
            function = ir.Function(e.module, kind, name)
        e.b.call(function, [to, source, e.int(size), ir.Constant(BIT, 0)])


def _numbers(e: Emitter, name: str, numbers: tuple[int, ...]) -> ir.GlobalVariable:
    made = ir.GlobalVariable(e.module, ir.ArrayType(INT, len(numbers)), name)
    made.linkage, made.global_constant = "internal", True
    made.initializer = ir.Constant(made.kind, numbers)
    return made


def _inside(e: Emitter, kernel: Any) -> ir.Function:
    """The kernel as a function that is written into those that call it."""
    name = f"inside.{symbol(kernel)}"
    function = e.module.globals.get(name)
    if function is None:
        function = ir.Function(e.module, SIGNATURE, name)
        function.linkage, function.attributes = "internal", INLINED
        kernel.emit(Emitter(e.module, ir.IRBuilder(function.append_basic_block("entry"))), function)
    return function
