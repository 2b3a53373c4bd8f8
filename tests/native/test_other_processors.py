"""Processors that this one is not: without AVX, without fused multiply-add.  LLVM is told that the host is one."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

import amount
from payback.native.codegen import cache

OLD = "64bit,cmov,cx8,fxsr,mmx,sse,sse2"
NEWER = f"{OLD},sse3,ssse3,sse4.1,sse4.2,popcnt,cx16,avx"
PROCESSORS = {"x86-64": OLD, "sandybridge": NEWER} if platform.machine().lower() in ("x86_64", "amd64") else {}
SCRIPT = """
import sys, warnings
import llvmlite.binding as llvm
from llvmlite.binding.targets import FeatureMap

name, features = sys.argv[1:]
all_features = llvm.get_host_cpu_features()
host = FeatureMap({one: one in features.split(",") for one in all_features})
llvm.get_host_cpu_features, llvm.get_host_cpu_name = lambda: host, lambda: name

import os
import numpy as np, payback as pb
from native.test_random_programs import test_exact_programs_to_the_bit as exact_program
from native.test_random_programs import test_programs_to_rounding as rounded_program
from native.test_scans import Written, agree
from payback.native.codegen import emit

assert emit.vector_bytes() == (32 if "avx" in features.split(",") else 16)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # means of nothing are among the programs
    for seed in range({count}):
        exact_program(seed)
        rounded_program(100_000 + seed)
    for seed in range({count} // 8 + 1):
        scan = Written(seed)
        agree(pb.compile(pb.grad(scan.cost))(*scan.args), pb.grad(scan.cost)(*scan.args), scan.dtype)
halves = np.arange(12, dtype=np.float16).reshape(3, 4)  # without instructions for them they can still be moved
halves[1, 2] = np.nan
for move in (np.transpose, lambda x: np.broadcast_to(x[:, None], (3, 5, 4)), lambda x: np.concatenate([x, x[::-1]])):
    np.testing.assert_array_equal(pb.compile(move, native=True)(halves), move(halves))
net, x = pb.nn.MLP([5, 16, 3], seed=0), np.random.default_rng(0).standard_normal((64, 5)).astype(np.float32)
costs = []
for native in "10":
    os.environ["PAYBACK_NATIVE"] = native
    run = pb.fit(net, x, 2.0 * x[:, :3], epochs=3, progress=False, validation=0)
    costs.append([record["loss"] for record in run.history])
np.testing.assert_allclose(*costs, rtol=1e-5)
"""


@pytest.mark.parametrize("name", PROCESSORS)
def test_programs_and_a_training(name, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.SETTING, str(tmp_path / "code"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    script = SCRIPT.replace("{count}", str(amount.cases(2, 40)))
    command = [sys.executable, "-c", script, name, PROCESSORS[name]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_code_for_another_processor_is_not_used(monkeypatch):
    def basis():
        cache._host.cache_clear()
        cache._stamp.cache_clear()
        return cache._basis.__wrapped__()

    own = basis()
    features = cache.llvm.get_host_cpu_features()
    features["avx2"] = not features.get("avx2")
    for name, answer in (("get_host_cpu_name", "another"), ("get_host_cpu_features", features)):
        with monkeypatch.context() as patch:
            patch.setattr(cache.llvm, name, lambda answer=answer: answer)
            assert basis() != own
    assert basis() == own
