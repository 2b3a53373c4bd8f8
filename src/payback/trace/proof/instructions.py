"""What each instruction of bytecode does to what is known of the stack and of the variables: the table of `proof.py`.

A rule is given the proof, the instruction, the stack and the variables, both to be changed in place.  It answers where
the program goes on and with what; None where that is the next instruction.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from payback.trace.proof.proof import Proof

Stack = list[Kind]
Variables = dict[str, Kind]
Way = tuple[int, Stack, Variables]  # the number of an instruction, and what is known there
Rule = Callable[["Proof", dis.Instruction, Stack, Variables], list[Way] | None]

RULES: dict[str, Rule] = {}
_NULL = ("null",)
_SIGNS = [sign for _, sign in dis._nb_ops]  # type: ignore[attr-defined]
_METHOD_BIT = sys.version_info >= (3, 12)  # LOAD_ATTR tells calls of methods
_NULL_FIRST = sys.version_info < (3, 13)
_ENDS_TWO = sys.version_info < (3, 13)  # END_FOR takes away the iterator too


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def told(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return told


@_rule("RESUME", "NOP", "PRECALL", "NOT_TAKEN", "COPY_FREE_VARS", "CACHE", "EXTENDED_ARG")
def _nothing(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    pass


@_rule("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW")
def _load(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    variables = step.argval if type(step.argval) is tuple else (step.argval,)
    stack += [usable(names.get(variable)) for variable in variables]


@_rule("STORE_FAST", "STORE_FAST_STORE_FAST")
def _store(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    for variable in step.argval if type(step.argval) is tuple else (step.argval,):
        names[variable] = stack.pop()


@_rule("STORE_FAST_LOAD_FAST")
def _store_and_load(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stored, loaded = step.argval
    names[stored] = stack.pop()
    stack.append(usable(names.get(loaded)))


@_rule("LOAD_CONST", "LOAD_SMALL_INT")
def _constant(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(of_constant(step.argval))


@_rule("LOAD_GLOBAL")
def _global(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    value = usable(proof.function.names.get(step.argval))
    stack += [value] if not (step.arg or 0) & 1 else [_NULL, value] if _NULL_FIRST else [value, _NULL]


@_rule("LOAD_DEREF")
def _cell(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(usable(proof.function.cells.get(step.argval)))


@_rule("PUSH_NULL")
def _null(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(_NULL)


@_rule("POP_TOP", "POP_ITER")
def _pop(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.pop()


@_rule("SWAP")
def _swap(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    at = -(step.arg or 0)
    stack[-1], stack[at] = stack[at], stack[-1]


@_rule("COPY")
def _copy(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(stack[-(step.arg or 0)])


@_rule("BINARY_OP")
def _binary(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    b, a = stack.pop(), stack.pop()
    sign = _SIGNS[step.arg or 0]
    stack.append(entry(a, b) if sign == "[]" else operation(sign, a, b))


@_rule("BINARY_SUBSCR")
def _entry(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    b, a = stack.pop(), stack.pop()
    stack.append(entry(a, b))


@_rule("BINARY_SLICE")
def _slice_of(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    bounds([stack.pop(), stack.pop()])
    stack.append(entry(stack.pop(), SLICE))


@_rule("BUILD_SLICE")
def _slice(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    bounds(_taken(stack, step))
    stack.append(SLICE)


@_rule("COMPARE_OP")
def _comparison(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    b, a = stack.pop(), stack.pop()
    stack.append(operation("?", a, b) | NUMBER)


@_rule("IS_OP")
def _identity(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    if NONE not in (stack.pop(), stack.pop()):
        raise Unproved
    stack.append(NUMBER)


@_rule("UNARY_NEGATIVE", "UNARY_POSITIVE")
def _sign(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(number(stack.pop()))


@_rule("CALL_INTRINSIC_1")
def _intrinsic(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    if step.arg != 5:  # +x
        raise Unproved
    stack.append(number(stack.pop()))


@_rule("UNARY_NOT", "TO_BOOL")
def _truth(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    usable(stack.pop())
    stack.append(NUMBER)


@_rule("BUILD_TUPLE", "BUILD_LIST")
def _display(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(listed(_taken(stack, step)))


@_rule("LIST_EXTEND")
def _extend(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    more = parts(stack.pop())
    stack.append(("of", join(parts(stack.pop()), more)))


@_rule("UNPACK_SEQUENCE")
def _unpack(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    whole, count = stack.pop(), step.arg or 0
    if type(whole) is tuple and whole[0] == "tuple" and len(whole[1]) == count:
        stack += whole[1][::-1]
    else:
        stack += [usable(parts(whole))] * count


@_rule("GET_ITER")
def _iterator(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(("iterator", parts(stack.pop())))


@_rule("FOR_ITER")
def _next(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    iterator = stack[-1]
    if type(iterator) is not tuple or iterator[0] != "iterator":
        raise Unproved
    after = [*stack[:-1]] if "END_FOR" not in dis.opmap else [*stack, _NULL]
    ways = [(proof.target(step), after, dict(names))]
    if iterator[1] is not None:
        ways.append((proof.following(step), [*stack, iterator[1]], names))
    return ways


@_rule("END_FOR")
def _end_for(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.pop()
    if _ENDS_TWO:
        stack.pop()


@_rule("JUMP_FORWARD", "JUMP_BACKWARD")
def _jump(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    return [(proof.target(step), stack, names)]


@_rule(*[name for name in dis.opmap if name.startswith("POP_JUMP_")])
def _branch(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    usable(stack.pop())
    return [(proof.following(step), stack, names), (proof.target(step), list(stack), dict(names))]


@_rule("JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP")
def _branch_or_pop(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    return [(proof.following(step), stack[:-1], names), (proof.target(step), list(stack), dict(names))]


@_rule("RETURN_VALUE")
def _return(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    proof.result = join(proof.result, usable(stack.pop()))
    return []


@_rule("RETURN_CONST")
def _return_constant(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    proof.result = join(proof.result, of_constant(step.argval))
    return []


@_rule("LOAD_ATTR", "LOAD_METHOD")
def _attribute(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(_attribute_of(proof, stack.pop(), step.argval))
    if step.opname == "LOAD_METHOD" or (_METHOD_BIT and (step.arg or 0) & 1):
        stack.append(_NULL)


def _attribute_of(proof: Proof, of: Kind, name: str) -> Kind:
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
    proof.used[of[1], name] = module.__dict__, name, found
    if name == "newaxis" and found is None:
        return NONE
    if name in CONSTANTS and found is CONSTANTS[name]:
        return NUMBER
    kind = of_numpy(found)
    if kind is None:
        raise Unproved
    return kind


@_rule("KW_NAMES")
def _keywords(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    proof.keywords = proof.function.code.co_consts[step.arg or 0]


@_rule("CALL_KW")
def _call_with_keywords(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    proof.keywords = stack.pop()[1]
    _call(proof, step, stack, names)


@_rule("CALL")
def _call(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    count, keywords, proof.keywords = step.arg or 0, proof.keywords, ()
    if type(keywords) is not tuple or len(keywords) > count:
        raise Unproved
    args = [usable(arg) for arg in _taken(stack, step)]
    two = [stack.pop(), stack.pop()]
    two.remove(_NULL) if _NULL in two else two.clear()  # a callable stands there, and nothing beside it
    if not two or type(two[0]) is not tuple:
        raise Unproved
    named = dict(zip(keywords, args[count - len(keywords) :], strict=True))
    stack.append(_answer(proof, two[0], args[: count - len(keywords)], named))


def _answer(proof: Proof, callee: Kind, args: list[Kind], named: dict[str, Kind]) -> Kind:
    if callee[0] == "function":
        return proof.prove(callee, args, named)
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


def _taken(stack: Stack, step: dis.Instruction) -> list[Kind]:
    """As many from the top of the stack as the instruction says, in the order in which they were put there."""
    return [stack.pop() for _ in range(step.arg or 0)][::-1]
