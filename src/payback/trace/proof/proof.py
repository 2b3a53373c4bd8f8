"""The proof that a function is plain: that nothing it does can write into an array, whatever numbers it is given.

Its bytecode is gone through once, with what each variable and each place of the stack may be instead of what it is: a
number, a traced value, a plain array (three bits), a tuple, NumPy, a function of the table of `pure.py`, a function
that is proved in turn.  What is done to them is arithmetic, reading by index, and calls of those functions; everything
else, and every instruction that is not known here, is `Unproved`.  So a new Python is only slower.

Where ways meet, something may be what it is on either; a loop is gone through until nothing changes.
"""

from __future__ import annotations

import dis
import inspect
import sys
from types import CodeType
from typing import Any

from payback.trace.proof.pure import (
    CONSTANTS,
    FUNCTIONS,
    KEYWORDS,
    METHODS,
    MODULES,
    NONE,
    NUMBER,
    SLICE,
    Kind,
    Unproved,
    answer,
    bounds,
    entry,
    is_bare,
    join,
    listed,
    number,
    of_builtin,
    of_constant,
    of_method,
    of_numpy,
    operation,
    parts,
    usable,
)

_NULL = ("null",)
_MOST_STEPS = 20_000
_TOO_DEEP = 8  # calls within calls
_BARRED = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
_BARRED |= inspect.CO_ASYNC_GENERATOR
_SIGNS = [sign for _, sign in dis._nb_ops]  # type: ignore[attr-defined]
_LOADS = {"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_FAST_LOAD_FAST",
          "LOAD_FAST_BORROW_LOAD_FAST_BORROW"}  # fmt: skip
_JUMPS = {"JUMP_FORWARD", "JUMP_BACKWARD"}
_NOTHING = {"RESUME", "NOP", "PRECALL", "NOT_TAKEN", "COPY_FREE_VARS", "CACHE", "EXTENDED_ARG"}
_KNOWN = _LOADS | _NOTHING | _JUMPS | {
    "STORE_FAST", "STORE_FAST_STORE_FAST", "STORE_FAST_LOAD_FAST", "LOAD_CONST", "LOAD_SMALL_INT", "LOAD_GLOBAL",
    "LOAD_DEREF", "PUSH_NULL", "LOAD_ATTR", "LOAD_METHOD", "KW_NAMES", "CALL", "CALL_KW", "BINARY_OP", "BINARY_SUBSCR",
    "BINARY_SLICE", "COMPARE_OP", "IS_OP", "UNARY_NEGATIVE", "UNARY_POSITIVE", "CALL_INTRINSIC_1", "UNARY_NOT",
    "TO_BOOL", "BUILD_SLICE", "BUILD_TUPLE", "BUILD_LIST", "LIST_EXTEND", "UNPACK_SEQUENCE", "GET_ITER", "FOR_ITER",
    "END_FOR", "POP_TOP", "POP_ITER", "SWAP", "COPY", "JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP", "RETURN_VALUE",
    "RETURN_CONST",
}  # fmt: skip
_METHOD_BIT = sys.version_info >= (3, 12)  # LOAD_ATTR tells calls of methods
_NULL_FIRST = sys.version_info < (3, 13)
_ENDS_TWO = sys.version_info < (3, 13)  # END_FOR takes away the iterator too


# The codes that have been met, by id, each with the global names that it reads; None where it cannot be plain.  They
# are kept, so that no other gets the same id; code that is made while a program runs is not kept for ever.
_codes: dict[int, tuple[CodeType, tuple[str, ...] | None]] = {}
_MOST_CODES = 4000


def names_of(code: CodeType) -> tuple[str, ...]:
    """The global names that a code reads.  Raises Unproved for code that is not plain whatever they are."""
    known = _codes.get(id(code))
    if known is None:
        if len(_codes) >= _MOST_CODES:
            raise Unproved
        known = _codes[id(code)] = code, _looked_through(code)
    if known[1] is None:
        raise Unproved
    return known[1]


def _looked_through(code: CodeType) -> tuple[str, ...] | None:
    if code.co_flags & _BARRED or code.co_cellvars or code.co_exceptiontable or code.co_kwonlyargcount:
        return None
    names = {}
    for step in dis.get_instructions(code):
        if step.opname not in _KNOWN and not step.opname.startswith("POP_JUMP_"):
            return None
        if step.opname == "LOAD_GLOBAL":
            names[step.argval] = None
    return tuple(names)


