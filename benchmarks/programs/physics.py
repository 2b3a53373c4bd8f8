"""Fields, bodies, rays, and small matrices by the thousand."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.programs.listed import program


@program(lambda g: (g.standard_normal(1000), g.standard_normal(1000)))
def heat_1d(xp: Any, lib: Any, u: Any, y: Any) -> Any:
    for _ in range(100):
        u = lib.put(u, slice(1, -1), u[1:-1] + 0.25 * (u[2:] - 2.0 * u[1:-1] + u[:-2]))
    return xp.mean((u - y) ** 2)


@program(lambda g: (g.standard_normal((64, 64)), g.random((62, 62))))
def heat_2d(xp: Any, lib: Any, u: Any, a: Any) -> Any:
    inner = (slice(1, -1), slice(1, -1))
    for _ in range(100):
        near = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
        u = lib.put(u, inner, u[1:-1, 1:-1] + 0.2 * a * (near - 4.0 * u[1:-1, 1:-1]))
    return xp.sum(u**2)


@program(lambda g: (g.standard_normal((64, 64)), g.random((64, 64))))
def heat_scan(xp: Any, lib: Any, u: Any, a: Any) -> Any:
    def step(u: Any, _: Any) -> Any:
        near = xp.roll(u, 1, 0) + xp.roll(u, -1, 0) + xp.roll(u, 1, 1) + xp.roll(u, -1, 1)
        return u + 0.2 * a * (near - 4.0 * u), None

    return xp.sum(lib.scan(step, u, None, length=100)[0] ** 2)


@program(lambda g: (g.standard_normal((64, 64, 64)), g.standard_normal((64, 64, 64))))
def periodic_laplacian(xp: Any, lib: Any, u: Any, f: Any) -> Any:
    near = sum(xp.roll(u, by, axis) for by in (1, -1) for axis in range(3))
    return xp.sum((near - 6.0 * u - f) ** 2)


@program(lambda g: (g.standard_normal((200, 3)), g.random(200)))
def bodies(xp: Any, lib: Any, x: Any, mass: Any) -> Any:
    d = x[:, None, :] - x[None, :, :]
    r = xp.sqrt(xp.sum(d**2, axis=2) + 1e-2)
    return -0.5 * xp.sum(mass[:, None] * mass / r)


@program(lambda g: (g.standard_normal((20, 20, 3)) * 0.1, np.zeros((20, 20, 3))))
def spring_mesh(xp: Any, lib: Any, x: Any, v: Any) -> Any:
    def pull(d: Any) -> Any:
        r = xp.sqrt(xp.sum(d**2, axis=2, keepdims=True) + 1e-4)
        return (1.0 - 0.1 / r) * d

    def step(state: Any, _: Any) -> Any:
        x, v = state
        a, b = pull(x[1:] - x[:-1]), pull(x[:, 1:] - x[:, :-1])
        down = xp.concatenate([a, xp.zeros_like(a[:1])]) - xp.concatenate([xp.zeros_like(a[:1]), a])
        right = xp.concatenate([b, xp.zeros_like(b[:, :1])], 1) - xp.concatenate([xp.zeros_like(b[:, :1]), b], 1)
        v = 0.99 * v + 0.01 * (down + right)
        return (x + v, v), None

    (x, v), _ = lib.scan(step, (x, v), None, length=50)
    return xp.sum(x**2) + xp.sum(v**2)


@program(lambda g: (np.array([1.1, 0.4, 0.1, 0.4]),))
def lotka_volterra(xp: Any, lib: Any, p: Any) -> Any:
    def step(z: Any, _: Any) -> Any:
        x, y = z
        z = x + 0.01 * x * (p[0] - p[1] * y), y + 0.01 * y * (p[2] * x - p[3])
        return z, z[0]

    one = xp.ones_like(p[0])
    return xp.mean(lib.scan(step, (10.0 * one, 5.0 * one), None, length=1000)[1])


@program(lambda g: (g.standard_normal(8), g.uniform(-1, 1, 1_000_000)))
def polynomial(xp: Any, lib: Any, c: Any, x: Any) -> Any:
    y = c[7]
    for k in range(6, -1, -1):
        y = y * x + c[k]
    return xp.mean(y**2)


@program(lambda g: (g.standard_normal((50, 4)), np.linspace(0, 1, 51), g.random(100_000)))
def spline(xp: Any, lib: Any, c: Any, knots: Any, x: Any) -> Any:
    k = xp.clip(xp.searchsorted(knots, x) - 1, 0, 49)
    t, c = x - knots[k], c[k]
    return xp.mean((c[:, 0] + t * (c[:, 1] + t * (c[:, 2] + t * c[:, 3]))) ** 2)


@program(lambda g: (g.standard_normal((256, 256)), g.standard_normal((254, 254))))
def poisson(xp: Any, lib: Any, u: Any, f: Any) -> Any:
    r = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4.0 * u[1:-1, 1:-1] - f
    return 0.5 * xp.sum(r**2)


@program(lambda g: (g.standard_normal(32), g.standard_normal(10_000), g.standard_normal(10_031)))
def convolution(xp: Any, lib: Any, w: Any, x: Any, y: Any) -> Any:
    return xp.mean((xp.convolve(x, w) - y) ** 2)


@program(lambda g: (g.standard_normal((8, 8, 16)), g.standard_normal((16, 20)), g.standard_normal((20, 8)),
                    g.standard_normal((64, 8, 20))))  # fmt: skip
def four_operands(xp: Any, lib: Any, a: Any, b: Any, c: Any, x: Any) -> Any:
    return xp.mean(xp.einsum("ijk,kl,lm,nim->nj", a, b, c, x[:, :, :8]) ** 2)


@program(lambda g: (np.array([0.0, 0.0, 3.0, 1.0]), g.uniform(-0.3, 0.3, (64, 64, 2))))
def ray_marching(xp: Any, lib: Any, ball: Any, screen: Any) -> Any:
    ray = xp.concatenate([screen, xp.ones_like(screen[:, :, :1])], axis=2)
    ray = ray / xp.linalg.norm(ray, axis=2, keepdims=True)
    t = xp.zeros_like(screen[:, :, 0])
    for _ in range(30):
        x = t[:, :, None] * ray
        near = xp.sqrt(xp.sum((x - ball[:3]) ** 2, axis=2)) - ball[3]
        t = t + xp.minimum(near, 5.0 - x[:, :, 2])
    return xp.mean(t)


@program(lambda g: (g.standard_normal((128, 128)), g.uniform(0, 127, (2, 10_000)), g.standard_normal(10_000)))
def bilinear(xp: Any, lib: Any, image: Any, at: Any, y: Any) -> Any:
    i, j = xp.floor(at[0]).astype(int), xp.floor(at[1]).astype(int)
    s, t = at[0] - i, at[1] - j
    top = (1 - t) * image[i, j] + t * image[i, j + 1]
    low = (1 - t) * image[i + 1, j] + t * image[i + 1, j + 1]
    return xp.mean(((1 - s) * top + s * low - y) ** 2)


def matrices(g: Any) -> Any:
    return 4.0 * np.eye(4) + g.standard_normal((1000, 4, 4)), g.standard_normal((1000, 4))


@program(matrices)
def small_solves(xp: Any, lib: Any, a: Any, b: Any) -> Any:
    return xp.mean(xp.linalg.solve(a, b[:, :, None]) ** 2)


@program(matrices)
def small_inverses(xp: Any, lib: Any, a: Any, b: Any) -> Any:
    return xp.mean(xp.linalg.inv(a) ** 2) + xp.mean(xp.log(xp.abs(xp.linalg.det(a))))


@program(lambda g: (0.3 * g.standard_normal((100, 4, 4)),))
def exponentials(xp: Any, lib: Any, a: Any) -> Any:
    return xp.mean(lib.expm(a) ** 2)


@program(lambda g: (1.0 + 0.1 * g.standard_normal((32, 32)),))
def shallow_water(xp: Any, lib: Any, height: Any) -> Any:
    """Lax and Friedrichs' scheme on a torus."""
    state = xp.stack([height, xp.zeros_like(height), xp.zeros_like(height)])
    for _ in range(10):
        h, p, q = state
        right = xp.stack([p, p**2 / h + 4.9 * h**2, p * q / h])
        down = xp.stack([q, p * q / h, q**2 / h + 4.9 * h**2])
        near = sum(xp.roll(state, by, axis) for by in (1, -1) for axis in (1, 2))
        state = 0.25 * near - 0.025 * (
            xp.roll(right, -1, 1) - xp.roll(right, 1, 1) + xp.roll(down, -1, 2) - xp.roll(down, 1, 2)
        )
    return xp.sum(state**2)


