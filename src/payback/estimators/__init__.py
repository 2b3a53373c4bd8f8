"""Networks as estimators of scikit-learn: in pipelines, grid searches and cross-validation.

They need scikit-learn, which `pip install payback[estimators]` brings.
"""

from payback.errors import InputError

try:
    from payback.estimators.networks import Classifier, Regressor
except ModuleNotFoundError as problem:
    if (problem.name or "").partition(".")[0] != "sklearn":
        raise
    raise InputError("pb.estimators needs scikit-learn, which is not installed", why="its classes are estimators of it",
                     fix="pip install scikit-learn, or use pb.fit") from None  # fmt: skip

__all__ = ["Classifier", "Regressor"]
