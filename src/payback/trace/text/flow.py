"""Where a text goes in a program: a forward data flow over the statements of a function, and of those it calls.

The state is the set of names (`line`, `self.label`, `parts`) that hold the text, or a part of it, at a place.  A name
that is given anew holds it no longer; branches and rounds of a loop are joined.  A function of the user's that is given
the text is looked at in its turn.  Nothing is executed for this.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from payback.trace.text.calls import (
    FUNCTIONS,
    NONE,
    UNKNOWN,
    Made,
    Names,
    Space,
    bound_in,
    called,
    declared_in,
    definition,
    first_of,
    function_of,
    given,
    parameters,
    parts_of,
    placed,
    rebound_in,
    space_of,
    targets_of,
)
from payback.trace.text.values import KEEPING, PASSING, READERS, SAVING, WRITERS, Fate, Values

_ROUNDS, _DEEP = 6, 6  # of a loop, and of calls inside calls


class Flow(Values):
    """The way of a text through one function.

    made: the expression that makes it, if it is made here; else it is what the names at the start hold.
    value: whether that expression's value holds it.  after: names that hold it once the expression has been computed.
    space: what the function's names stand for, where that can be told without running anything.
    """

    def __init__(self, scope: Any, space: Space, deep: int = 0, made: ast.AST | None = None, value: bool = True,
                 after: Names = NONE):  # fmt: skip
        self.scope, self.space, self.deep = scope, space, deep
        self.made, self.value, self.after = made, value, after
        self.cells = frozenset(
            node.id for part in ast.walk(scope) if isinstance(part, FUNCTIONS) and part is not scope
            for node in ast.walk(part) if isinstance(node, ast.Name)
        ) if scope is not None else NONE  # fmt: skip
        self.files = False  # whether it is in a file, whose name may be a text of its own
        self.kinds: dict[str, Made] = {}
        self.behind: dict[str, list[str]] = {}  # writers: what is written to them is in these
        self.read = self.returned = False
        self.ever: Names = NONE
        self.inner: list[Any] = []
        self.exits: Names = NONE
        self.jumps: Names = NONE
        self.asked: set[str] = set()  # names whose meaning has decided something

    def run(self, names: Names = NONE) -> Fate:
        scope = self.scope
        if isinstance(scope, ast.Lambda):
            state = self.visit(scope.body, names)
            self.returned = self.holds(scope.body, state)
        else:
            state = self.statements(scope.body, names)
        self.exits |= state
        for _ in range(2):
            for inner in self.inner:  # functions inside see the names of this one, whenever they are called
                hidden = {name for name in self.ever if first_of(name) in parameters(inner)}
                flow = Flow(inner, self.space, self.deep)
                flow.run(self.ever - hidden)
                self.read |= flow.read
        own = set(parameters(scope))
        outer = declared_in(scope)
        at_end = {name for name in self.exits if first_of(name) in own | outer or self.is_global(name)}
        return Fate(self.read, self.returned, frozenset(at_end))

    def is_global(self, name: str) -> bool:
        """Whether a name of the module is meant: a container there that something was put into."""
        first = first_of(name)
        return isinstance(self.scope, FUNCTIONS) and first not in bound_in(self.scope)

    # statements

    def statements(self, body: Iterable[ast.stmt], state: Names) -> Names:
        for statement in body:
            state = self.statement(statement, state)
            self.ever |= state
        return state

    def statement(self, node: Any, state: Names) -> Names:
        match node:
            case ast.Assign(targets=targets, value=value):
                state = self.visit(value, state)
                for target in targets:
                    state = self.assign(target, value, state)
                if isinstance(value, ast.Call) and called(value) in WRITERS:
                    state = self.alias(targets, value, state)
                return state
            case ast.AnnAssign(target=target, value=value) if value is not None:
                return self.assign(target, value, self.visit(value, state))
            case ast.AugAssign(target=target, value=value):
                state = self.visit(value, state)
                return state | targets_of(target) if self.holds(value, state) else state
            case (
                ast.For(target=target, iter=over, body=body, orelse=other)
                | ast.AsyncFor(target=target, iter=over, body=body, orelse=other)
            ):
                state = self.visit(over, state)
                return self.statements(
                    other, self.loop(state, lambda s: self.statements(body, self.assign(target, over, s)))
                )
            case ast.While(test=test, body=body, orelse=other):
                state = self.loop(state, lambda s: self.statements(body, self.visit(test, s)))
                return self.statements(other, state)
            case ast.If(test=test, body=body, orelse=other):
                state = self.visit(test, state)
                return self.statements(body, state) | self.statements(other, state)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    state = self.visit(item.context_expr, state)
                    if item.optional_vars is not None:
                        state = self.assign(item.optional_vars, item.context_expr, state)
                return self.statements(body, state)
            case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=last):
                before, self.ever = self.ever, state
                made = self.statements(other, self.statements(body, state))
                anywhere, self.ever = self.ever, self.ever | before  # it may raise anywhere
                for handler in handlers:
                    made |= self.statements(handler.body, anywhere)
                return self.statements(last, made)
            case ast.Match(subject=subject, cases=cases):
                state = self.visit(subject, state)
                held = self.holds(subject, state)
                made = state
                for case in cases:
                    names = {
                        n.name for n in ast.walk(case.pattern) if isinstance(n, ast.MatchAs | ast.MatchStar) and n.name
                    }
                    made |= self.statements(case.body, state | names if held else state)
                return made
            case ast.Return(value=value) if value is not None:
                state = self.visit(value, state)
                self.returned |= self.holds(value, state)
                self.exits |= state
                return NONE  # nothing comes after it
            case ast.Break() | ast.Continue():
                self.jumps |= state
                return NONE
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if node not in self.inner:
                    self.inner.append(node)
                return state
            case ast.Delete(targets=targets):
                return state - {ast.unparse(target) for target in targets}
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                state = self.visit(child, state)
            elif isinstance(child, ast.stmt):
                state |= self.statement(child, state)
        return state

    def loop(self, state: Names, body: Callable[[Names], Names]) -> Names:
        around, self.jumps = self.jumps, NONE
        for _ in range(_ROUNDS):
            if (joined := state | body(state) | self.jumps) == state:
                break
            state = joined
        self.jumps = around
        return state

    def assign(self, target: ast.expr, value: ast.expr, state: Names) -> Names:
        match target, value:
            case (ast.Tuple(elts=parts) | ast.List(elts=parts), ast.Tuple(elts=values) | ast.List(elts=values)) if len(
                parts
            ) == len(values) and not any(isinstance(x, ast.Starred) for x in (*parts, *values)):
                for part, single in zip(parts, values, strict=True):
                    state = self.assign(part, single, state)
                return state
        if isinstance(target, ast.Name) and isinstance(value, ast.Call):
            self.kinds.pop(target.id, None)
            if isinstance(made := self.resolve(value), Made):
                self.kinds[target.id] = made
        if (
            isinstance(target, ast.Name)
            and isinstance(value, ast.Dict)
            and all(isinstance(k, ast.Constant) for k in value.keys)
        ):
            pairs = zip(value.keys, value.values, strict=True)
            state = frozenset(name for name in state if first_of(name) != target.id)
            return state | {
                f"{target.id}[{ast.unparse(key)}]" for key, part in pairs if key and self.holds(part, state)
            }
        if self.holds(value, state):
            return state | targets_of(target)
        if isinstance(value, ast.Call) and (fields := self.fields(value, state)):
            return state | {f"{name}.{field}" for name in targets_of(target) for field in fields}
        return frozenset(
            name for name in state if name not in (gone := rebound_in(target)) and first_of(name) not in gone
        )

    def alias(self, targets: list[Any], call: ast.Call, state: Names) -> Names:
        """`rows = csv.writer(file)`: what is written to rows is in file."""
        for target in targets:
            if isinstance(target, ast.Name):
                self.behind[target.id] = [ast.unparse(part) for part in given(call)]
        return state

    # expressions

    def visit(self, node: Any, state: Names) -> Names:
        """The names that hold it after an expression; on the way, whether it makes a number of it."""
        match node:
            case None:
                return state
            case ast.Lambda(body=body):
                hidden = set(parameters(node))
                self.visit(body, frozenset(name for name in state if first_of(name) not in hidden))
                return self.made_here(node, state)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                inside = state
                for part in node.generators:
                    inside = self.assign(part.target, part.iter, self.visit(part.iter, inside))
                    for test in part.ifs:
                        inside = self.visit(test, inside)
                for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
                    inside = self.visit(part, inside)
                own = {name for part in node.generators for name in targets_of(part.target)}
                return self.made_here(node, state | frozenset(n for n in inside if first_of(n) not in own))
            case ast.NamedExpr(target=target, value=value):
                return self.made_here(node, self.assign(target, value, self.visit(value, state)))
            case ast.Yield(value=value) | ast.YieldFrom(value=value):
                state = self.visit(value, state)
                self.returned |= value is not None and self.holds(value, state)
                return state
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                state = self.visit(child, state)
            elif isinstance(child, ast.keyword):
                state = self.visit(child.value, state)
        if isinstance(node, ast.Call):
            state = self.call(node, state)
        elif isinstance(node, ast.Attribute):
            self.read |= self.of_property(node, state)
        return self.made_here(node, state)

    def of_property(self, node: ast.Attribute, state: Names) -> bool:
        """Whether a property makes a number of what its object holds."""
        held = parts_of(ast.unparse(node.value), state)
        if isinstance(node.value, ast.Call):
            held += [f".{field}" for field in self.fields(node.value, state)]
        owner = self.resolve(node.value) if held else UNKNOWN
        owner = owner.kind if isinstance(owner, Made) else owner
        found = inspect.getattr_static(owner, node.attr, None) if owner is not UNKNOWN else None
        function = getattr(found, "fget", None) or getattr(found, "func", None)
        scope = definition(function.__code__) if isinstance(function, FunctionType) else None
        if scope is None:
            return False
        own = parameters(scope)[0]
        return _of_call(function, scope, frozenset(own + name for name in held), owner, self.deep + 1).read

    def made_here(self, node: ast.AST, state: Names) -> Names:
        return state | self.after if node is self.made else state

    def call(self, node: ast.Call, state: Names) -> Names:
        name = called(node)
        if node is not self.made:
            self.read |= self.reads(node, state)
        parts = [part for part in given(node) if self.holds(part, state)]
        if name in KEEPING and isinstance(node.func, ast.Attribute) and (parts or self.making(node)):
            owner = node.func.value
            more = given(owner) if isinstance(owner, ast.Call) else ()
            behind = self.behind.get(ast.unparse(owner), ())
            return state | targets_of(owner) | {*behind, *map(ast.unparse, more)}
        if name in SAVING and (parts or self.making(node)) and node.args:
            self.files = True
            return state | targets_of(node.args[0])
        if name == "heappush" and parts:
            return state | {ast.unparse(node.args[0])}
        if name == "print" and (parts or self.making(node)):
            return state | {ast.unparse(word.value) for word in node.keywords if word.arg == "file"}
        fate, names = self.inside(node, state) if node is not self.made else (None, {})
        if fate is not None:
            self.read |= fate.read
            state |= {names[first] + name[len(first) :] for name in fate.given if (first := first_of(name)) in names}
        return state

    # calls of the user's functions

    def inside(self, node: ast.Call, state: Names) -> tuple[Fate | None, dict[str, str]]:
        """What becomes of it in a function that is given it; and what its parameters are called here."""
        flags = [self.holds(part, state) for part in given(node)]
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else None
        if owner is not None and isinstance(node.func.value, ast.Call):
            state |= {f"{owner}.{field}" for field in self.fields(node.func.value, state)}
        fields = [part for whole in (owner, *map(ast.unparse, given(node))) if whole for part in parts_of(whole, state)]
        outer = {name for name in state if not self.scope_has(name)}
        if not (any(flags) or fields or outer) or self.deep >= _DEEP or called(node) in PASSING | READERS | KEEPING:
            return None, {}
        bound: Any = None
        function: FunctionType | None = None
        if isinstance(node.func, ast.Lambda):
            scope = node.func
        else:
            bound, function = function_of(self.resolve(node.func))
            scope = definition(function.__code__) if function is not None else None
        if scope is None:
            return None, {}
        places = placed(scope, node, bound)
        if bound is not None and owner is not None and (own := parameters(scope)[:1]):
            places[own[0]] = node.func.value
        held = {name for name, part in places.items() if self.holds(part, state)}
        for name, part in places.items():
            if any(part is x for x in (*given(node), getattr(node.func, "value", None))):
                entries = parts_of(ast.unparse(part), state)
                held = held - {name} if entries and ast.unparse(part) not in state else held
                held |= {name + entry for entry in entries}
        if function is not None:
            known = {*function.__code__.co_names, *function.__code__.co_freevars} - bound_in(scope)
            held |= {name for name in outer if first_of(name) in known}
        if not held:
            return None, {}
        if function is None:
            hidden = set(parameters(scope))
            seen = {name for name in state if first_of(name) not in hidden}
            fate = Flow(scope, self.space, self.deep + 1).run(frozenset(held | seen))
        else:
            known = {name: self.resolve(part) for name, part in places.items()}
            fate = _of_call(function, scope, frozenset(held), bound, self.deep + 1, known)
        names = {name: ast.unparse(part) for name, part in places.items()}
        return fate, {first_of(name): first_of(name) for name in fate.given if not self.scope_has(name)} | names

    def fields(self, node: ast.Call, state: Names) -> set[str]:
        """The attributes of a new object that hold it, where a class of the user's is given it."""
        kind = self.resolve(node.func)
        if not isinstance(kind, type) or not any(self.holds(part, state) for part in given(node)):
            return set()
        names = [*getattr(kind, "__match_args__", ()), *getattr(kind, "_fields", ())]
        found = {name for name, part in zip(names, node.args, strict=False) if self.holds(part, state)}
        found |= {word.arg for word in node.keywords if word.arg and self.holds(word.value, state)}
        init = kind.__dict__.get("__init__")
        if isinstance(init, FunctionType) and (scope := definition(init.__code__)) is not None:
            places = placed(scope, node, kind)
            held = frozenset(name for name, part in places.items() if self.holds(part, state))
            fate = _of_call(init, scope, held, kind, self.deep + 1)
            self.read |= fate.read
            own = parameters(scope)[0]
            return {name.partition(".")[2] for name in fate.given if name.startswith(f"{own}.")}
        return found


looked_at: dict[Any, Fate] = {}  # calls that one text has led to


def _of_call(
    function: FunctionType, scope: Any, held: Names, bound: Any, deep: int, known: dict[str, Any] | None = None
) -> Fate:
    key = (function.__code__, held)
    if deep > _DEEP:
        return Fate(False, False, NONE)
    fate = looked_at.get(key)
    if fate is None:
        looked_at[key] = Fate(False, False, NONE)  # where it calls itself
        space, given_it = space_of(function, bound, parameters(scope)), known or {}
        flow = Flow(scope, lambda name: given_it[name] if name in given_it else space(name), deep)
        fate = looked_at[key] = flow.run(held)
    return fate
