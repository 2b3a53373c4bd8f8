"""One contestant: reads requests as JSON lines from standard input, answers on standard output.

{"do": "prepare", "work": NAME, "options": {...}}  -> {"first": seconds until the first result, "check": numbers}
{"do": "time", "count": N}                        -> {"seconds": for N repetitions}
{"do": "memory"}                                  -> {"peak": bytes over what stood in memory after the imports,
                                                      "planned": bytes that its plan holds, if it makes one}
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import sys
import time
from typing import Any

from benchmarks import nets
from benchmarks.derivatives import DERIVATIVES, Derivative
from benchmarks.programs import PROGRAMS, named
from benchmarks.works import FUNCTIONS, TRAININGS, Training, parsed


def work_of(name: str, options: dict[str, Any]) -> Any:
    if "optimizer" in options:
        return nets.named(name, **options)
    if name in DERIVATIVES:
        return Derivative(name, **options)
    if name in PROGRAMS:
        return named(name, **options)
    if name in TRAININGS:
        return Training(*TRAININGS[name], **options)
    if re.fullmatch(r"\d+(-\d+)+:\d+", name):  # "64-128-10:32": widths, then the batch
        widths, batch = name.split(":")
        return Training(tuple(map(int, widths.split("-"))), int(batch), **options)
    base, sizes = parsed(name)
    return FUNCTIONS[base](**sizes, **options)


def _resident(forget: bool = False) -> int:
    """The most bytes that were resident since the last `forget`; where the system cannot say, since the start."""
    try:
        if forget:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    threads = int(os.environ["BENCHMARK_THREADS"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer
    module = importlib.import_module(f"benchmarks.contestants.{sys.argv[1]}")
    baseline = _resident(forget=True)
    repeat: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            if request["do"] == "prepare":
                work = work_of(request["work"], request["options"])
                data = work.data()
                start = time.perf_counter()
                check, repeat = module.prepare(work, data, threads, request.get("variant"))
                answer = {"check": check(), "first": time.perf_counter() - start}
            elif request["do"] == "time":
                start = time.perf_counter()
                own = repeat(request["count"])  # a contestant may leave out what it does once, like all others
                answer = {"seconds": own if isinstance(own, float) else time.perf_counter() - start}
            else:
                answer = {"peak": _resident() - baseline}
                if hasattr(module, "planned"):
                    answer["planned"] = module.planned()
        except Exception as problem:  # a contestant that cannot do a work says why; the others go on
            answer = {"cannot": f"{type(problem).__name__}: {problem}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
