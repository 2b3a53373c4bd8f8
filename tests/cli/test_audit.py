"""`payback audit FILE.py:f`: the obstacles of the user's own program, in one run; and how such a program is loaded."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import payback as pb
from payback.cli import main
from payback.cli.values import parse_value
from payback.errors import InputError

# Five obstacles in four modules: a plain array made before, a float(x), SciPy's compiled solver, a NumPy function
# without a row, a standard function that takes a float.  The `if` and the `while` on values are none.
PLANTED = {
    "main.py": """
        import numpy as np
        from physics.state import Model
        from physics.helper import factor, spectrum
        from physics.solver import root_of

        model = Model()

        def cost(x):
            total = np.zeros(3)
            for i in range(3):
                total[i] = x[i] ** 2
            if total.sum() > 1:
                total *= 2
            while total.sum() < 20:
                total += model.step(x)
            scale = x[2].__float__()
            return np.sum(total) * scale + factor(x) + np.sum(np.abs(spectrum(x))) + root_of(x)

        if __name__ == "__main__":
            raise RuntimeError("the script's own part ran")
        """,
    "physics/__init__.py": "",
    "physics/helper.py": """
        import numpy as np
        from math import ulp

        def spectrum(x):
            return np.sort_complex(x)

        def factor(x):
            return ulp(x[0] + 1.0)
        """,
    "physics/state.py": """
        import numpy as np

        class Model:
            def __init__(self):
                self.work = np.zeros(3)

            def step(self, x):
                self.work[1] = x[1]
                return self.work * x
        """,
    "physics/solver.py": """
        from scipy.optimize import broyden1

        def root_of(x):
            return broyden1(lambda t: t**3 - x[0], 1.0)
        """,
}
FREE = {
    "main.py": """
        import numpy as np
        from parts import Model

        model = Model(3)

        def cost(x, *, steps: int = 2):
            for _ in range(steps):
                model.move(x)
            return np.sum(model.at ** 2)
        """,
    "parts.py": """
        import numpy as np

        class Model:
            def __init__(self, n):
                self.at = np.zeros(n)

            def move(self, x):
                self.at = self.at + (np.sin(x) if x[0] > 0 else np.cos(x))
        """,
}


def write(folder, files):
    importlib.invalidate_caches()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text), "utf-8")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the program in an empty folder, and forget what it imports: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def forget():
        for name in set(sys.modules) - before:
            if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
                del sys.modules[name]

    def call(*arguments):
        state = list(sys.path), sys.argv
        code = main([str(argument) for argument in arguments])
        assert (sys.path, sys.argv) == state
        captured = capsys.readouterr()
        forget()
        return code, captured.out, captured.err

    yield call
    forget()


def said(run, *arguments):
    """The one line of an error in the input."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    return err.strip().removeprefix("payback: ")


PLACES = {("main.py", 17, "cost"), ("helper.py", 6, "spectrum"), ("helper.py", 9, "factor"),
          ("state.py", 9, "step"), ("solver.py", 5, "root_of")}  # fmt: skip


def test_five_planted_obstacles_in_one_run(run, tmp_path):
    write(tmp_path, PLANTED)
    code, out, err = run("audit", "main.py:cost", "x=[0.5,1.25,2]")
    assert (code, err) == (3, "")
    lines = out.splitlines()
    assert lines[0] == "5 places cannot be differentiated:"
    for file, line, function in PLACES:
        assert any(f"{file}:{line} in {function}: " in text for text in lines), (file, line)
    assert "solver.py:5 in root_of: broyden1(lambda t: t**3 - x[0], 1.0)" in out
    assert "SciPy's compiled code takes bare numbers" in out