@program(lambda g: (np.exp(-(np.linspace(-3, 3, 64) ** 2)), np.fft.fftfreq(64, 6 / 64) * 2 * np.pi))
def korteweg_de_vries(xp: Any, lib: Any, u: Any, k: Any) -> Any:
    """Pseudo-spectral, the linear part exactly."""
    spread, made = xp.exp(5e-6j * k**3), xp.fft.fft(u)
    for _ in range(15):
        made = spread * (made - 0.015j * k * xp.fft.fft(xp.real(xp.fft.ifft(made)) ** 2))
    return xp.sum(xp.real(xp.fft.ifft(made)) ** 3)


@program(lambda g: (g.random((32, 32)), np.array([2.0, 0.3]), g.random((32, 32))))
def bilateral_filter(xp: Any, lib: Any, image: Any, width: Any, wanted: Any) -> Any:
    padded, total, weights = xp.pad(image, 1, mode="reflect"), 0.0, 0.0
    for i in range(3):
        for j in range(3):
            near = padded[i : i + 32, j : j + 32]
            far = (i - 1) ** 2 + (j - 1) ** 2
            w = xp.exp(-far / (2 * width[0] ** 2) - (near - image) ** 2 / (2 * width[1] ** 2))
            total, weights = total + w * near, weights + w
    return xp.sum((total / weights - wanted) ** 2)


