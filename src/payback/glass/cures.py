"""What is usually done about a number that is not finite, and about a gradient that is zero."""

from __future__ import annotations

_SMALLER = "smaller weights at the start, a smaller step length, clip_norm=, or float64"
_DENOMINATOR = "choose the denominator before the division: a / np.where(b == 0, 1, b), and np.where around it"
NAN = {
    (
        "value",
        "log",
    ): "keep its argument above 0: np.log1p(x) for log(1 + x), pb.nn.log_softmax(x) for log(softmax(x)), "
    "scipy.special.xlogy(x, y) for x·log(y), else np.maximum(x, 1e-12)",
    ("value", "div"): _DENOMINATOR,
    ("value", "exp"): "take the largest away before: pb.nn.logsumexp, softmax, log_softmax, sigmoid and softplus do",
    ("value", "sqrt"): "no root of a negative number: np.sqrt(np.maximum(x, 0))",
    ("value", "contract"): _SMALLER,
    ("gradient", "contract"): _SMALLER,
    ("gradient", "sqrt"): "np.linalg.norm and np.hypot have a derivative at 0; else add a small number under the root",
    ("gradient", "power"): "add a small number below the power, or choose its base before: np.where(x > 0, x, 1)",
    ("gradient", "div"): _DENOMINATOR,
    (
        "gradient",
        "log",
    ): "choose the argument before the logarithm: np.log(np.where(x > 0, x, 1)), and np.where around it",
}  # (phase, operation)
NOTHING_OWED = (
    "nothing is owed there, and 0·∞ has no value: take such entries out before the function and not after it, "
    "as in np.sqrt(np.where(mask, x, 1)) * mask"
)
_DEAD = "a leak (pb.nn.leaky_relu), a smaller step length, inputs of mean 0 and a size near 1"
_SATURATED = (
    "smaller inputs: standardize them, smaller weights at the start; for classes a loss of the scores themselves, "
    "pb.nn.cross_entropy(scores, y)"
)
_STEP = "a step has no slope: a smooth one in its place, pb.nn.sigmoid((x - t) / width)"
_ROUNDED = "let the derivative pass a rounding by: x + pb.stop_gradient(np.round(x) - x)"
ZERO = {
    ("zero partial", "relu"): _DEAD,
    ("zero partial", "maximum"): _DEAD,
    ("zero partial", "tanh"): _SATURATED,
    ("zero partial", "sigmoid"): _SATURATED,
    ("zero partial", "exp"): _SATURATED,
    (
        "zero partial",
        "clip",
    ): "clip the gradient and not the value, or bend it (np.tanh) instead of cutting it",
    **{("no path", name): _STEP for name in ("gt", "ge", "lt", "le", "sign", "heaviside")},
    **{("no path", name): _ROUNDED for name in ("rint", "floor", "ceil", "trunc", "round", "cast")},
    (
        "no path",
        "int",
    ): "a number of steps, or of an entry, has no derivative: let the quantity itself be computed with too, "
    "as the length of each step or a weight between two entries",
    ("no path", "stop_gradient"): "leave pb.stop_gradient out where the derivative is wanted",
    ("no path", "argmax"): "the weights that softmax gives the entries, in the place of the number of one of them",
}  # (kind, operation)
UNDERFLOW = "sums of logarithms in the place of products (np.log, pb.nn.logsumexp), or float64"


def of_zeros(kind: str, op: str) -> str:
    """What is usually done about zeros of a kind that an operation makes; else empty."""
    return UNDERFLOW if kind == "underflow" else ZERO.get((kind, op), "")


LOG1P = "np.log1p(x) for log(1 + x)"
EXPM1 = "np.expm1(x) for exp(x) - 1"
COSINE = "2*np.sin(x/2)**2 for 1 - cos(x)"
ROOT = "(p - a*a)/(np.sqrt(p) + a) for sqrt(p) - a, with p - a*a worked out by hand"
MEAN = "take the mean away before squares: ((x - x.mean())**2).mean()"
CONDITION = "scale rows and columns, another basis (orthogonal polynomials), or a small multiple of the identity added"