def test_the_same_in_python_and_in_json(run, tmp_path, monkeypatch):
    write(tmp_path, PLANTED)
    code, out, _ = run("audit", "main.py:cost", "x=[0.5,1.25,2]", "--json")
    told = json.loads(out)
    assert code == 3
    assert told.keys() == {"payback", "version", "target", "wrt", "value", "obstacles"}
    assert (told["target"], told["wrt"]) == ("main.py:cost", ["x"])
    in_json = [tuple(each[key] for key in ("file", "line", "function", "expression", "what", "why", "fix"))
               for each in told["obstacles"]]  # fmt: skip
    assert {(os.path.basename(each[0]), *each[1:3]) for each in in_json} == PLACES
    monkeypatch.syspath_prepend(tmp_path)
    import main as module

    found = pb.audit(module.cost, np.array([0.5, 1.25, 2.0]))
    in_python = [(o.file, o.line, o.function, o.expression, o.what, o.why, o.fix) for o in found]
    assert in_python[1:] == in_json[1:]
    assert (os.path.basename(in_python[0][0]), *in_python[0][1:]) == (os.path.basename(in_json[0][0]), *in_json[0][1:])
    assert found.value == pytest.approx(told["value"], rel=1e-15)


def test_nothing_in_the_way_and_the_gradients_are_right(run, tmp_path, monkeypatch):
    write(tmp_path, FREE)
    code, out, err = run("audit", "main.py:cost", "x=[0.5,1.25,2]", "steps=3")
    assert (code, out, err) == (0, "nothing stands in the way of a derivative\n", "")
    monkeypatch.syspath_prepend(tmp_path)
    import main as module

    x = np.array([0.5, 1.25, 2.0])
    np.testing.assert_allclose(pb.grad(module.cost)(x), 8 * np.sin(x) * np.cos(x), rtol=1e-14)