@program(lambda g: (g.standard_normal(513), *g.standard_normal((2, 16, 1024))))
def spectral_filter(xp: Any, lib: Any, h: Any, x: Any, y: Any) -> Any:
    return xp.mean((xp.fft.irfft(xp.fft.rfft(x) * h) - y) ** 2)


@program(lambda g: g.standard_normal((2, 512, 512)))
def total_variation(xp: Any, lib: Any, u: Any, seen: Any) -> Any:
    return xp.mean(xp.abs(xp.diff(u, axis=0))) + xp.mean(xp.abs(xp.diff(u, axis=1))) + xp.mean((u - seen) ** 2)


def truss_data(g: Any) -> Any:
    edges = g.integers(0, 40, (100, 2))
    return g.standard_normal((40, 2)), edges[:, 0], edges[:, 1], np.abs(g.standard_normal(100))


@program(truss_data)
def truss(xp: Any, lib: Any, x: Any, i: Any, j: Any, length: Any) -> Any:
    """Bars between joints, given as the columns of a table."""
    d = x[i] - x[j]
    r = xp.sqrt(xp.sum(d * d, axis=1) + 1e-9)
    return 0.5 * xp.sum((r - length) ** 2) + 0.1 * xp.sum(x[:, 1])


@program(lambda g: (g.standard_normal(1_000_000),))
def rosenbrock(xp: Any, lib: Any, x: Any) -> Any:
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@program(lambda g: (g.standard_normal((1000, 4)), g.standard_normal((1000, 3)), g.standard_normal((1000, 3))))
def quaternions(xp: Any, lib: Any, q: Any, v: Any, y: Any) -> Any:
    q = q / xp.sqrt(xp.sum(q**2, 1, keepdims=True))
    w, u = q[:, :1], q[:, 1:]
    t = 2.0 * xp.cross(u, v)
    return xp.mean((v + w * t + xp.cross(u, t) - y) ** 2)


@program(lambda g: (g.standard_normal((60, 60)) / 60, g.standard_normal(60)))
def mean_field(xp: Any, lib: Any, couplings: Any, field: Any) -> Any:
    m = xp.zeros(60, couplings.dtype)
    for _ in range(50):
        m = xp.tanh(0.8 * ((couplings + couplings.T) @ m + field))
    return xp.sum(m**2)


