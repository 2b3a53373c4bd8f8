"""scipy.spatial.distance and scipy.ndimage of traced values: SciPy's numbers, derivatives by finite differences."""

import numpy as np
import pytest
import scipy.ndimage as nd
import scipy.spatial.distance as sd

import payback as pb
from payback.errors import UnsupportedError

A = np.array([[0.3, 1.7, 0.9], [1.2, 0.2, 2.9], [2.6, 2.3, 0.4], [0.6, 3.3, 2.1]])  # far from where two lengths are one
B = np.array([[0.9, 0.5, 1.6], [1.9, 1.3, 0.2]])
IMAGE = np.random.default_rng(2).standard_normal((6, 7))
METRICS = [("euclidean", {}), ("sqeuclidean", {}), ("cityblock", {}), ("chebyshev", {}), ("minkowski", {"p": 3}),
           ("cosine", {}), ("correlation", {}), ("canberra", {}), ("braycurtis", {}),
           ("seuclidean", {"V": np.array([0.5, 1.0, 2.0])}), ("mahalanobis", {"VI": np.eye(3) + 0.3})]  # fmt: skip


def agrees(f, x, rtol=1e-12):
    found, expected = pb.vjp(f, x)[0], f(x)
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-13)
    pb.check_grads(lambda x: np.sum(np.sin(f(x))), x)


@pytest.mark.parametrize(("metric", "options"), METRICS, ids=[name for name, _ in METRICS])
def test_distances(metric, options):
    agrees(lambda a: sd.cdist(a, B, metric, **options), A)
    agrees(lambda a: sd.pdist(a, metric, **options), A)
    agrees(lambda a: getattr(sd, metric)(a[0], a[1], *options.values()), A)


@pytest.mark.parametrize(("metric", "options"), METRICS, ids=[name for name, _ in METRICS])
def test_distances_of_equal_points(metric, options):
    """The distance 0 is the least there is: the subgradient 0, and Canberra's parts that are 0/0 are 0 as in SciPy."""
    u, v = np.array([0.0, 1.5, -2.0]), np.array([0.0, 1.5, 1.0])
    f = lambda a, b: getattr(sd, metric)(a, b, *options.values())  # noqa: E731
    for compiled in (lambda f: f, pb.compile):
        assert abs(np.array(compiled(pb.grad(f, argnums=(0, 1)))(u, u.copy()))).max() <= 1e-15
        value, slopes = compiled(pb.value_and_grad(f))(u, v)
        assert value == pytest.approx(f(u, v), rel=1e-14)
        assert np.isfinite(slopes).all()


def test_square_forms():
    agrees(lambda a: sd.squareform(sd.pdist(a)), A)
    agrees(lambda a: sd.squareform(a @ a.T - np.diag(np.sum(a**2, axis=1)), checks=False), A)
    with pytest.raises(ValueError, match="binomial"):
        pb.grad(lambda a: np.sum(sd.squareform(a[0, :2])))(A)
    with pytest.raises(UnsupportedError, match="jensenshannon"):
        pb.grad(lambda a: np.sum(sd.cdist(a, B, "jensenshannon")))(A)


@pytest.mark.parametrize("mode", ["reflect", "constant", "nearest", "mirror", "wrap"])
def test_filters_along_an_axis(mode):
    agrees(lambda x: nd.correlate1d(x, [1.0, 2.0, 0.0, -1.0], 0, mode=mode, cval=0.5, origin=1), IMAGE)
    agrees(lambda x: nd.convolve1d(x, [1.0, 2.0, 0.5, -1.0], mode=mode, origin=-1), IMAGE)
    agrees(lambda x: nd.convolve1d(x, [1.0, 2.0, 0.5], mode=mode, cval=2.0), IMAGE)
    agrees(lambda x: nd.gaussian_filter1d(x, 0.6, order=1, mode=mode), IMAGE)


UNEVEN = np.array([[0.5, 0.0, -1.0], [2.0, 0.25, 1.5]])
FILTERS = {
    "gaussian": lambda x: nd.gaussian_filter(x, 0.8),
    "gaussian, each axis its own": lambda x: nd.gaussian_filter(x, (0.5, 1.0), order=(0, 2), mode=["wrap", "nearest"]),
    "uniform": lambda x: nd.uniform_filter(x, 3) + nd.uniform_filter1d(x, 4, 0),
    "edges": lambda x: nd.sobel(x) + nd.sobel(x, 0, mode="wrap") + nd.prewitt(x, axis=0),
    "laplace": lambda x: nd.laplace(x, mode="nearest"),
    "correlate": lambda x: nd.correlate(x, UNEVEN) + nd.correlate(x, UNEVEN, mode="wrap", origin=(-1, 0)),
    "convolve": lambda x: nd.convolve(x, UNEVEN, mode="constant", cval=2.0) + nd.convolve(x, UNEVEN, origin=(-1, 1)),
    "weights that are learned": lambda x: nd.convolve(x, x[:2, :3], mode="mirror") + nd.correlate(IMAGE, x[1:4, :2]),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(name):
    agrees(FILTERS[name], IMAGE)


def test_what_filters_do_not_take():
    with pytest.raises(UnsupportedError, match="traced weights"):
        pb.grad(lambda x: np.sum(nd.correlate1d(x, x[0, :3])))(IMAGE)
    with pytest.raises(UnsupportedError, match="whole numbers"):
        pb.grad(lambda x: np.sum(nd.convolve(np.ones((4, 4), int), x[:2, :2])))(IMAGE)
    with pytest.raises(ValueError, match="Invalid origin"):
        pb.grad(lambda x: np.sum(nd.convolve(x, UNEVEN, origin=(1, 2))))(IMAGE)
    with pytest.raises(RuntimeError, match=r"weights\.ndim"):
        pb.grad(lambda x: np.sum(nd.correlate(x, UNEVEN[0])))(IMAGE)
    with pytest.raises(UnsupportedError, match="output="):
        pb.grad(lambda x: np.sum(nd.laplace(x, output=np.empty((6, 7)))))(IMAGE)
