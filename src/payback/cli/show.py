"""`payback show`: what is in a model folder."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from payback.cli.options import Out
from payback.cli.tables import ModelFolder, tell_metrics
from payback.errors import ModelFileError
from payback.io.model import read_model
from payback.nn.formula import formula, weights
from payback.nn.module import parameters
from payback.tabular.cells import counted
from payback.train.table import TableModel


class _Always(msgspec.Struct):
    class_: str = msgspec.field(name="class")
    accuracy: float


class _Test(msgspec.Struct):
    """What `TableModel.evaluate` found when the model was made."""

    rows: int
    accuracy: float | None = None
    cross_entropy: float | None = None
    balanced_accuracy: float | None = None
    always: _Always | None = None
    unknown_classes: int = 0
    classes: list[str] = []
    confusion: list[list[int]] = []
    targets: list[str] = []
    rmse: list[float] = []
    r2: list[float | None] = []

    def __post_init__(self) -> None:
        n = len(self.classes)
        if [len(row) for row in self.confusion] != [n] * n or (self.accuracy is None) != (n == 0):
            raise ValueError("beside an accuracy stands a confusion matrix, of one row and one column a class")
        if not len(self.targets) == len(self.rmse) == len(self.r2) or bool(n) == bool(self.targets):
            raise ValueError("each target has its RMSE and its R², or there are classes")
        if self.rows < 1 or not 0 <= (self.accuracy or 0) <= 1:
            raise ValueError("a test has rows, and an accuracy is a share of them")


class _Line(msgspec.Struct):
    text: str


class _Training(msgspec.Struct):
    """What `payback train` wrote down beside the network; a model saved from Python has none of it."""

    recipe: dict[str, Any] | None = None
    trained_on: str | None = None
    epochs: int | None = None
    stopped: str | None = None
    test: _Test | None = None
    line: _Line | None = None


def show(model: ModelFolder, /, *, out: Out) -> None:
    """Show a model: the composite function that it is, the shape of each W, its columns and how it was trained.

    W₁·x multiplies a column, so W₁ is printed as outputs × inputs. It is stored the other way round: W1[i,j], as
    explain and account name an entry, leads from input i to output j.
    """
    net, document = read_model(model)
    try:
        told = msgspec.convert(document.extra, _Training)
    except msgspec.ValidationError as problem:
        raise ModelFileError("what model.json tells of the training is wrong", where=model, why=str(problem)) from None
    function = formula(net)
    out.line(function)
    named = weights(net)
    rows = [(name, "×".join(map(str, shape)), np.prod(shape, dtype=int)) for name, shape in named]
    out.table(rows, headers=("", "shape", "parameters"), align="lrr")
    total = sum(np.size(p) for p in parameters(net).values())
    letters = next(((name, len(shape)) for name, shape in named), None)
    ways = "; W1[i,j] in explain and account leads from input i to output j" if letters == ("W₁", 2) else ""
    out.line(f"{total:,} parameters in all{ways}")
    result: dict[str, Any] = {
        "model": model,
        "function": function,
        "weights": [{"name": name, "shape": list(shape)} for name, shape in named],
        "parameters": int(total),
        "payback": document.payback,
    }
    if "table" in document.extra:
        trained = TableModel.load(model)
        target = trained.target
        out.line(f"x         {', '.join(trained.encoder.feature_names_out)}")
        kind = (
            f"one of {', '.join(target.classes)}" if target.task == "classify" else "in the table's units once rescaled"
        )
        out.line(f"y         {', '.join(target.names)}: {kind}")
        for name, why in trained.encoder.left_out:
            out.line(f"left out  {name}: {why}")
        result |= {"x": trained.encoder.feature_names_out, "y": list(target.names), "classes": list(target.classes)}
    if told.recipe is not None:
        epochs = counted(told.epochs or 0, "epoch")
        out.line(f"trained   on {told.trained_on}: {epochs}, stopped: {told.stopped}")
        given = [f"{name} {value}" for name, value in told.recipe.items() if value is not None and value is not False]
        out.line(f"          {', '.join(given)}")
        result |= {"recipe": told.recipe, "stopped": told.stopped}
    if told.line is not None:
        out.line(f"line      {told.line.text}")
    if told.test is not None:
        test = {key: value for key, value in msgspec.to_builtins(told.test).items() if value not in (None, [])}
        tell_metrics(out, {"unknown_classes": 0, "targets": [], "rmse": [], "r2": [], **test})
        result["test"] = document.extra["test"]
    out.result(result)