@program(lambda g: (g.random(64), g.standard_normal(64)))
def implicit_heat(xp: Any, lib: Any, source: Any, y: Any) -> Any:
    n, u = len(source), xp.zeros_like(source)
    step = xp.asarray((3.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)).astype(source.dtype))
    for _ in range(40):
        u = xp.linalg.solve(step, u + source)
    return xp.sum((u - y) ** 2)


@program(lambda g: (g.standard_normal((100, 6, 2)), g.standard_normal((100, 50, 2))))
def bezier_curves(xp: Any, lib: Any, points: Any, y: Any) -> Any:
    t = xp.asarray(np.linspace(0.0, 1.0, 50).astype(y.dtype))[:, None]
    curve = xp.repeat(points[:, :, None], 50, axis=2)
    while curve.shape[1] > 1:
        curve = (1.0 - t) * curve[:, :-1] + t * curve[:, 1:]
    return xp.mean((curve[:, 0] - y) ** 2)


@program(lambda g: (g.standard_normal((40, 40, 40)), g.standard_normal((40, 40, 40))))
def poisson_3d(xp: Any, lib: Any, u: Any, f: Any) -> Any:
    c = u[1:-1, 1:-1, 1:-1]
    along_x, along_y = u[2:, 1:-1, 1:-1] + u[:-2, 1:-1, 1:-1], u[1:-1, 2:, 1:-1] + u[1:-1, :-2, 1:-1]
    return xp.mean((along_x + along_y + u[1:-1, 1:-1, 2:] + u[1:-1, 1:-1, :-2] - 6.0 * c - f[1:-1, 1:-1, 1:-1]) ** 2)


def fluid_data(g: Any) -> Any:
    x = 8.0 * g.random((500, 3))
    d = x[:, None] - x
    i, j = np.nonzero(np.triu(np.sum((d - 8.0 * np.round(d / 8.0)) ** 2, axis=2) < 4.0, 1))
    return x, i, j


@program(fluid_data)
def lennard_jones(xp: Any, lib: Any, x: Any, i: Any, j: Any) -> Any:
    """By a list of neighbors, in a periodic box."""
    d = x[i] - x[j]
    r = xp.sum((d - 8.0 * xp.round(d / 8.0)) ** 2, axis=1) + 0.5
    return xp.sum(xp.where(r < 4.0, 4.0 * (r**-6 - r**-3), 0.0))


@program(lambda g: (g.standard_normal((2000, 5, 5)) + 5.0 * np.eye(5),))
def log_determinants(xp: Any, lib: Any, a: Any) -> Any:
    return xp.sum(xp.linalg.slogdet(a)[1])


@program(lambda g: (0.1 * g.standard_normal((50, 2)), np.array([1.0, 0.0, 0.0, 0.0])))
def cart_pole(xp: Any, lib: Any, u: Any, start: Any) -> Any:
    """The cost of forces on a cart that carries a pole."""

    def step(x: Any, u: Any) -> Any:
        s, c = xp.sin(x[2]), xp.cos(x[2])
        a = (u[0] + s * x[3] ** 2) / (1.1 + s * s)
        turn = (-u[0] * c - x[3] ** 2 * c * s + 10.0 * s) / (1.1 + s * s)
        x = x + 0.02 * xp.stack([x[1], a, x[3], turn + 0.1 * u[1]])
        return x, xp.sum(x * x) + 0.01 * xp.sum(u * u)

    return xp.sum(lib.scan(step, start, u)[1])


def cameras_data(g: Any) -> Any:
    p = 0.1 * g.standard_normal((100, 6)), g.standard_normal((4000, 3))
    return p, g.integers(0, 100, 20_000), g.integers(0, 4000, 20_000), g.standard_normal((20_000, 2))