def test_as_a_program(tmp_path):
    """In a process of its own, from another folder: the file's folder is what is imported from."""
    write(tmp_path / "deep", PLANTED)
    source = os.path.dirname(os.path.dirname(pb.__file__))
    done = subprocess.run(
        [sys.executable, "-m", "payback", "audit", f"deep{os.sep}main.py:cost", "x=[0.5,1.25,2]"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": source}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("5 places cannot be differentiated:\n")


# the program that is loaded


def test_what_a_program_prints_does_not_disturb_the_json(run, tmp_path):
    write(tmp_path, {"m.py": "print('loading')\ndef f(x):\n    print('running')\n    return x * x\n"})
    code, out, err = run("audit", "m.py:f", "x=3", "--json")
    assert code == 0
    assert json.loads(out)["value"] == 9.0
    assert err == "loading\nrunning\nnothing stands in the way of a derivative\n"
    assert run("audit", "m.py:f", "x=3")[1] == "loading\nrunning\nnothing stands in the way of a derivative\n"


def test_a_program_sees_what_python_would_show_it(run, tmp_path):
    text = """
        import sys, dataclasses

        @dataclasses.dataclass
        class Weights:
            a: float

        assert sys.argv == ["sub/m.py"]
        assert __name__ != "__main__"
        assert sys.modules[__name__].Weights is Weights

        class Model:
            def cost(self, x, /, y=2.0, *more, k, **rest):
                from beside import square  # imported when it is called
                return square(Weights(x * y).a) * k * rest["z"]

        model = Model()
        """
    write(tmp_path, {"sub/m.py": text, "sub/beside.py": "def square(x):\n    return x * x\n"})
    code, out, err = run("audit", "sub/m.py:model.cost", "x=3", "k=2", "z=1", "--json")
    assert (code, json.loads(out)["value"]) == (0, 72.0), err
    assert json.loads(out)["wrt"] == ["x", "k", "z"]
    assert "__payback_main__" not in sys.modules


def test_a_program_named_as_a_module_of_python_is_the_users(run, tmp_path):
    write(
        tmp_path,
        {"statistics.py": "import numpy as np\ndef f(x):\n    y = np.zeros(2)\n    y[0] = x\n    return y.sum()\n"},
    )
    assert run("audit", "statistics.py:f", "x=3")[:2] == (0, "nothing stands in the way of a derivative\n")


@pytest.mark.parametrize(
    ("text", "why", "line"),
    [
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere'", "m.py:1"),
        ("x = 1\ny = = 2\n", "SyntaxError: invalid syntax", "m.py:2"),
        ("import sys\nsys.exit(4)\n", "SystemExit(4)", ""),
        ("import json\njson.loads('{')\n", "JSONDecodeError: ", "m.py:2 in <module>: json.loads('{')"),
    ],
)
def test_a_program_that_cannot_be_loaded(run, tmp_path, text, why, line):
    write(tmp_path, {"m.py": text})
    message = said(run, "audit", "m.py:f", "x=1")
    assert message.startswith("m.py cannot be loaded")
    assert why in message
    assert line in message


def test_a_function_that_fails(run, tmp_path):
    write(tmp_path, {"m.py": "def f(x):\n    return inner(x)\ndef inner(x):\n    return {}[3] * x\n"})
    code, out, err = run("audit", "m.py:f", "x=1")
    assert (code, out) == (3, "")
    assert err.startswith("payback: f failed (")
    assert err.endswith("m.py:4 in inner: return {}[3] * x): KeyError: 3.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.py"], "'m.py' names no function: its functions are cost and other. Write FILE.py:FUNCTION."),
        (["n.py:cost"], "there is no file n.py. Did you mean m.py?"),
        (["m.py:cast"], "m.py has no function cast. Did you mean cost?"),
        (["m.py:w"], "w in m.py is of type float: only a function has a derivative. "
                     "Name a function, or an object with a __call__."),
        (["m.py:cost"], "x and y of cost(x, y, n: int = 3) are missing. Give x=VALUE y=VALUE."),
        (["m.py:cost", "x=1", "y=1", "m=2"], "cost has no argument m: it is cost(x, y, n: int = 3). Remove it."),
        (["m.py:other", "alpha=1", "bta=1"], "other has no argument bta: it is other(alpha, beta). Did you mean beta?"),
        (["m.py:cost", "1"], "'1' is not of the form NAME=VALUE. Write for example x=2 or x=[1,2]."),
        (["m.py:cost", "x=1", "x=1"], "x is given twice: an argument has one value. Remove one."),
        (["m.py:cost", "x=1", "y=1", "--wrt", "z"],
         "--wrt names 'z': no such argument is given. Those given are x and y."),
        (["m.py:cost", "x='a'", "y=True"], "cost(x, y, n: int = 3) has nothing to differentiate by: "
         "no number or floating array is given. Give one of its arguments, or name one with --wrt."),
    ],
)  # fmt: skip
def test_bad_input(run, tmp_path, arguments, message):
    write(tmp_path, {"m.py": "def cost(x, y, n: int = 3):\n    return x * y * n\n"
                             "def other(alpha, beta):\n    return alpha\nw = 1.0\n"})  # fmt: skip
    assert said(run, "audit", *arguments) == message


# what is differentiated by


def test_whole_numbers_where_the_function_says_int_do_not_vary(run, tmp_path):
    text = """
        def f(x, n: int, m=2, *, flag=True):
            for _ in range(n * m):
                x = x * 1.5
            return x if flag else -x
        """
    write(tmp_path, {"m.py": text})
    code, out, err = run("audit", "m.py:f", "x=2", "n=2", "m=1", "flag=False", "--json")
    assert (code, json.loads(out)["wrt"], json.loads(out)["value"]) == (0, ["x"], -4.5), err


def test_wrt_chooses(run, tmp_path):
    write(tmp_path, {"m.py": "def f(x, y, *, z):\n    return x.__float__() * y * z\n"})
    assert run("audit", "m.py:f", "x=2", "y=3", "z=1", "--wrt", "y,z")[0] == 0
    assert run("audit", "m.py:f", "x=2", "y=3", "z=1", "--wrt", "z, x")[0] == 3


