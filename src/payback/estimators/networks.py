"""A classifier and a regressor: a table of numbers is standardized, and a network trained on it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from payback import random
from payback.errors import InputError
from payback.ir.arguments import answered
from payback.nn.activations import log_softmax, softplus
from payback.nn.layers import MLP
from payback.optim.optimizers import Optimizer
from payback.train.fit import fit
from payback.train.recipe import Recipe
from payback.train.selection import chosen_recipe, to_try
from payback.train.stream import Stream

Array = np.ndarray[Any, Any]
ROWS = 4096  # that the network is asked for at a time
KINDS = np.float64, np.float32


class _Network(BaseEstimator):
    """What classifiers and regressors have in common: the columns' scale, the network, its training."""

    _stream: Stream | None = None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _checked(self, X: Any, y: Any, **options: Any) -> tuple[Array, Any]:
        """X as an array, and y, looked at as scikit-learn does."""
        X, y = validate_data(self, X, y, dtype=KINDS, accept_sparse="csr", **options)
        return _dense(X), y

    def _seed(self) -> int:
        given = self.random_state
        if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
            return int(given)
        return int(check_random_state(given).randint(2**31 - 1))

    def _recipe(self, rows: int, dtype: Any) -> Recipe:
        """What is asked for."""
        given, hidden = self.optimizer, self.hidden
        if isinstance(hidden, (int, np.integer)):
            hidden = (int(hidden),)
        recipe = Recipe(
            dtype=np.dtype(dtype).name,
            hidden=None if hidden is None else tuple(int(units) for units in hidden),
            activation=self.activation,
            optimizer=None if isinstance(given, Optimizer) else given,
            rate=None if isinstance(given, Optimizer) else _plain(self.rate),
            weight_decay=None if isinstance(given, Optimizer) else _plain(self.weight_decay),
            epochs=_plain(self.epochs), batch_size=_plain(self.batch_size),
            patience=_plain(self.patience), valid=_plain(self.validation), dropout=_plain(self.dropout),
        )  # fmt: skip
        return dataclasses.replace(recipe, valid=recipe.share_to_watch(rows))

    def _optimizer(self, recipe: Recipe) -> Optimizer:
        if not isinstance(self.optimizer, Optimizer):
            return recipe.make_optimizer()
        if self.rate is not None or self.weight_decay is not None:
            raise InputError("rate and weight_decay are given beside an optimizer", why="it has its own",
                             fix="give them to the optimizer, or name it with a text")  # fmt: skip
        return self.optimizer

    def _find_scale(self, X: Array, weights: Any) -> None:
        self.mean_, self.scale_ = (np.zeros(X.shape[1]), np.ones(X.shape[1]))
        if self.standardize:
            self.mean_, self.scale_ = _scale(X.astype(np.float64), weights)

    def _new(self, columns: int, outputs: int, seed: int, recipe: Recipe) -> Any:
        """The network before its training."""
        if self.net is not None:
            return self.net(columns, outputs, random.key(seed))
        sizes = [columns, *(recipe.hidden or ()), outputs]
        skip, dropout = bool(recipe.skip), float(recipe.dropout)
        return MLP(sizes, recipe.activation or "relu", seed=seed, dtype=recipe.dtype, skip=skip, dropout=dropout)

    def _scaled(self, X: Array) -> Array:
        made: Array = ((X - self.mean_) / self.scale_).astype(X.dtype)
        return made

    def _train(self, X: Array, y: Array, weights: Any, outputs: int, classes: int, loss: str) -> None:
        seed, asked = self._seed(), self._recipe(len(X), X.dtype)
        recipe = asked.complete(len(X), X.shape[1], classes)
        self._find_scale(X, weights)
        x, new = self._scaled(X), functools.partial(self._new, X.shape[1], outputs, seed)
        net = new(recipe)
        if self.net is None and not isinstance(self.optimizer, Optimizer):
            several = to_try(asked, recipe, net, len(x), classes)
            recipe = chosen_recipe(several, new, x, y, weights, seed, loss)
            net = new(recipe)
        run = fit(
            net, x, y, loss=loss, optimizer=self._optimizer(recipe), epochs=recipe.epochs or 0,
            batch_size=recipe.batch_size or 64, validation=recipe.valid or 0.0, patience=recipe.patience,
            sample_weight=weights, seed=seed, progress=None if self.verbose else False,
        )  # fmt: skip
        self.net_, self.history_, self.stopped_ = run.net, run.history, run.stopped
        self.n_iter_, self._stream, self.recipe_ = len(run.history), None, recipe.describe()

    def _train_more(self, X: Array, y: Array, weights: Any, outputs: int, classes: int, loss: str) -> None:
        """One pass over these rows, from where the network is; the optimizer's state is kept between such passes."""
        # without an end a rate is constant, which a recipe with a tolerance has
        recipe = self._recipe(len(X), X.dtype).complete(len(X), X.shape[1], classes)
        recipe = dataclasses.replace(recipe, tol=0.0)
        if not hasattr(self, "net_"):
            self._find_scale(X, weights)
            self.net_ = self._new(X.shape[1], outputs, self._seed(), recipe)
            self.n_iter_ = 0
        stream = self._stream or Stream(self.net_, loss, self._optimizer(recipe), self._seed())
        rows = recipe.batch_size or 64
        self._stream = stream = stream.take(self._scaled(X), y, weights, len(X) if rows == "all" else rows)
        self.net_, self.n_iter_ = stream.net, self.n_iter_ + 1

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=KINDS, accept_sparse="csr", reset=False)
        blocks = (self._scaled(_dense(X[start : start + ROWS])) for start in range(0, X.shape[0], ROWS))
        made: Array = np.concatenate([self.net_(block) for block in blocks])
        return made