@program(cameras_data)
def bundle_adjustment(xp: Any, lib: Any, p: Any, i: Any, j: Any, seen: Any) -> Any:
    """Points seen by cameras, turned by Rodrigues' formula."""
    camera, x = p[0][i], p[1][j]
    angle = xp.sqrt(xp.sum(camera[:, :3] ** 2, axis=1, keepdims=True) + 1e-12)
    axis = camera[:, :3] / angle
    along = axis * xp.sum(axis * x, axis=1, keepdims=True) * (1.0 - xp.cos(angle))
    x = x * xp.cos(angle) + xp.cross(axis, x) * xp.sin(angle) + along + camera[:, 3:]
    at = x[:, :2] / (x[:, 2:] + 8.0)
    r = xp.sum(at * at, axis=1, keepdims=True)
    return xp.mean((at * (1.0 + 0.1 * r + 0.01 * r * r) - seen) ** 2)


@program(lambda g: (*g.standard_normal((2, 8, 2048)), np.hanning(256)))
def spectrogram(xp: Any, lib: Any, x: Any, y: Any, window: Any) -> Any:
    """How the logarithms of two signals' short spectra differ."""

    def spectra(x: Any) -> Any:
        made = xp.fft.rfft(xp.stack([x[:, i : i + 256] for i in range(0, 1793, 128)], axis=1) * window)
        return xp.log(xp.real(made) ** 2 + xp.imag(made) ** 2 + 1e-3)

    return xp.mean(xp.abs(spectra(x) - spectra(y)))


@program(lambda g: (*g.standard_normal((2, 48, 48)), np.array(0.05)))
def vorticity(xp: Any, lib: Any, w: Any, wanted: Any, viscosity: Any) -> Any:
    """A fluid in two dimensions, whose stream function is found by its spectrum."""
    across, along = (1j * k.astype(w.dtype) for k in np.meshgrid(*[np.fft.fftfreq(48, 1 / 48)] * 2, indexing="ij"))
    squares = xp.asarray(-(across**2 + along**2).real)
    safe = xp.where(squares == 0, 1.0, squares)

    def field(z: Any) -> Any:
        return xp.real(xp.fft.ifft2(z))

    for _ in range(8):
        z = xp.fft.fft2(w)
        u, v = field(along * (z / safe)), field(-across * (z / safe))
        w = w + 0.002 * (-u * field(across * z) - v * field(along * z) - viscosity * field(squares * z))
    return xp.mean((w - wanted) ** 2)


def scanned_data(g: Any) -> Any:
    at = np.arange(48) - 23.5
    s, t, a = at[:, None], at, np.linspace(0.0, np.pi, 30, endpoint=False)[:, None, None]
    rows, columns = s * np.cos(a) - t * np.sin(a), s * np.sin(a) + t * np.cos(a)
    i, j = (np.clip(np.rint(x + 23.5), 0, 47).astype(int) for x in (rows, columns))
    return g.random((48, 48)), 48 * i + j, 20.0 * g.random((30, 48))


@program(scanned_data)
def tomography(xp: Any, lib: Any, x: Any, places: Any, seen: Any) -> Any:
    """Sums along lines in thirty directions, and how much neighbors differ."""
    across, along = x[1:, :-1] - x[:-1, :-1], x[:-1, 1:] - x[:-1, :-1]
    rough = xp.sum(xp.sqrt(across**2 + along**2 + 1e-4))
    return xp.mean((xp.sum(xp.reshape(x, -1)[places], axis=2) - seen) ** 2) + 0.01 * rough


@program(lambda g: (np.array([-2.0, 0.5, 1.5]), np.array([1.0, 0.2, 0.0]), g.random((50, 3))))
def kinetics(xp: Any, lib: Any, rates: Any, start: Any, seen: Any) -> Any:
    """Three substances, by implicit steps: each three of Newton's."""
    k = xp.exp(rates)

    def flow(c: Any) -> Any:
        one, two, three = k[0] * c[0], k[1] * c[1] * c[2], k[2] * c[1] ** 2
        return xp.stack([two - one, one - two - three, three])

    def step(c: Any, _: Any) -> Any:
        x = c
        for _ in range(3):
            x = x - xp.linalg.solve(xp.eye(3, dtype=c.dtype) - 0.1 * lib.jacobian(flow)(x), x - c - 0.1 * flow(x))
        return x, x

    return xp.mean((lib.scan(step, start, None, length=50)[1] - seen) ** 2)
