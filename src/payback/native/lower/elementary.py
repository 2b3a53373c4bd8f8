"""Elementary and special functions in kernels: by `vector_math`, else lane by lane by SciPy's."""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import Any

from payback.native import ir, vector_math
from payback.native.codegen.emit import FLOAT32, FLOAT64, INT32, Emitter, constant, lanes_of

# The rows whose values are SciPy's: its own compiled functions of doubles, and how many arguments they take.
_SCIPY = {
    **dict.fromkeys(
        ("erfi", "erfcinv", "dawsn", "gamma", "rgamma", "exp1", "expi",
         "exprel", "cosm1", "j0", "j1", "y0", "y1", "i0", "i1", "i0e", "i1e", "k0", "k1", "k0e", "k1e", "ber", "bei",
         "berp", "beip", "ker", "kei", "kerp", "keip", "ellipk", "ellipe", "ellipkm1", "spence", "sindg", "cosdg",
         "tandg", "cotdg"), 1),
    **dict.fromkeys(
        ("beta", "betaln", "binom", "poch", "kl_div", "huber", "pseudo_huber", "powm1", "boxcox", "boxcox1p",
         "inv_boxcox", "inv_boxcox1p", "jv", "yv", "iv", "kv", "ive", "kve", "struve", "modstruve", "hyp0f1",
         "ellipkinc", "ellipeinc", "agm", "owens_t", "gammainc", "gammaincc", "gammaincinv", "gammainccinv", "stdtr",
         "stdtrit"), 2),
    **dict.fromkeys(("hyp1f1", "hyperu", "betainc", "betaincc", "betaincinv", "betainccinv"), 3),
    "hyp2f1": 4,
}  # fmt: skip
SPECIAL = frozenset(_SCIPY)
NAMES = frozenset(vector_math.FORMULAS) - {"mod", "floor_divide"}  # of floats; those two are of whole numbers too


def nan(kind: ir.Type) -> ir.Constant:
    return constant(kind, float("nan"))


@cache
def scipy_functions() -> dict[str, int]:
    """Where SciPy's compiled functions of doubles are, by the names that machine code calls them; {} without SciPy."""
    try:
        from scipy.special import cython_special
    except ImportError:
        return {}
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    found: dict[str, int] = {}
    for name, capsule in getattr(cython_special, "__pyx_capi__", {}).items():
        plain = re.sub(r"^__pyx_fuse_\d+", "", name)
        signature = name_of(capsule)
        if plain in _SCIPY and signature == f"double ({'double, ' * _SCIPY[plain]}int __pyx_skip_dispatch)".encode():
            found[f"payback_scipy_{plain}"] = pointer_of(capsule, signature)
    return found


def has(name: str) -> bool:
    """Whether SciPy has a compiled function for this row."""
    return name in SPECIAL and f"payback_scipy_{name}" in scipy_functions()


def calls_scipy(key: Any) -> bool:
    """Whether a kernel's code calls functions of SciPy."""
    return any(map(calls_scipy, key)) if isinstance(key, tuple) else isinstance(key, str) and key in SPECIAL


def link(key: Any) -> None:
    """Make SciPy's functions known to the linker, if a kernel calls one."""
    if calls_scipy(key):
        _link_all()


def linked() -> bool:
    """Whether there are functions of SciPy; the linker knows them from here on."""
    _link_all()
    return bool(scipy_functions())


@cache
def _link_all() -> None:
    from llvmlite import binding

    for symbol, address in scipy_functions().items():
        binding.add_symbol(symbol, address)


def _by_lanes(e: Emitter, symbol: str, *operands: ir.Value) -> ir.Value:
    """A compiled function of SciPy's on every lane: of doubles, and of a whole number that is 0."""
    kind = operands[0].type
    function = e.module.globals.get(symbol)
    if function is None:
        types = [*[FLOAT64] * len(operands), INT32]
        function = ir.Function(e.module, ir.FunctionType(FLOAT64, types), symbol)
    b = e.b

    def one(values: list[ir.Value]) -> ir.Value:
        single = values[0].type == FLOAT32
        made = b.call(function, [*(b.fpext(v, FLOAT64) if single else v for v in values), ir.Constant(INT32, 0)])
        return b.fptrunc(made, FLOAT32) if single else made

    if not isinstance(kind, ir.VectorType):
        return one(list(operands))
    result = ir.Constant(kind, ir.Undefined)
    for lane in range(kind.count):
        at = ir.Constant(INT32, lane)
        result = b.insert_element(result, one([b.extract_element(x, at) for x in operands]), at)
    return result


def emit(e: Emitter, name: str, *operands: ir.Value) -> ir.Value:
    """The function of the row `name`.  A scalar is computed in a vector's first lane: one code, one result."""
    if name in vector_math.SUPPORTED:
        kind = operands[0].type
        if isinstance(kind, ir.VectorType):
            return vector_math.emit(e, name, *operands)
        lanes = lanes_of(kind)
        spread = [e.splat(x, lanes) for x in operands]
        return e.b.extract_element(vector_math.emit(e, name, *spread), ir.Constant(INT32, 0))
    return _by_lanes(e, f"payback_scipy_{name}", *operands)