def _plain(value: Any) -> Any:
    """NumPy's numbers, as the distributions of a random search draw them, as Python's."""
    return value.item() if isinstance(value, np.number) else value


def _dense(X: Any) -> Array:
    made: Array = X.toarray() if hasattr(X, "toarray") else X
    return made


def _scale(columns: Array, weights: Any) -> tuple[Array, Array]:
    """Means and deviations of weighted rows; 1 is the deviation of a column that is constant."""
    mean = np.average(columns, axis=0, weights=weights)
    deviation = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
    return mean, np.where(deviation > 0, deviation, 1.0)


@answered("pb.estimators.Classifier")
class Classifier(ClassifierMixin, _Network):
    """A network that tells classes, as an estimator of scikit-learn: one of several, or all that hold of several
    (multilabel: y is (n, classes) of 0 and 1, and so are predictions).

    hidden: units of each hidden layer, or of the only one; () for a linear model.  None, here and below: what suits the
    rows, as `payback train` chooses it: of fewer than 2,000 the weight decay, and whether classes get hidden layers, is
    cross-validated, in up to a dozen short trainings; weight_decay=, epochs= or net= do without.
    activation: a name in `pb.nn.ACTIVATIONS`.  dropout: see `pb.nn.MLP`.
    net: a function (n_in, n_out, key) that makes another network than an MLP; it returns logits.
    optimizer: a name in `pb.optim.OPTIMIZERS` with rate (it falls to 0 over the epochs, but for "gd") and weight_decay
    (for "adamw"); or an optimizer, whose rate stays unless it has a schedule.
    epochs, batch_size: see `pb.fit`.  validation: the share of the rows held out, by which the best epoch is chosen.
    patience: epochs without a better one before the training ends; by default a fifth of the epochs, at least 20.
    class_weight: as in scikit-learn.
    standardize: bring every column to mean 0 and deviation 1 first.  random_state: of the first weights and the order.

    Computes in X's dtype, float32 or float64; a sparse X is made dense.  fit makes `classes_`, `net_` (on standardized
    columns), `recipe_` (how it was trained), `history_`, `n_iter_`, `stopped_`; partial_fit takes one pass over more
    rows, with the optimizer's state of the pass before.
    Raises ValueError (InputError is one) for data and options that cannot be.

    >>> import numpy as np, payback as pb
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = pb.datasets.load("iris")
    >>> model = pb.estimators.Classifier(hidden=(16,), rate=0.02, epochs=60, random_state=0)
    >>> bool(cross_val_score(model, X, y, cv=3).mean() > 0.9)
    True
    >>> model.fit(X, y).predict_proba(X[:2]).shape
    (2, 3)
    """

    def __init__(
        self,
        hidden: Sequence[int] | int | None = None,
        *,
        activation: str | None = None,
        dropout: float = 0.0,
        net: Callable[[int, int, Any], Any] | None = None,
        optimizer: str | Optimizer | None = None,
        rate: float | None = None,
        weight_decay: float | None = None,
        epochs: int | None = None,
        batch_size: int | str | None = None,
        validation: float | None = None,
        patience: int | None = None,
        class_weight: Any = None,
        standardize: bool = True,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.hidden, self.activation, self.dropout, self.net = hidden, activation, dropout, net
        self.optimizer, self.rate, self.weight_decay = optimizer, rate, weight_decay
        self.epochs, self.batch_size = epochs, batch_size
        self.validation, self.patience, self.class_weight = validation, patience, class_weight
        self.standardize, self.random_state, self.verbose = standardize, random_state, verbose

    _multilabel = False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on (n, columns) numbers and n labels of any kind, or (n, classes) of 0 and 1.  sample_weight: (n,)
        numbers ≥ 0."""
        X, y = self._checked(X, y, multi_output=True)
        check_classification_targets(y)
        self._multilabel = type_of_target(y) == "multilabel-indicator"
        y = _dense(y) if self._multilabel else column_or_1d(y, warn=True)
        self.classes_ = np.arange(y.shape[1]) if self._multilabel else np.unique(y)
        self._train(X, *self._told(X, y, sample_weight))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train one more pass on these rows.  classes: all labels there will be, needed in the first call unless y is
        (n, classes).

        The first call decides the columns' scale.
        """
        first = not hasattr(self, "net_")
        X, y = self._checked(X, y, multi_output=True, reset=first)
        multilabel = type_of_target(y) == "multilabel-indicator"
        if first and multilabel:
            classes = np.arange(y.shape[1]) if classes is None else classes
        if first:
            self._multilabel = multilabel
            if classes is None:
                raise InputError("the first partial_fit is given no classes", why="later rows may have others",
                                 fix="write partial_fit(X, y, classes=np.unique(all_labels))")  # fmt: skip
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise InputError(f"classes are {classes!r:.60}", why=f"they were {self.classes_!r:.60}")
        y = _dense(y) if self._multilabel else column_or_1d(y, warn=True)
        if isinstance(self.class_weight, str):
            raise InputError(f"class_weight is {self.class_weight!r} in partial_fit", why="it looks at all rows",
                             fix="give weights by class, {0: 1.0, 1: 5.0}")  # fmt: skip
        self._train_more(X, *self._told(X, y, sample_weight))
        return self

    def _told(self, X: Array, y: Array, sample_weight: Any) -> tuple[Array, Any, int, int, str]:
        """What is trained on beside X: y for the loss, weights, outputs, classes, the loss."""
        weights, outputs = self._weights(X, y, sample_weight), len(self.classes_)
        if self._multilabel:
            if y.ndim != 2 or y.shape[1] != outputs:
                raise InputError(f"y has the shape {y.shape}", why=f"a row tells 0 or 1 of each of {outputs} classes")
            return y.astype(X.dtype), weights, outputs, 2, "binary_cross_entropy"
        numbers = np.minimum(np.searchsorted(self.classes_, y), outputs - 1)
        if not np.array_equal(self.classes_[numbers], y):
            raise InputError("y has labels that are no classes", why=f"the classes are {self.classes_!r:.60}")
        return numbers, weights, outputs, outputs, "cross_entropy"

    def _weights(self, X: Array, y: Array, sample_weight: Any) -> Any:
        if sample_weight is None and self.class_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, X)
        return weights if self.class_weight is None else weights * compute_sample_weight(self.class_weight, y)

    def predict_proba(self, X: Any) -> Array:
        """(n, classes): the probability of each class, in the order of `classes_`."""
        made: Array = np.exp(self.predict_log_proba(X))
        return made

    def predict_log_proba(self, X: Any) -> Array:
        """Their logarithms, finite where a probability is too small for a number."""
        outputs = self._outputs(X)
        made: Array = -softplus(-outputs) if self._multilabel else log_softmax(outputs)
        return made

    def predict(self, X: Any) -> Array:
        """(n,): the most probable label of each row; or (n, classes): 1 for all that are more probable than not."""
        outputs = self._outputs(X)
        made: Array = (outputs > 0).astype(np.int64) if self._multilabel else self.classes_[outputs.argmax(axis=1)]
        return made


