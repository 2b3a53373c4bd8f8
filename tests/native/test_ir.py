"""LLVM IR as text, and modules that are cut into parts."""

import ctypes

import numpy as np
import pytest

from payback.native import ir
from payback.native.codegen.assemble import object_code
from payback.native.codegen.emit import (
    BIT,
    FLOAT32,
    FLOAT64,
    HALF,
    INT,
    INT32,
    POINTER,
    Compiled,
    Emitter,
    Loaded,
    initialize,
    target_machine,
)
from payback.native.codegen.split import parts

KERNEL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)


def function(module, name, result=INT, kinds=(INT,)):
    made = ir.Function(module, ir.FunctionType(result, kinds), name)
    return Emitter(module, ir.IRBuilder(made.append_basic_block())), made


def test_equal_types_are_one():
    assert ir.VectorType(ir.IntType(8), 4) is ir.VectorType(ir.IntType(8), 4)
    assert ir.VectorType(ir.IntType(8), 4) is not ir.ArrayType(ir.IntType(8), 4)
    assert ir.FunctionType(INT, [INT]) is ir.FunctionType(INT, (INT,))


@pytest.mark.parametrize("value", [1.0, -0.0, 0.1, np.pi, 1e-40, 1e300, float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize(("kind", "dtype"), [(FLOAT64, "f8"), (FLOAT32, "f4"), (HALF, "f2")])
def test_constants_are_the_numbers_that_they_are_made_of(kind, dtype, value):
    module = ir.Module()
    e, made = function(module, "f", ir.VoidType(), (POINTER,))
    e.store(ir.Constant(kind, value), made.args[0], 0)
    e.b.ret_void()
    found = np.zeros(1, dtype)
    compiled = Compiled(module)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compiled.address("f"))(found.ctypes.data)
    with np.errstate(over="ignore"):
        wanted = np.array([value]).astype(dtype)
    assert np.array_equal(found, wanted, equal_nan=True)
    assert np.signbit(found[0]) == np.signbit(wanted[0])


def test_constants_of_several_elements():
    kind = ir.VectorType(INT32, 2)
    assert str(ir.Constant(kind, [1, INT32(-2)])) == "<2 x i32> <i32 1, i32 -2>"
    assert str(ir.Constant(kind, None)) == "<2 x i32> zeroinitializer"
    assert str(ir.Constant(kind, ir.Undefined)) == "<2 x i32> undef"
    assert str(ir.Constant(BIT, True)) == "i1 1"


def test_what_is_frozen_is_the_same_number():
    module = ir.Module()
    e, made = function(module, "f")
    e.b.ret(e.b.freeze(e.b.mul(made.args[0], e.b.freeze(made.args[0]))))
    compiled = Compiled(module)
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(compiled.address("f"))(-7) == 49


def test_what_a_block_computes_again_it_has():
    module = ir.Module()
    e, made = function(module, "f")
    (x,) = made.args
    first = e.b.mul(x, x)
    assert e.b.mul(x, x) is first
    assert e.b.add(x, e.int(0)) is x
    assert e.b.mul(e.int(1), x) is x
    block = e.b.append_basic_block()
    e.b.branch(block)
    e.b.position_at_end(block)
    assert e.b.mul(x, x) is not first  # the first one may not have been computed on the way here


def test_memory_is_read_anew():
    module = ir.Module()
    e, made = function(module, "f", INT, (POINTER,))
    first = e.load(made.args[0], 3, INT)
    e.store(e.b.add(first, e.int(1)), made.args[0], 3)
    second = e.load(made.args[0], 3, INT)
    e.b.ret(e.b.mul(first, second))
    memory = np.arange(4)
    compiled = Compiled(module)
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(compiled.address("f"))(memory.ctypes.data) == 12


def test_a_pointer_to_a_function_keeps_its_type():
    module = ir.Module()
    e, made = function(module, "f")
    plain = e.b.inttoptr(made.args[0], POINTER)
    called = e.b.inttoptr(made.args[0], ir.PointerType(ir.FunctionType(INT, (INT,))))
    assert plain.type is POINTER
    assert called.type.pointee is ir.FunctionType(INT, (INT,))


def test_names_are_defined_once():
    module = ir.Module()
    function(module, "f")
    with pytest.raises(ValueError, match="f is defined twice"):
        function(module, "f")


def test_a_call_takes_as_many_arguments_as_the_function():
    module = ir.Module()
    e, made = function(module, "f")
    with pytest.raises(TypeError, match="takes 1 arguments, not 2"):
        e.b.call(made, [e.int(1), e.int(2)])


def family():
    """Two functions that call a third, which reads a table and branches."""
    module = ir.Module()
    table = ir.GlobalVariable(module, ir.ArrayType(INT, 3), "the table")
    table.linkage, table.global_constant = "internal", True
    table.initializer = ir.Constant(table.kind, [5, 7, 11])
    e, helper = function(module, "helper")
    helper.linkage = "internal"
    with e.b.if_then(e.b.icmp_signed("<", helper.args[0], e.int(0)), likely=False):
        e.b.ret(e.int(-1))
    e.b.ret(e.load(table, helper.args[0], INT))
    for name, factor in (("twice", 2), ("thrice", 3)):
        e, made = function(module, name)
        e.b.ret(e.b.mul(e.b.call(helper, [made.args[0]]), e.int(factor)))
    return module


def test_parts_are_one_program():
    initialize()
    whole = Compiled(family())
    texts = parts(family(), 200)
    assert len(texts) > 2
    assert sum(text.count("define") for text in texts) == 3  # each function is compiled once
    loaded = Loaded(*[object_code(text, target_machine()) for text in texts])
    for name in ("twice", "thrice"):
        found, wanted = (KERNEL(code.address(name)) for code in (loaded, whole))
        assert [found(k) for k in (0, 1, 2, -5)] == [wanted(k) for k in (0, 1, 2, -5)]


def test_a_small_module_is_one_part():
    assert parts(family(), 1 << 20) == [str(family())]


def test_parts_of_two_programs_may_be_loaded_together():
    """Both define what their kernels call; it is the same under the same name."""
    initialize()
    codes = [object_code(text, target_machine()) for text in parts(family(), 200)]
    loaded = Loaded(*codes, *codes)
    assert KERNEL(loaded.address("thrice"))(2) == 33


def test_a_constant_of_the_same_bits():
    module = ir.Module()
    e, _made = function(module, "f", FLOAT64, ())
    e.b.ret(INT(0x3FF8 << 48).bitcast(FLOAT64))
    compiled = Compiled(module)
    assert ctypes.CFUNCTYPE(ctypes.c_double)(compiled.address("f"))() == 1.5