# values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2), ("-2.5e-3", -2.5e-3), ("+1", 1), ("inf", np.inf), ("-inf", -np.inf), ("True", True), ("None", None),
        ("'a b'", "a b"), ("{'w': 1, \"b\": -2.0}", {"w": 1, "b": -2.0}), ("['a', 'b']", ["a", "b"]),
    ],
)  # fmt: skip
def test_values(text, value):
    read = parse_value("x", text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "array"),
    [
        ("[1,2,3]", np.array([1.0, 2.0, 3.0])),
        ("(1, -2)", np.array([1.0, -2.0])),
        ("[[1,2],[3,4.5]]", np.array([[1, 2], [3, 4.5]])),
        ("[[]]", np.zeros((1, 0))),
        ("[True, False]", np.array([True, False])),
    ],
)
def test_arrays(text, array):
    read = parse_value("x", text)
    np.testing.assert_array_equal(read, array)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it cannot be read"),
        ("1 2", "it cannot be read"),
        ("9" * 5000, "it cannot be read"),
        ("[" * 5000 + "]" * 5000, "it cannot be read"),
        ("-" * 50_000 + "1", "nested too deeply"),
        ("__import__('os').system('true')", "a call is not a value"),
        ("y", "a name is not a value"),
        ("1 + 1", "an expression is not a value"),
        ("2j", "this is not a value"),
        ("[[1],[1,2]]", "its rows have different lengths"),
        ("{1: 2}", "the keys of a dictionary are texts in quotes"),
        ("{**{}}", "the keys of a dictionary are texts in quotes"),
        ("1" + " " * 100_000, "at most 100,000 are read"),
    ],
)
def test_what_is_no_value(text, why):
    with pytest.raises(InputError, match=why):
        parse_value("x", text)


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("an object was unpickled",))


def test_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b = np.arange(6.0).reshape(2, 3), np.float32([1, 2])
    np.save("a.npy", a)
    np.savez("both.npz", a=a, b=b)
    np.savez("one.npz", b=b)
    (tmp_path / "t.csv").write_text("p,q\n1,2\n3,4.5\n", "utf-8")
    (tmp_path / "mixed.csv").write_text("p,q\n1,red\n3,blue\n5,red\n", "utf-8")
    np.testing.assert_array_equal(parse_value("x", "@a.npy"), a)
    np.testing.assert_array_equal(parse_value("x", "@both.npz:b"), b)
    assert parse_value("x", "@one.npz").dtype == np.float32
    np.testing.assert_array_equal(parse_value("x", "@t.csv"), [[1, 2], [3, 4.5]])
    np.testing.assert_array_equal(parse_value("x", "@t.csv:q"), [2, 4.5])
    np.testing.assert_array_equal(parse_value("x", "@mixed.csv:p"), [1, 3, 5])


def test_files_that_cannot_be_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("both.npz", a=np.ones(2), b=np.ones(2))
    np.save("objects.npy", np.array([Harmful()], object), allow_pickle=True)
    np.savez("objects.npz", o=np.array([Harmful()], object))
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "mixed.csv").write_text("p,q\n1,red\n3,blue\n5,red\n", "utf-8")
    for text, why in {
        "@nowhere.npy": "there is no file nowhere.npy",
        "@a.txt": "none of .npy, .npz, .csv",
        "@both.npz": "both.npz holds 2 arrays. Its arrays are a and b",
        "@both.npz:c": "has no array c",
        "@objects.npy": "it holds Python objects, which are not loaded",
        "@objects.npz": "it holds Python objects, which are not loaded",
        "@cut.npy": "cut.npy cannot be read",
        "@cut.npz": "cut.npz cannot be read",
        "@mixed.csv": "has columns that are not numbers",
        "@mixed.csv:q": "has no numeric column q",
    }.items():
        with pytest.raises(InputError, match=why):
            parse_value("x", text)
