"""Large arrays that are freed are used again: no page fault for each page of each new one."""

import os
import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource
import numpy as np
import payback as pb

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

f = pb.grad(lambda x: (np.sin(x) * x + 1).sum())
for n in (20_000, 60_000, 300_000):
    x = np.ones(n)
    for _ in range(5):
        f(x)
    before = faults()
    for _ in range(20):
        f(x)
    print((faults() - before) / 20 / (n * 8 / 4096))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a rule of glibc's allocator")
def test_pages_are_not_fetched_anew():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, env=environment)
    fetched = [float(line) for line in done.stdout.split()]  # how many arrays' pages in a call: 4 without
    assert len(fetched) == 3
    assert max(fetched) < 0.1