@answered("pb.estimators.Regressor")
class Regressor(RegressorMixin, _Network):
    """A network that tells values, as an estimator of scikit-learn.

    loss: "squared_error" or "huber", of values that are standardized as the columns are.
    Other options and what is raised: see `Classifier`.  y is (n,) or (n, values).

    >>> import numpy as np, payback as pb
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> model = pb.estimators.Regressor(hidden=(32,), optimizer="adam", rate=0.01, random_state=0)
    >>> bool(model.fit(X, np.sin(X[:, 0])).score(X, np.sin(X[:, 0])) > 0.99)
    True
    """

    def __init__(
        self,
        hidden: Sequence[int] | int | None = None,
        *,
        activation: str | None = None,
        dropout: float = 0.0,
        net: Callable[[int, int, Any], Any] | None = None,
        loss: str = "squared_error",
        optimizer: str | Optimizer | None = None,
        rate: float | None = None,
        weight_decay: float | None = None,
        epochs: int | None = None,
        batch_size: int | str | None = None,
        validation: float | None = None,
        patience: int | None = None,
        standardize: bool = True,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.hidden, self.activation, self.dropout, self.net, self.loss = hidden, activation, dropout, net, loss
        self.optimizer, self.rate, self.weight_decay = optimizer, rate, weight_decay
        self.epochs, self.batch_size = epochs, batch_size
        self.validation, self.patience = validation, patience
        self.standardize, self.random_state, self.verbose = standardize, random_state, verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on (n, columns) numbers and (n,) or (n, values).  sample_weight: (n,) numbers ≥ 0."""
        X, y, weights = self._given(X, y, sample_weight, True)
        self._train(X, self._coded(y), weights, y.size // len(y), 0, self.loss)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train one more pass on these rows.  The first call decides the scale of columns and values."""
        X, y, weights = self._given(X, y, sample_weight, not hasattr(self, "net_"))
        self._train_more(X, self._coded(y), weights, y.size // len(y), 0, self.loss)
        return self

    def _given(self, X: Any, y: Any, sample_weight: Any, first: bool) -> tuple[Array, Array, Any]:
        if self.loss not in ("squared_error", "huber"):
            raise InputError(f"the loss is {self.loss!r:.60}", why='it is "squared_error" or "huber"')
        X, y = self._checked(X, y, multi_output=True, y_numeric=True, reset=first)
        y = np.asarray(y, np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        if first:
            self.y_mean_, self.y_scale_ = _scale(y, weights)
        elif y.shape[1:] != np.shape(self.y_mean_):
            raise InputError(f"y has the shape {y.shape}", why=f"before, a row had the shape {np.shape(self.y_mean_)}")
        return X, y, weights

    def _coded(self, y: Array) -> Array:
        made: Array = ((y - self.y_mean_) / self.y_scale_).reshape(len(y), -1)
        return made

    def predict(self, X: Any) -> Array:
        """(n,) or (n, values), as y was."""
        outputs = self._outputs(X)
        made: Array = outputs[:, 0] if np.ndim(self.y_mean_) == 0 else outputs
        return made * self.y_scale_ + self.y_mean_
