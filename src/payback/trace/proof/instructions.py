"""What each instruction of bytecode does to what is known of the stack and of the variables: the table of `proof.py`.

A rule is given the proof, the instruction, the stack and the variables, both to be changed in place.  It answers where
the program goes on and with what; None where that is the next instruction.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from payback.trace.proof.containers import entry_of_made, grows, of_made, put_into, stores
from payback.trace.proof.pure import (
    ARRAY,
    NONE,
    NUMBER,
    SLICE,
    Kind,
    Unproved,
    bounds,
    compared,
    entry,
    is_within,
    join,
    joined,
    listed,
    number,
    of_constant,
    of_numpy,
    operation,
    parts,
    truth,
    usable,
)
from payback.trace.proof.python_values import operated, told

if TYPE_CHECKING:
    from payback.trace.proof.proof import Proof

Stack = list[Kind]
Variables = dict[str, Kind]
Way = tuple[int, Stack, Variables]  # the number of an instruction, and what is known there
Rule = Callable[["Proof", dis.Instruction, Stack, Variables], list[Way] | None]

RULES: dict[str, Rule] = {}
NULL = ("null",)
_STORE = dis.opmap["STORE_SUBSCR"]
_NULL_FIRST = sys.version_info < (3, 13)
_ENDS_TWO = sys.version_info < (3, 13)  # END_FOR takes away the iterator too


def rule(*names: str) -> Callable[[Rule], Rule]:
    def told(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return told


@rule("RESUME", "NOP", "PRECALL", "NOT_TAKEN", "COPY_FREE_VARS", "CACHE", "EXTENDED_ARG", "MAKE_CELL")
def _nothing(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    pass


@rule("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW")
def _load(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    for variable in step.argval if type(step.argval) is tuple else (step.argval,):
        is_cell = variable in proof.function.code.co_cellvars or variable in proof.function.cells
        stack.append(("cell", proof.cell(variable)) if is_cell else usable(names.get(variable)))


@rule("LOAD_FAST_AND_CLEAR")
def _load_and_clear(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(names.get(step.argval) or NULL)


@rule("STORE_FAST", "STORE_FAST_STORE_FAST")
def _store(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    for variable in step.argval if type(step.argval) is tuple else (step.argval,):
        names[variable] = stack.pop()


@rule("STORE_FAST_LOAD_FAST")
def _store_and_load(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stored, loaded = step.argval
    names[stored] = stack.pop()
    stack.append(usable(names.get(loaded)))


@rule("LOAD_CONST", "LOAD_SMALL_INT")
def _constant(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(of_constant(step.argval))


@rule("LOAD_GLOBAL")
def _global(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    value = usable(proof.function.names.get(step.argval))
    stack += [value] if not (step.arg or 0) & 1 else [NULL, value] if _NULL_FIRST else [value, NULL]


@rule("LOAD_DEREF")
def _cell(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(usable(proof.cell(step.argval)))


@rule("STORE_DEREF")
def _store_cell(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    if step.argval not in proof.function.code.co_cellvars:  # another function's
        raise Unproved
    proof.keep(step.argval, stack.pop())


@rule("LOAD_CLOSURE")
def _closure(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(("cell", proof.cell(step.argval)))


@rule("MAKE_FUNCTION")
def _function(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    made, flags = proof.local(stack.pop()), step.arg or 0
    for flag in (8, 4, 2, 1):
        if flags & flag:
            made = _with(made, flag, stack.pop())
    stack.append(made)


@rule("SET_FUNCTION_ATTRIBUTE")
def _function_attribute(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    made = stack.pop()
    stack.append(_with(made, step.arg or 0, stack.pop()))


def _with(made: Kind, flag: int, what: Kind) -> Kind:
    """A function with its closure, its annotations or its defaults."""
    word, code, around, inside, defaults, named = made
    if flag == 8:
        inside = tuple([kind for _, kind in what[1]])
    elif flag == 1 and what[0] == "tuple":
        defaults = what[1]
    elif flag != 4:
        raise Unproved
    return word, code, around, inside, defaults, named


@rule("PUSH_NULL")
def _null(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(NULL)


@rule("POP_TOP", "POP_ITER")
def _pop(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.pop()


@rule("SWAP")
def _swap(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    at = -(step.arg or 0)
    stack[-1], stack[at] = stack[at], stack[-1]


@rule("COPY")
def _copy(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(stack[-(step.arg or 0)])


@rule("BINARY_OP")
def _binary(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    b, a = stack.pop(), stack.pop()
    sign = step.argrepr
    if sign != "[]" and (found := operated(proof, sign, a, b)) is not None:
        stack.append(found)
        return
    if sign.endswith("=") and type(a) is int and a & ARRAY:  # it may be an array that someone else has
        proof.search.stored = True
    stack.append(_entry_of(proof, a, b) if sign == "[]" else operation(sign, a, b))


@rule("BINARY_SUBSCR")
def _entry(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    b, a = stack.pop(), stack.pop()
    stack.append(_entry_of(proof, a, b))


def _entry_of(proof: Proof, of: Kind, index: Kind) -> Kind:
    return entry_of_made(proof, of, index) if type(of) is tuple and of[0] == "made" else entry(of, index)


@rule("BINARY_SLICE")
def _slice_of(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    bounds([stack.pop(), stack.pop()])
    stack.append(entry(stack.pop(), SLICE))


@rule("STORE_SUBSCR")
def _store_entry(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    key, into, value = stack.pop(), stack.pop(), usable(stack.pop())
    if type(into) is tuple and into[0] == "of" and len(into) == 3 and key == NUMBER:
        proof.grown(into, value)  # a list of the function's own
        return
    if type(into) is tuple and into[0] == "made":
        put_into(proof, into, key, value)
        return
    _stored(proof, into, key, value)


@rule("STORE_SLICE")
def _store_slice(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    bounds([stack.pop(), stack.pop()])
    into, value = stack.pop(), stack.pop()
    _stored(proof, into, SLICE, value)


def _stored(proof: Proof, into: Kind, key: Kind, value: Kind) -> None:
    number(into)
    entry(into, key)
    joined(value, True)
    proof.search.stored = True


@rule("BUILD_SLICE")
def _slice(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    bounds(taken(stack, step))
    stack.append(SLICE)


@rule("COMPARE_OP")
def _comparison(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    b, a = stack.pop(), stack.pop()
    stack.append(compared(a, b))


@rule("CONTAINS_OP")
def _within(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    b, a = stack.pop(), stack.pop()
    stack.append(is_within(a, b))


@rule("IS_OP")
def _identity(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    if NONE not in (stack.pop(), stack.pop()):
        raise Unproved
    stack.append(NUMBER)


@rule("DELETE_FAST")
def _delete(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    names.pop(step.argval, None)


@rule("UNARY_NEGATIVE", "UNARY_POSITIVE", "UNARY_INVERT")
def _sign(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(number(stack.pop()))


@rule("CALL_INTRINSIC_1")
def _intrinsic(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    if step.arg == 5:  # +x
        stack.append(number(stack.pop()))
    elif step.arg not in (3, 6):  # what a generator raises; the tuple of a list
        raise Unproved


@rule("UNARY_NOT", "TO_BOOL")
def _truth(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    truth(stack.pop())
    stack.append(NUMBER)


@rule("BUILD_TUPLE")
def _tuple(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(listed(taken(stack, step)))


@rule("BUILD_LIST")
def _list(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    made = listed(taken(stack, step))
    code = proof.function.code
    if grows(code):  # it may come to hold more, under any of its names
        made = proof.grown(("of", None, (id(code), step.offset)), parts(made))
    stack.append(made)


@rule("LIST_APPEND")
def _append(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    part, at = usable(stack.pop()), -(step.arg or 0)
    stack[at] = proof.grown(stack[at], part)


@rule("LIST_EXTEND")
def _extend(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    more, at = stack.pop(), -(step.arg or 0)
    exact = more[0] == stack[at][0] == "tuple" if type(more) is tuple else False
    stack[at] = listed([*stack[at][1], *more[1]]) if exact else proof.grown(stack[at], parts(more))


@rule("LIST_TO_TUPLE")
def _nothing_new(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    pass


@rule("BUILD_MAP")
def _map(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    both = [usable(stack.pop()) for _ in range(2 * (step.arg or 0))][::-1]
    stack.append(_dictionary(proof, step, both[::2], both[1::2]))


@rule("BUILD_CONST_KEY_MAP")
def _map_of_constants(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    keys = stack.pop()
    stack.append(_dictionary(proof, step, list(keys[1]), taken(stack, step)))


def _dictionary(proof: Proof, step: dis.Instruction, keys: list[Kind], values: list[Kind]) -> Kind:
    code = proof.function.code
    if stores(code):
        into = "made", (id(code), step.offset)
        for key, value in zip(keys, values, strict=True):
            put_into(proof, into, key, value)
        return into
    if any(type(key) is int or key[0] != "text" or key[1] is None for key in keys):
        raise Unproved
    found = dict(zip([key[1] for key in keys], values, strict=True))
    return "table", tuple(found), tuple(found.values())


@rule("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC")
def _format(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    if step.opname == "FORMAT_WITH_SPEC" or (step.opname == "FORMAT_VALUE" and (step.arg or 0) & 4):
        stack.pop()
    stack.append(told([stack.pop()]))


@rule("BUILD_STRING")
def _string(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(told(taken(stack, step)))


@rule("LOAD_ASSERTION_ERROR")
def _assertion(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(of_numpy(AssertionError))


@rule("RAISE_VARARGS")
def _raise(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    return []  # what handles it is looked at already


@rule("UNPACK_SEQUENCE")
def _unpack(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    whole, count = stack.pop(), step.arg or 0
    if type(whole) is tuple and whole[0] == "tuple" and len(whole[1]) == count:
        stack += whole[1][::-1]
    else:
        stack += [usable(parts(whole))] * count


@rule("UNPACK_EX")
def _unpack_some(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    whole, before, after = stack.pop(), (step.arg or 0) & 255, (step.arg or 0) >> 8
    if type(whole) is tuple and whole[0] == "tuple" and len(whole[1]) >= before + after:
        end = len(whole[1]) - after
        found = [*whole[1][:before], ("of", parts(("tuple", whole[1][before:end]))), *whole[1][end:]]
    else:
        part = usable(parts(whole))
        found = [*[part] * before, ("of", part), *[part] * after]
    stack += found[::-1]


@rule("GET_ITER")
def _iterator(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    of = stack.pop()
    if type(of) is tuple and of[0] == "made":
        of = of_made(proof, "keys", of, [])
    stack.append(("iterator", parts(of)))


@rule("FOR_ITER")
def _next(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    iterator = stack[-1]
    if type(iterator) is not tuple or iterator[0] != "iterator":
        raise Unproved
    after = [*stack[:-1]] if "END_FOR" not in dis.opmap else [*stack, NULL]
    ways = [(proof.target(step), after, dict(names))]
    if iterator[1] is not None:
        ways.append((proof.following(step), [*stack, iterator[1]], names))
    return ways


@rule("END_FOR")
def _end_for(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.pop()
    if _ENDS_TWO:
        stack.pop()


@rule("JUMP_FORWARD", "JUMP_BACKWARD")
def _jump(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    return [(proof.target(step), stack, names)]


@rule(*[name for name in dis.opmap if name.startswith("POP_JUMP_")])
def _branch(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    kind = usable(stack.pop())
    here, there = (proof.following(step), stack, names), (proof.target(step), list(stack), dict(names))
    if not step.opname.endswith("NONE"):
        truth(kind)
        return [here, there]
    return [there] if (kind == NONE) is not step.opname.endswith("NOT_NONE") else [here]


@rule("RETURN_GENERATOR")
def _generator(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(NONE)


@rule("YIELD_VALUE")
def _yield(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    proof.yielded = join(proof.yielded, usable(stack.pop()))
    stack.append(NONE)


@rule("JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP")
def _branch_or_pop(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    truth(stack[-1])
    return [(proof.following(step), stack[:-1], names), (proof.target(step), list(stack), dict(names))]


@rule("RETURN_VALUE")
def _return(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    proof.result = join(proof.result, usable(stack.pop()))
    return []


@rule("RETURN_CONST")
def _return_constant(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    proof.result = join(proof.result, of_constant(step.argval))
    return []


def taken(stack: Stack, step: dis.Instruction) -> list[Kind]:
    """As many from the top of the stack as the instruction says, in the order in which they were put there."""
    return [stack.pop() for _ in range(step.arg or 0)][::-1]
