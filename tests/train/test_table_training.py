"""Training on tables: from Python and from the command line the same bits, and nothing looks at test rows."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import amount
import payback as pb
from payback import datasets
from payback.cli import main
from payback.errors import InputError, ModelFileError, NonFiniteError
from payback.tabular import table_from_text
from payback.trace.tree import leaves
from payback.train.recipe import Recipe
from payback.train.table import TableModel, prepare, train_prepared

QUICK = Recipe(epochs=4)


def table(name="iris"):
    return table_from_text(datasets.csv_text(name), name)


def bits(net):
    return [p.tobytes() for p in leaves(net)]


def made_table(rows, n=60, seed=0):
    """A table of text from a function of (generator, row number)."""
    drawn = np.random.default_rng(seed)
    lines = [rows(drawn, i) for i in range(n)]
    return table_from_text("\n".join(["a,b,y", *lines]), "made.csv")


def test_python_the_command_line_and_a_plain_fit_give_the_same_bits(tmp_path, capsys):
    assert main(["train", "iris", "--seed", "3", "--epochs", "20", "--out", str(tmp_path / "m")]) == 0
    capsys.readouterr()
    by_command = TableModel.load(tmp_path / "m")

    prepared = prepare(table(), ["species"], recipe=Recipe(epochs=20), seed=3)
    by_python = train_prepared(prepared, seed=3)
    assert bits(by_python.model.net) == bits(by_command.net)

    recipe, model = prepared.recipe, prepared.model
    plain = pb.fit(
        model.net, model.encoder.transform(table(), prepared.train), model.target.encode(table(), prepared.train),
        optimizer=recipe.make_optimizer(), epochs=recipe.epochs, batch_size=recipe.batch_size, validation=0,
        patience=recipe.patience, seed=3,
    )  # fmt: skip
    assert bits(plain.net) == bits(by_command.net)
    assert plain.history["loss"] == by_python.run.history["loss"]
    lines = (tmp_path / "m" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == plain.history["loss"]


def test_every_row_is_in_one_part():
    prepared = prepare(table("digits"), ["digit"], recipe=Recipe(epochs=9, valid=0.2), test=0.3)
    assert sorted([*prepared.train, *prepared.valid, *prepared.test]) == list(range(1797))
    assert len(prepared.test) == round(0.3 * 1797)
    assert len(prepared.valid) == round(0.2 * (1797 - len(prepared.test)))


def test_the_last_rows_are_tested_where_that_is_asked_for():
    prepared = prepare(table("digits"), ["digit"], recipe=Recipe(epochs=9, valid=0.2), test=0.3, last=True)
    assert [*prepared.train, *prepared.valid, *prepared.test] == list(range(1797))
    assert len(prepared.test) == round(0.3 * 1797)
    assert len(prepared.valid) == round(0.2 * (1797 - len(prepared.test)))


def test_the_split_keeps_the_shares_of_the_classes():
    iris = table()
    prepared = prepare(iris, ["species"], recipe=Recipe(epochs=9, valid=0.25), seed=5)
    species = np.array(iris.column("species").values)
    for part, each in ((prepared.test, 10), (prepared.valid, 10), (prepared.train, 30)):
        assert np.unique(species[part], return_counts=True)[1].tolist() == [each] * 3


def test_encoders_and_weights_look_at_training_rows_only():
    iris = table()
    prepared = prepare(iris, ["species"], recipe=dataclasses.replace(QUICK, valid=0.2), seed=1)
    others = set(range(150)) - set(prepared.train.tolist())
    lines = datasets.csv_text("iris").splitlines()
    for row in others:  # a hundred times as large, but of the same class
        cells = lines[row + 1].split(",")
        lines[row + 1] = ",".join([*(str(100 * float(cell)) for cell in cells[:-1]), cells[-1]])
    changed = prepare(
        table_from_text("\n".join(lines), "iris"), ["species"], recipe=dataclasses.replace(QUICK, valid=0.2), seed=1
    )
    assert changed.model.encoder == prepared.model.encoder
    assert changed.recipe == prepared.recipe
    assert bits(train_prepared(changed, seed=1).model.net) == bits(train_prepared(prepared, seed=1).model.net)


def test_starts_differ_and_the_lowest_cost_is_kept():
    prepared = prepare(table("moons"), ["moon"], recipe=QUICK)
    trained = train_prepared(prepared, starts=4, seed=10)
    assert [start.seed for start in trained.starts] == [10, 11, 12, 13]
    costs = [start.cost for start in trained.starts]
    assert len(set(costs)) == 4
    best = trained.starts[int(np.argmin(costs))]
    assert trained.run is best.run
    assert bits(trained.model.net) == bits(best.run.net)
    assert trained.test == trained.model.evaluate(prepared.table, prepared.test)
    assert trained.test != dataclasses.replace(
        trained.model, net=trained.starts[int(np.argmax(costs))].run.net
    ).evaluate(prepared.table, prepared.test)
    alone = train_prepared(prepared, seed=10)
    assert bits(alone.run.net) == bits(trained.starts[0].run.net)


def test_the_cost_of_a_start_is_the_validation_cost_where_it_decides():
    prepared = prepare(table("moons"), ["moon"], recipe=Recipe(epochs=12, valid=0.2))
    trained = train_prepared(prepared, starts=2)
    for start in trained.starts:
        assert start.cost == min(start.run.history["validation_loss"])


def test_an_interruption_ends_the_starts(monkeypatch):
    prepared = prepare(table("moons"), ["moon"], recipe=QUICK)
    from payback.train import table as module

    calls = []
    fit = module.fit

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) < 2:
            return fit(*arguments, **options)

        def stop(record, net):
            raise KeyboardInterrupt

        return fit(*arguments, **options, callbacks=[stop])

    monkeypatch.setattr(module, "fit", interrupted)
    trained = train_prepared(prepared, starts=5)
    assert len(trained.starts) == 2
    assert trained.starts[1].run.stopped == "interrupted"
    assert trained.test is None


def test_a_start_that_fails_loses_and_all_failing_is_an_error():
    prepared = prepare(table("moons"), ["moon"], recipe=dataclasses.replace(QUICK, rate=1e30))
    with pytest.raises(NonFiniteError, match="all 3 starts failed") as caught:
        train_prepared(prepared, starts=3)
    assert "step 1" in str(caught.value)
    assert len(caught.value.trained.starts) == 3
    with pytest.raises(NonFiniteError, match="at step 1") as caught:
        train_prepared(prepared)
    assert bits(caught.value.trained.model.net) == bits(prepared.model.net)


def test_a_line_in_the_tables_units():
    numbers = made_table(lambda r, i: f"{(a := r.normal(1e6, 1e5))},{(b := r.normal())},{a * 1e-6 - 3 * b + 0.5}")
    descent = Recipe(hidden=(), optimizer="gd", line_search=True, batch_size="all", valid=0.0, tol=1e-10)
    trained = train_prepared(prepare(numbers, ["y"], recipe=descent, test=0.0))
    slopes, intercepts = trained.model.line()
    np.testing.assert_allclose(slopes[:, 0], [1e-6, -3.0], rtol=1e-7)
    np.testing.assert_allclose(intercepts, [0.5], rtol=1e-6)
    predicted = trained.model.decode(
        trained.model.outputs(trained_table := made_table(lambda r, i: f"{i}.5,{i}.25,0.5"))
    )
    a, b = (np.array(trained_table.column(name).values) for name in "ab")
    np.testing.assert_allclose(predicted, a * slopes[0, 0] + b * slopes[1, 0] + intercepts[0], rtol=1e-9)


def test_several_targets():
    wine = table("wine")
    trained = train_prepared(prepare(wine, ["alcohol", "ash"], recipe=QUICK))
    assert trained.model.net.layers[-1].weight.shape[1] == 2
    assert trained.model.decode(trained.model.outputs(wine)).shape == (178, 2)
    assert len(trained.test["rmse"]) == len(trained.test["r2"]) == 2


def test_metrics_are_those_of_the_test_rows():
    iris = table()
    prepared = prepare(iris, ["species"], recipe=QUICK)
    trained = train_prepared(prepared)
    outputs = trained.model.outputs(iris, prepared.test)
    species = np.array(iris.column("species").values)[prepared.test]
    predicted = trained.model.decode(outputs)
    assert trained.test["accuracy"] == pytest.approx(np.mean(predicted == species))
    assert np.sum(trained.test["confusion"]) == trained.test["rows"] == 30
    for i, true in enumerate(trained.test["classes"]):
        for j, found in enumerate(trained.test["classes"]):
            assert trained.test["confusion"][i][j] == np.sum((species == true) & (predicted == found))
    probabilities = trained.model.probabilities(outputs)
    right = [probabilities[i, trained.test["classes"].index(name)] for i, name in enumerate(species)]
    assert trained.test["cross_entropy"] == pytest.approx(-np.mean(np.log(right)))


def test_r2_of_equal_values_is_none():
    trained = train_prepared(prepare(made_table(lambda r, i: f"{r.normal()},{i},{r.normal()}"), ["y"], recipe=QUICK))
    metrics = trained.model.evaluate(made_table(lambda r, i: f"{r.normal()},{i},7.5"))
    assert metrics["r2"] == [None]
    assert metrics["rmse"][0] > 0


def test_a_model_that_was_not_made_from_a_table(tmp_path):
    run = pb.fit(pb.nn.MLP([2, 1]), np.ones((4, 2)), np.ones(4), epochs=1, validation=0)
    run.save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="it has no column encoders"):
        TableModel.load(tmp_path / "m")


def test_a_prediction_that_is_not_finite_names_the_row():
    model = train_prepared(
        prepare(made_table(lambda r, i: f"{r.normal()},{i},{r.normal()}"), ["y"], recipe=QUICK)
    ).model
    far = made_table(lambda r, i: f"{'1e300' if i == 4 else 1.5},{i},1.0")
    with pytest.raises(InputError, match=r"a prediction is not a finite number \(made.csv, line 6\)"):
        model.outputs(far)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(test=1.0), "the test share is 1.0"),
        (dict(test=-0.5), "the test share is -0.5"),
        (dict(task="clasify"), "the task is 'clasify'"),
        (dict(recipe=Recipe(hidden=(0,))), "hidden layers of 0 units"),
        (dict(recipe=Recipe(optimizer="sgd")), "there is no optimizer 'sgd'"),
        (dict(recipe=Recipe(activation="mish")), "there is no activation 'mish'"),
        (dict(recipe=Recipe(epochs=-1)), "epochs is -1"),
        (dict(recipe=Recipe(valid=1.0)), "the validation share is 1.0"),
        (dict(recipe=Recipe(line_search=True, optimizer="adam")), "a line search with adam"),
        (dict(recipe=Recipe(line_search=True, batch_size=8)), 'batch_size="all"'),
        (dict(seed=-1), "the seed is -1"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    classes = made_table(lambda r, i: f"{r.normal()},{r.normal()},{'pq'[i % 2]}", n=20)
    with pytest.raises(InputError) as caught:
        train_prepared(prepare(classes, ["y"], **options))
    assert message in str(caught.value)


def test_numbers_in_pieces(monkeypatch):
    draw = np.random.default_rng(0)
    x, seldom = draw.uniform(0, 9, size=400).round(3), np.arange(400) % 100 == 7
    rows = [f"{v},{'rare' if r else 'up' if np.sin(4 * v) > 0 else 'down'}" for v, r in zip(x, seldom, strict=True)]
    waves = table_from_text("x,y\n" + "\n".join(rows), "waves")
    monkeypatch.setattr("payback.train.table.SAMPLE", 150)
    asked = Recipe(weight_decay=0.1, class_weight={"rare": 2.0})  # of which the sample has none
    found = prepare(waves, ["y"], recipe=asked, seed=0)
    assert found.recipe.pieces == 6
    assert len(found.model.encoder.feature_names_out) == found.model.net.layers[0].weight.shape[0] == 7
    told = prepare(waves, ["y"], recipe=dataclasses.replace(asked, pieces=6, weight_decay=None, epochs=1), seed=0)
    assert told.model.encoder == found.model.encoder
    none = prepare(waves, ["y"], recipe=dataclasses.replace(asked, pieces=0, weight_decay=None, epochs=1), seed=0)
    assert none.model.encoder.feature_names_out == ["x"]
    assert none.recipe.weight_decay == told.recipe.weight_decay  # it goes by columns, not by pieces of them


def test_too_few_rows_to_train_on():
    numbers = made_table(lambda r, i: f"{r.normal()},{r.normal()},{r.normal()}", n=20)
    with pytest.raises(InputError, match=r"0 rows are left to train on \(made.csv\): the table has 20"):
        prepare(numbers, ["y"], test=0.9, recipe=Recipe(valid=0.95))


@pytest.mark.parametrize("starts", [0, -1, 1.5, True])
def test_starts_that_cannot_be(starts):
    with pytest.raises(InputError, match="the number of starts"):
        train_prepared(prepare(table(), ["species"], recipe=QUICK), starts=starts)


def test_a_seed_too_large_for_the_last_start_is_known_before_the_first():
    with pytest.raises(InputError, match="the seed is 18446744073709551616"):
        train_prepared(prepare(table(), ["species"], recipe=QUICK), seed=2**64 - 1, starts=2)


def test_no_choice_looks_at_the_name_of_a_table():
    tables = [table_from_text(datasets.csv_text("iris"), name) for name in ("iris", "flowers.csv")]
    first, second = (prepare(t, ["species"], recipe=Recipe(hidden=(4,))) for t in tables)
    assert first.recipe == second.recipe
    assert first.tried
    one, other = (train_prepared(prepare(t, ["species"], recipe=QUICK)) for t in tables)
    assert bits(one.model.net) == bits(other.model.net)


@pytest.mark.parametrize("seed", range(amount.cases(10, 100)))
def test_the_defaults_go_by_rows_columns_and_classes(seed):
    random = np.random.default_rng(seed)
    rows, columns = (int(n) for n in np.exp(random.uniform(np.log([20, 1]), np.log([300_000, 500]))))
    classes = int(random.choice([0, 2, 3, 30, 200]))
    made = Recipe().complete(rows, columns, classes)
    steps = made.epochs * -(-rows // min(made.batch_size, rows))
    assert 20 <= made.epochs <= 400
    if made.epochs < 100:
        assert rows >= 50_000
        assert abs(steps - 40_000) < steps / made.epochs
    else:
        assert made.epochs in (100, 400) or abs(steps - 3000) < steps / made.epochs
    # weights shrink less the more rows tell, and the more each row tells
    assert 0 < made.weight_decay <= (2 if classes == 0 or rows < 2000 else 4)
    assert made.weight_decay >= Recipe().complete(rows, columns, 2 * classes).weight_decay
    assert made.weight_decay <= Recipe().complete(rows, 2 * columns, classes).weight_decay
    fewer = max(2, rows // 2)
    if made.batch_size == Recipe().complete(fewer, columns, classes).batch_size and (fewer < 2000) == (rows < 2000):
        assert made.weight_decay <= Recipe().complete(fewer, columns, classes).weight_decay


@pytest.mark.parametrize(
    ("rows", "valid", "epochs", "made"),
    [
        (2500, 0.1, None, (200, 40)),
        (9000, 0.1, None, (142, 28)),
        (80_000, 0.1, None, (100, 20)),
        (200_000, 0.1, None, (51, 20)),
        (700_000, 0.1, None, (20, 20)),
        (700_000, None, None, (20, 20)),
        (2500, None, None, (100, 20)),
        (400, None, None, (400, 80)),
        (2500, 0.1, 500, (500, 100)),
        (2500, 0.1, 7, (7, 20)),
    ],
)
def test_watched_tables_are_trained_longer_and_patience_goes_with_the_epochs(rows, valid, epochs, made):
    recipe = Recipe(valid=valid, epochs=epochs).complete(rows, 5, 2)
    assert (recipe.epochs, recipe.patience) == made
    assert Recipe(valid=valid, epochs=epochs, patience=3).complete(rows, 5, 2).patience == 3
