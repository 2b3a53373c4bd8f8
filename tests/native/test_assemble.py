"""Modules compiled in several threads: the same code, in order, and no thread left."""

from __future__ import annotations

import threading
import time

import llvmlite.binding as llvm
import pytest

from payback.native.codegen import assemble as assembling
from payback.native.codegen.assemble import assemble

TEXT = """
define i64 @f{0}(i64 %x) {{
entry:
  %y = mul i64 %x, {0}
  %z = call i64 @g{0}(i64 %y)
  ret i64 %z
}}
define i64 @g{0}(i64 %x) {{
entry:
  %y = add i64 %x, {0}
  ret i64 %y
}}
"""


def texts(count):
    return (TEXT.format(k) for k in range(count))


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_code_does_not_depend_on_the_threads(threads):
    alone = assemble(texts(12), 1)
    assert len(set(alone)) == 12
    assert assemble(texts(12), threads) == alone


def test_nothing_to_compile():
    assert assemble([], 4) == []


@pytest.mark.parametrize("threads", [1, 4])
def test_what_llvm_refuses_is_raised_where_it_was_asked(threads):
    before = threading.active_count()
    for place in (0, 3, 5):
        wrong = ["define i64 @f( {" if k == place else TEXT.format(k) for k in range(6)]
        with pytest.raises(RuntimeError, match="parsing error"):
            assemble(wrong, threads)
    assert threading.active_count() == before


def test_trouble_in_writing_leaves_no_thread(monkeypatch):
    """A program that is interrupted may end at once, and LLVM with it."""
    original = assembling.object_code
    monkeypatch.setattr(assembling, "object_code", lambda *given: time.sleep(0.1) or original(*given))

    def written():
        yield from texts(5)
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        assemble(written(), 3)
    assert threading.active_count() == before


def test_an_interruption_leaves_nothing_to_be_freed_in_some_order(monkeypatch):
    freed = []

    def interrupted(*args):
        raise KeyboardInterrupt

    for kind in (llvm.ModuleRef, llvm.context.ContextRef):

        def dispose(thing, kind=kind, original=kind._dispose):
            freed.append(kind.__name__)
            original(thing)

        monkeypatch.setattr(kind, "_dispose", dispose)
    monkeypatch.setattr(assembling, "_emit", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        assemble(texts(1), 1)
    assert freed == ["ModuleRef", "ContextRef"]  # while the traceback still holds the frames
    assert caught.traceback