class Function:
    """What is known of a function: its code, what its names stand for, and its defaults.

    Made from its kind, ("function", id of its code, kinds of its globals, of its closure, of its defaults).
    """

    __slots__ = ("cells", "code", "defaults", "names")

    def __init__(self, kind: Kind):
        _, code, around, inside, self.defaults = kind
        self.code, names = _codes[code]
        self.names: dict[str, Kind] = dict(zip(names or (), around, strict=True))
        self.cells: dict[str, Kind] = dict(zip(self.code.co_freevars, inside, strict=True))


class Proof:
    """A function's proof for arguments of certain kinds.

    result  what it returns
    used    (namespace, name, what it stands for): that NumPy's names have not been replaced is looked at in each call
    """

    def __init__(self, function: Function, given: dict[str, Kind], depth: int = 0):
        if depth > _TOO_DEEP:
            raise Unproved
        self.function, self.depth = function, depth
        self.result: Kind = None
        self.used: dict[tuple[int, str], tuple[dict[str, Any], str, Any]] = {}
        self._keywords: tuple[str, ...] = ()
        steps = list(dis.get_instructions(function.code))
        self._at = {step.offset: i for i, step in enumerate(steps)}
        self._go(steps, given)

    def _go(self, steps: list[dis.Instruction], given: dict[str, Kind]) -> None:
        known: dict[int, tuple[list[Kind], dict[str, Kind]]] = {}
        waiting = [(0, [], given)]
        for _ in range(_MOST_STEPS):
            if not waiting:
                return
            i, stack, names = waiting.pop()
            if i in known:  # ways meet here
                before, were = known[i]
                if len(before) != len(stack):
                    raise Unproved
                stack = list(map(join, before, stack))
                names = {name: join(were.get(name), names.get(name)) for name in {**were, **names}}
                if stack == before and names == were:
                    continue
            known[i] = stack, names
            for following, after, named in self._step(steps, i, list(stack), dict(names)):
                waiting.append((following, after, named))
        raise Unproved

    def _step(self, steps: list[dis.Instruction], i: int, stack: list[Kind], names: dict[str, Kind]) -> list[Any]:
        """Where the program goes on after an instruction, and with what."""
        step = steps[i]
        name, arg = step.opname, step.arg or 0
        pop, push = stack.pop, stack.append
        if name in _NOTHING:
            pass
        elif name in _LOADS:
            for variable in step.argval if type(step.argval) is tuple else (step.argval,):
                push(usable(names.get(variable)))
        elif name == "STORE_FAST":
            names[step.argval] = pop()
        elif name == "STORE_FAST_STORE_FAST":
            for variable in step.argval:
                names[variable] = pop()
        elif name == "STORE_FAST_LOAD_FAST":
            names[step.argval[0]] = pop()
            push(usable(names.get(step.argval[1])))
        elif name in ("LOAD_CONST", "LOAD_SMALL_INT"):
            push(of_constant(step.argval))
        elif name == "LOAD_GLOBAL":
            value = usable(self.function.names.get(step.argval))
            stack += [value] if not arg & 1 else [_NULL, value] if _NULL_FIRST else [value, _NULL]
        elif name == "LOAD_DEREF":
            push(usable(self.function.cells.get(step.argval)))
        elif name == "PUSH_NULL":
            push(_NULL)
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            push(self._attribute(pop(), step.argval))
            if name == "LOAD_METHOD" or (_METHOD_BIT and arg & 1):
                push(_NULL)
        elif name == "KW_NAMES":
            self._keywords = self.function.code.co_consts[arg]
        elif name in ("CALL", "CALL_KW"):
            if name == "CALL_KW":
                self._keywords = pop()[1]
            push(self._call(stack, arg))
        elif name == "BINARY_OP":
            b, a = pop(), pop()
            sign = _SIGNS[arg]
            push(entry(a, b) if sign == "[]" else operation(sign, a, b))
        elif name == "BINARY_SUBSCR":
            b, a = pop(), pop()
            push(entry(a, b))
        elif name == "BINARY_SLICE":
            bounds([pop(), pop()])
            push(entry(pop(), SLICE))
        elif name == "COMPARE_OP":
            b, a = pop(), pop()
            push(operation("?", a, b) | NUMBER)
        elif name == "IS_OP":
            if NONE not in (pop(), pop()):
                raise Unproved
            push(NUMBER)
        elif name in ("UNARY_NEGATIVE", "UNARY_POSITIVE") or (name == "CALL_INTRINSIC_1" and arg == 5):
            push(number(pop()))
        elif name in ("UNARY_NOT", "TO_BOOL"):
            usable(pop())
            push(NUMBER)
        elif name == "BUILD_SLICE":
            bounds([pop() for _ in range(arg)])
            push(SLICE)
        elif name in ("BUILD_TUPLE", "BUILD_LIST"):
            made = [pop() for _ in range(arg)][::-1]
            push(listed(made))
        elif name == "LIST_EXTEND":
            more = parts(pop())
            push(("of", join(parts(pop()), more)))
        elif name == "UNPACK_SEQUENCE":
            whole = pop()
            if type(whole) is tuple and whole[0] == "tuple" and len(whole[1]) == arg:
                stack += whole[1][::-1]
            else:
                stack += [usable(parts(whole))] * arg
        elif name == "GET_ITER":
            push(("iterator", parts(pop())))
        elif name == "FOR_ITER":
            iterator = stack[-1]
            past = self._at[step.argval]
            if type(iterator) is not tuple or iterator[0] != "iterator":
                raise Unproved
            after = [*stack[:-1]] if "END_FOR" not in dis.opmap else [*stack, _NULL]
            ways = [(past, after, dict(names))]
            if iterator[1] is not None:
                ways.append((i + 1, [*stack, iterator[1]], names))
            return ways
        elif name == "END_FOR":
            pop()
            if _ENDS_TWO:
                pop()
        elif name in ("POP_TOP", "POP_ITER"):
            pop()
        elif name == "SWAP":
            stack[-1], stack[-arg] = stack[-arg], stack[-1]
        elif name == "COPY":
            push(stack[-arg])
        elif name in _JUMPS:
            return [(self._at[step.argval], stack, names)]
        elif name.startswith("POP_JUMP_"):
            usable(pop())
            return [(i + 1, stack, names), (self._at[step.argval], list(stack), dict(names))]
        elif name in ("JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP"):
            return [(i + 1, stack[:-1], names), (self._at[step.argval], list(stack), dict(names))]
        elif name == "RETURN_VALUE":
            self.result = join(self.result, usable(pop()))
            return []
        elif name == "RETURN_CONST":
            self.result = join(self.result, of_constant(step.argval))
            return []
        else:
            raise Unproved
        return [(i + 1, stack, names)]

    def _attribute(self, of: Kind, name: str) -> Kind:
        if type(of) is int:
            if name in ("T", "mT"):
                return of
            if name == "shape":
                return "of", NUMBER
            if name in ("ndim", "size"):
                return NUMBER
            if name in METHODS:
                return "method", name, of
            raise Unproved
        if of[0] != "module":
            raise Unproved
        module = MODULES[of[1]]
        found = module.__dict__.get(name)
        self.used[of[1], name] = module.__dict__, name, found
        if name == "newaxis" and found is None:
            return NONE
        if name in CONSTANTS and found is CONSTANTS[name]:
            return NUMBER
        kind = of_numpy(found)
        if kind is None:
            raise Unproved
        return kind

    def _call(self, stack: list[Kind], count: int) -> Kind:
        keywords, self._keywords = self._keywords, ()
        if type(keywords) is not tuple or len(keywords) > count:
            raise Unproved
        args = [usable(stack.pop()) for _ in range(count)][::-1]
        two = [stack.pop(), stack.pop()]
        two.remove(_NULL) if _NULL in two else two.clear()  # a callable stands there, and nothing beside it
        if not two or type(two[0]) is not tuple:
            raise Unproved
        callee = two[0]
        named = dict(zip(keywords, args[count - len(keywords) :], strict=True))
        args = args[: count - len(keywords)]
        if callee[0] == "function":
            return self._prove(Function(callee), args, named)
        for key, value in named.items():
            if key not in KEYWORDS or not is_bare(value):
                raise Unproved
        if callee[0] == "numpy":
            return answer(FUNCTIONS[callee[1]][1], args)
        if callee[0] == "method":
            return of_method(callee[1], callee[2], args)
        if callee[0] == "builtin" and not named:
            return of_builtin(callee[1], args)
        raise Unproved

    def _prove(self, function: Function, args: list[Kind], named: dict[str, Kind]) -> Kind:
        proof = Proof(function, bound(function, args, named), self.depth + 1)
        self.used |= proof.used
        if proof.result is None:
            raise Unproved
        return proof.result


def bound(function: Function, args: list[Kind], named: dict[str, Kind]) -> dict[str, Kind]:
    """The arguments under the names that the function has for them."""
    code = function.code
    count = code.co_argcount
    if len(args) > count:
        raise Unproved
    variables = code.co_varnames[:count]
    found = dict(zip(variables, args, strict=False))
    for key, value in named.items():
        if key in found or key not in variables[code.co_posonlyargcount :]:
            raise Unproved
        found[key] = value
    first = count - len(function.defaults)
    for i, variable in enumerate(variables):
        if variable not in found:
            if i < first:
                raise Unproved
            found[variable] = function.defaults[i - first]
    return found
