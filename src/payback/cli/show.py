"""`payback show`: what is in a model folder."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.cli.options import Out
from payback.cli.tables import tell_metrics
from payback.io.model import read_model
from payback.nn.formula import formula, weights
from payback.nn.module import parameters
from payback.train.table import TableModel


def show(model: str, *, out: Out) -> None:
    """Show a model: the composite function that it is, the shape of each W, its columns and how it was trained."""
    net, document = read_model(model)
    function = formula(net)
    out.line(function)
    rows = [(name, "×".join(map(str, shape)), np.prod(shape, dtype=int)) for name, shape in weights(net)]
    out.table(rows, headers=("", "shape", "parameters"), align="lrr")
    total = sum(np.size(p) for p in parameters(net).values())
    out.line(f"{total:,} parameters in all")
    result: dict[str, Any] = {
        "model": model,
        "function": function,
        "weights": [{"name": name, "shape": list(shape)} for name, shape in weights(net)],
        "parameters": int(total),
        "payback": document.payback,
    }
    extra = document.extra
    if "table" in extra:
        trained = TableModel.load(model)
        target = trained.target
        out.line(f"x         {', '.join(trained.encoder.feature_names_out)}")
        told = f"one of {', '.join(target.classes)}" if target.task == "classify" else "in the table's units after rescaling"
        out.line(f"y         {', '.join(target.names)}: {told}")
        for name, why in trained.encoder.left_out:
            out.line(f"left out  {name}: {why}")
        result |= {"x": trained.encoder.feature_names_out, "y": list(target.names), "classes": list(target.classes)}
    recipe = extra.get("recipe")
    if isinstance(recipe, dict):
        out.line(f"trained   on {extra.get('trained_on')}: {extra.get('epochs')} epochs, stopped: {extra.get('stopped')}")
        out.line("          " + ", ".join(f"{name} {value}" for name, value in recipe.items() if value not in (None, False)))
        result |= {"recipe": recipe, "stopped": extra.get("stopped")}
    if isinstance(extra.get("line"), dict):
        out.line(f"line      {extra['line'].get('text')}")
    if isinstance(extra.get("test"), dict):
        tell_metrics(out, extra["test"])
        result["test"] = extra["test"]
    out.result(result)
