"""Programs as scientists write them: NumPy and nothing else.  None of them knows of payback.

Each takes one array (or a tuple of arrays) and returns a number; `PROGRAMS` gives each a point.
"""

import numpy as np

G = np.random.default_rng(2024)


# least squares in the style of Moré, Garbow and Hillstrom (ACM TOMS 7, 1981) -----------------------------------


def freudenstein_roth(x):
    f = np.zeros(2)
    f[0] = -13.0 + x[0] + ((5.0 - x[1]) * x[1] - 2.0) * x[1]
    f[1] = -29.0 + x[0] + ((1.0 + x[1]) * x[1] - 14.0) * x[1]
    return np.sum(f**2)


def bard(x):
    y = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]
    f = np.empty(15)
    for i in range(15):
        u, v = i + 1, 15 - i
        w = min(u, v)
        f[i] = y[i] - (x[0] + u / (x[1] * v + x[2] * w))
    return f @ f


def watson(x):
    n, m = len(x), 31
    f = np.zeros(m)
    for i in range(29):
        div = (i + 1) / 29.0
        s1, dx = 0.0, 1.0
        for j in range(1, n):
            s1 += j * dx * x[j]
            dx *= div
        s2, dx = 0.0, 1.0
        for j in range(n):
            s2 += dx * x[j]
            dx *= div
        f[i] = s1 - s2**2 - 1.0
    f[29] = x[0]
    f[30] = x[1] - x[0] ** 2 - 1.0
    return np.dot(f, f)


def chebyquad(x):
    n = len(x)
    f = np.zeros(n)
    for j in range(n):
        t1, t2 = 1.0, 2.0 * x[j] - 1.0
        t = 2.0 * t2
        for i in range(n):
            f[i] += t2
            t1, t2 = t2, t * t2 - t1
    sign = -1
    for i in range(n):
        f[i] /= n
        if sign > 0:
            f[i] += 1.0 / ((i + 1) ** 2 - 1)
        sign = -sign
    return np.sum(f * f)


def broyden_tridiagonal(x):
    f = (3.0 - 2.0 * x) * x + 1.0
    f[1:] -= x[:-1]
    f[:-1] -= 2.0 * x[1:]
    return np.linalg.norm(f) ** 2


# differential equations ----------------------------------------------------------------------------------------


def lotka_volterra(p):
    """Runge and Kutta's method, the path kept in an array."""

    def slope(y):
        dy = np.empty(2)
        dy[0] = p[0] * y[0] - p[1] * y[0] * y[1]
        dy[1] = -p[2] * y[1] + p[3] * y[0] * y[1]
        return dy

    n, h = 6, 0.3
    path = np.zeros((n + 1, 2))
    path[0] = [1.5, 1.0]
    for k in range(n):
        y = path[k]
        k1 = slope(y)
        k2 = slope(y + 0.5 * h * k1)
        k3 = slope(y + 0.5 * h * k2)
        k4 = slope(y + h * k3)
        path[k + 1] = y + h / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
    return np.sum((path[:, 0] - 1.0) ** 2) + 0.5 * path[-1, 1]


def heat(u0):
    """An explicit scheme on a ring, with a work array that is used again at each step."""
    u = u0.copy()
    work = np.empty_like(u)
    for _ in range(8):
        work[:] = np.roll(u, 1) - 2.0 * u + np.roll(u, -1)
        u += 0.2 * work
        u[0] = 0.0
    return np.sum(u**3)


def reaction_diffusion(u0):
    """Gray and Scott in two dimensions, by slices of a padded array."""
    u, v = u0[0], u0[1]
    for _ in range(3):
        parts = []
        for w in (u, v):
            q = np.pad(w, 1, mode="wrap")
            parts.append(q[:-2, 1:-1] + q[2:, 1:-1] + q[1:-1, :-2] + q[1:-1, 2:] - 4 * w)
        uvv = u * v**2
        u, v = u + 0.2 * parts[0] - uvv + 0.05 * (1 - u), v + 0.1 * parts[1] + uvv - 0.1 * v
    return np.sum(u * v) + np.max(v)


def n_body(state):
    """Three bodies by the leapfrog scheme; forces filled in pair by pair."""
    x, v = state[:3].copy(), state[3:].copy()
    m = np.array([1.0, 0.5, 0.25])

    def forces(x):
        f = np.zeros_like(x)
        for i in range(3):
            for j in range(i):
                d = x[j] - x[i]
                r = np.sqrt(d @ d + 0.01)
                f[i] += m[j] * d / r**3
                f[j] -= m[i] * d / r**3
        return f

    a = forces(x)
    for _ in range(4):
        v += 0.05 * a
        x += 0.1 * v
        a = forces(x)
        v += 0.05 * a
    return 0.5 * np.sum(m[:, None] * v**2) + np.sum(x[0] * x[1])


def tridiagonal_solve(d):
    """Thomas' algorithm in place."""
    n = len(d)
    a, b, c = -np.ones(n), 4.0 + d**2, -np.ones(n)
    rhs = np.sin(d)
    for i in range(1, n):
        w = a[i] / b[i - 1]
        b[i] -= w * c[i - 1]
        rhs[i] -= w * rhs[i - 1]
    x = np.zeros(n)
    x[-1] = rhs[-1] / b[-1]
    for i in reversed(range(n - 1)):
        x[i] = (rhs[i] - c[i] * x[i + 1]) / b[i]
    return np.sum(x**2) + x[0]


# statistics ----------------------------------------------------------------------------------------------------

OBSERVED = G.standard_normal(10).cumsum()


def kalman(p):
    """The log likelihood of a local linear trend."""
    F, H = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    Q, R = np.diag(np.exp(p[:2])), np.exp(p[2])
    x, P = np.zeros(2), 10.0 * np.eye(2)
    total = 0.0
    for y in OBSERVED:
        x = F @ x
        P = F @ P @ F.T + Q
        e = y - (H @ x)[0]
        S = (H @ P @ H.T)[0, 0] + R
        K = (P @ H.T) / S
        x = x + K[:, 0] * e
        P = (np.eye(2) - K @ H) @ P
        total += -0.5 * (np.log(2 * np.pi * S) + e**2 / S)
    return total


def hidden_markov(p):
    """The forward algorithm in logarithms."""
    A = p[:9].reshape(3, 3)
    A = A - np.logaddexp.reduce(A, axis=1, keepdims=True)
    mean, spread = p[9:12], np.exp(p[12:15])
    alpha = np.zeros((len(OBSERVED), 3))
    emit = -0.5 * ((OBSERVED[:, None] - mean) / spread) ** 2 - np.log(spread)
    alpha[0] = -np.log(3.0) + emit[0]
    for t in range(1, len(OBSERVED)):
        for j in range(3):
            alpha[t, j] = emit[t, j] + np.logaddexp.reduce(alpha[t - 1] + A[:, j])
    return np.logaddexp.reduce(alpha[-1])


def gaussian_process(p):
    t = np.linspace(0.0, 3.0, len(OBSERVED))
    d = t[:, None] - t[None, :]
    K = np.exp(p[0]) * np.exp(-0.5 * d**2 / np.exp(p[1]) ** 2) + np.exp(p[2]) * np.eye(len(t))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, OBSERVED))
    return -0.5 * OBSERVED @ alpha - np.sum(np.log(np.diag(L))) - 0.5 * len(t) * np.log(2 * np.pi)


TIMES, DIED = G.exponential(1.0, 9), G.integers(0, 2, 9).astype(bool)
COVARIATES = G.standard_normal((9, 2))


def cox(beta):
    """Cox's partial likelihood: the sums at risk by a cumulative sum from the last event."""
    order = np.argsort(-TIMES)
    eta = (COVARIATES @ beta)[order]
    top = np.max(eta)
    at_risk = np.log(np.cumsum(np.exp(eta - top))) + top
    return np.sum((eta - at_risk)[DIED[order]])


def autoregression(p):
    """AR(2) with the exact variance of nothing: residuals written into an array."""
    e = np.zeros(len(OBSERVED))
    for t in range(2, len(OBSERVED)):
        e[t] = OBSERVED[t] - p[0] - p[1] * OBSERVED[t - 1] - p[2] * OBSERVED[t - 2]
    variance = np.exp(p[3])
    return -0.5 * (len(e) - 2) * np.log(2 * np.pi * variance) - 0.5 * np.sum(e[2:] ** 2) / variance


def garch(p):
    omega, a, b = np.exp(p[0]), 1 / (1 + np.exp(-p[1])), 1 / (1 + np.exp(-p[2]))
    s = np.empty(len(OBSERVED))
    s[0] = OBSERVED.var()
    for t in range(1, len(s)):
        s[t] = omega + 0.5 * a * OBSERVED[t - 1] ** 2 + 0.5 * b * s[t - 1]
    return np.sum(np.log(s) + OBSERVED**2 / s)


X, CLASSES = G.standard_normal((11, 3)), G.integers(0, 4, 11)


def softmax_regression(w):
    W = w.reshape(3, 4)
    z = X @ W
    z -= z.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -logp[np.arange(len(X)), CLASSES].mean() + 0.01 * (W**2).sum()


def network(theta):
    """A neural network by hand, its weights cut out of one vector."""
    sizes, at, h = [3, 5, 4], 0, X
    for k in range(2):
        n_in, n_out = sizes[k], sizes[k + 1]
        W = theta[at : at + n_in * n_out].reshape(n_in, n_out)
        at += n_in * n_out
        b = theta[at : at + n_out]
        at += n_out
        h = h @ W + b
        if k == 0:
            h = np.maximum(h, 0.1 * h)
    p = np.exp(h - h.max(1)[:, None])
    p /= p.sum(1)[:, None]
    onehot = np.zeros_like(p)
    onehot[np.arange(len(X)), CLASSES] = 1.0
    return -np.sum(onehot * np.log(p + 1e-12))


def quantile_regression(beta):
    """The pinball loss for three levels at once."""
    r = OBSERVED - (beta[0] + beta[1] * np.linspace(0, 1, len(OBSERVED)))
    loss = 0.0
    for tau in (0.1, 0.5, 0.9):
        loss += np.where(r >= 0, tau * r, (tau - 1) * r).mean() * (1 + beta[2] ** 2)
    return loss


def robust(p):
    """Tukey's, Huber's and Cauchy's losses chosen by region."""
    r = OBSERVED - p[0] * np.linspace(-1, 1, len(OBSERVED)) - p[1]
    a = np.abs(r)
    rho = np.select([a < 0.5, a < 1.5], [0.5 * r**2, 0.5 * (a - 0.25)], default=np.log1p(r**2))
    w = np.clip(1 - (r / 3.0) ** 2, 0, None) ** 2
    return np.sum(rho * w)


def metropolis_target(x):
    """Neal's funnel beside a banana, a log density."""
    v, z = x[0], x[1:]
    funnel = -(v**2) / 18 - 0.5 * np.sum(z**2) * np.exp(-v) - 0.5 * len(z) * v
    banana = -0.5 * (z[0] ** 2 / 4 + (z[1] + 0.3 * z[0] ** 2) ** 2)
    return np.logaddexp(funnel, banana)


def principal_components(flat):
    D = flat.reshape(6, 4)
    D = D - D.mean(axis=0)
    U, s, Vt = np.linalg.svd(D, full_matrices=False)
    scores = U[:, :2] * s[:2]
    rebuilt = scores @ Vt[:2]
    return np.sum((D - rebuilt) ** 2) + s[0] / np.sum(s)


def k_means(flat):
    """Two rounds of Lloyd's algorithm from centers that are differentiated by."""
    centers = flat.reshape(3, 3)
    for _ in range(2):
        d2 = ((X[:, None, :] - centers[None]) ** 2).sum(-1)
        owner = np.argmin(d2, axis=1)
        new = np.zeros_like(centers)
        for k in range(3):
            mine = X[owner == k]
            new[k] = 0.5 * centers[k] + 0.5 * mine.mean(axis=0) if len(mine) else centers[k]
        centers = new
    d2 = ((X[:, None, :] - centers[None]) ** 2).sum(-1)
    return d2.min(axis=1).sum()


# signals, images, finance, geometry ----------------------------------------------------------------------------


def spline(y):
    """A natural cubic spline through y, read off at other places."""
    n, t = len(y), np.arange(len(y), dtype=float)
    A, r = np.eye(n), np.zeros(n)
    for i in range(1, n - 1):
        A[i, i - 1 : i + 2] = [1.0, 4.0, 1.0]
        r[i] = 6.0 * (y[i + 1] - 2 * y[i] + y[i - 1])
    m = np.linalg.solve(A, r)
    at = np.linspace(0.1, n - 1.1, 9)
    i = np.searchsorted(t, at) - 1
    d = at - t[i]
    value = y[i] + d * (y[i + 1] - y[i] - (2 * m[i] + m[i + 1]) / 6) + d**2 * m[i] / 2 + d**3 * (m[i + 1] - m[i]) / 6
    return np.sum(np.sin(value)) + np.interp(1.3, t, y) ** 2


def fir_filter(h):
    signal = np.sin(np.arange(20) * 0.7) + 0.3 * np.cos(np.arange(20) * 2.9)
    y = np.convolve(signal, h, mode="same")
    power = np.correlate(y, y, mode="full")
    return np.sum(np.diff(y) ** 2) + power[len(y) + 1] + np.abs(y).max()


def image_filter(k):
    """A convolution by shifted slices of a padded image, then pooling."""
    kernel, image = k.reshape(3, 3), np.outer(np.hanning(8), np.hanning(6))
    padded = np.pad(image, 1, mode="reflect")
    out = np.zeros_like(image)
    for i in range(3):
        for j in range(3):
            out += kernel[i, j] * padded[i : i + 8, j : j + 6]
    pooled = np.tanh(out).reshape(4, 2, 3, 2).max(axis=(1, 3))
    return np.sum(pooled**2) + out[3, 2]


def iir_filter(p):
    x = np.sin(np.arange(15) * 0.5)
    y = np.zeros(17)
    for n in range(15):
        y[n + 2] = x[n] + p[0] * y[n + 1] - p[1] ** 2 * y[n]
    return np.mean(y[2:] ** 2)


def black_scholes(p):
    """A strip of calls; the normal distribution by Abramowitz and Stegun 26.2.17."""

    def cdf(x):
        k = 1.0 / (1.0 + 0.2316419 * np.abs(x))
        poly = k * (0.319381530 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))))
        w = 1.0 - np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi) * poly
        return np.where(x < 0, 1.0 - w, w)

    s, sigma, r, t = p
    strikes = np.array([80.0, 95.0, 110.0, 125.0])
    d1 = (np.log(s / strikes) + (r + 0.5 * sigma**2) * t) / (sigma * np.sqrt(t))
    d2 = d1 - sigma * np.sqrt(t)
    return np.sum(s * cdf(d1) - strikes * np.exp(-r * t) * cdf(d2)) / 100.0


def binomial_option(p):
    """An American put on a Cox-Ross-Rubinstein tree, backwards in place."""
    s, sigma, r, n = p[0], p[1], p[2], 7
    dt = 1.0 / n
    up = np.exp(sigma * np.sqrt(dt))
    q = (np.exp(r * dt) - 1 / up) / (up - 1 / up)
    values = np.maximum(1.05 - s * up ** np.arange(n, -n - 1, -2.0), 0.0)
    for step in range(n - 1, -1, -1):
        spot = s * up ** np.arange(step, -step - 1, -2.0)
        values[: step + 1] = np.exp(-r * dt) * (q * values[: step + 1] + (1 - q) * values[1 : step + 2])
        values[: step + 1] = np.maximum(values[: step + 1], 1.05 - spot)
    return values[0]


def simplex_projection(y):
    """Onto the probability simplex (Held, Wolfe and Crowder, 1974), then an entropy."""
    u = np.sort(y)[::-1]
    total = np.cumsum(u)
    rho = np.nonzero(u * np.arange(1, len(y) + 1) > total - 1)[0][-1]
    theta = (total[rho] - 1) / (rho + 1)
    x = np.maximum(y - theta, 0)
    return np.sum(np.where(x > 0, x * np.log(x), 0.0)) + x @ np.arange(len(y))


def rotations(q):
    """Points turned by a quaternion, compared with where they should be."""
    w, x, y, z = q / np.linalg.norm(q)
    R = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    turned = X @ R.T
    return np.sum((turned - np.roll(X, 1, axis=1)) ** 2) + np.trace(R) * np.linalg.det(R)


def lennard_jones(flat):
    x = flat.reshape(4, 3)
    i, j = np.triu_indices(4, 1)
    d2 = np.sum((x[i] - x[j]) ** 2, axis=1)
    s6 = 1.0 / d2**3
    return np.sum(s6**2 - 2 * s6)


def ising_transfer(p):
    """The free energy of a short chain by powers of the transfer matrix."""
    T = np.exp(np.array([[p[0] + p[1], -p[0]], [-p[0], p[0] - p[1]]]))
    Z = np.trace(np.linalg.matrix_power(T, 6))
    top = np.max(np.linalg.eigvalsh(T))
    return -np.log(Z) - np.log(top)


def histogram_matching(x):
    """Weighted counts by place, smoothed and compared."""
    cells = np.digitize(OBSERVED, np.array([-1.0, 0.0, 1.0, 2.0]))
    w = np.exp(x - np.max(x))
    counts = np.bincount(cells, weights=w, minlength=6)
    total = np.zeros(6)
    np.add.at(total, cells[::2], w[::2] ** 2)
    smooth = (counts[:-1] + counts[1:]) / (1 + total[1:])
    return np.sum((smooth - 0.5) ** 2)


def smoothing_path(y):
    """A double exponential smoother whose state lives in a dictionary."""
    state = {"level": y[0], "trend": y[1] - y[0]}
    errors = []
    for value in y[2:]:
        guess = state["level"] + state["trend"]
        errors.append(value - guess)
        level = 0.4 * value + 0.6 * guess
        state["trend"] = 0.3 * (level - state["level"]) + 0.7 * state["trend"]
        state["level"] = level
    return np.sum(np.square(np.array(errors))) / len(errors)


def dynamic_time_warping(y):
    """The soft minimum of all warpings: a table filled in row by row."""
    target = np.sin(np.linspace(0, 3, 5))
    n, m = len(y), len(target)
    D = np.full((n + 1, m + 1), 1e3)
    D[0, 0] = 0.0
    for i in range(n):
        for j in range(m):
            near = np.array([D[i, j], D[i, j + 1], D[i + 1, j]])
            D[i + 1, j + 1] = (y[i] - target[j]) ** 2 - 0.5 * np.log(np.sum(np.exp(-(near - near.min()) / 0.5)))
            D[i + 1, j + 1] += near.min()
    return D[n, m]


def gram_schmidt(flat):
    A = flat.reshape(4, 3).copy()
    R = np.zeros((3, 3))
    for j in range(3):
        R[j, j] = np.sqrt(np.sum(A[:, j] ** 2))
        A[:, j] /= R[j, j]
        for k in range(j + 1, 3):
            R[j, k] = A[:, j] @ A[:, k]
            A[:, k] -= R[j, k] * A[:, j]
    return np.sum(R) + np.sum(A[0] ** 3)


def cholesky_by_hand(flat):
    B = flat.reshape(3, 3)
    A = B @ B.T + 2 * np.eye(3)
    L = np.zeros_like(A)
    for i in range(3):
        for j in range(i + 1):
            s = A[i, j] - np.sum(L[i, :j] * L[j, :j])
            L[i, j] = np.sqrt(s) if i == j else s / L[j, j]
    return np.log(np.prod(np.diag(L))) + np.sum(np.tril(L, -1) ** 2)


def normal(*shape):
    return G.standard_normal(shape)


# name: (program, point, whether the program looks at numbers, so that it cannot be traced without them)
PROGRAMS = {
    "Freudenstein and Roth": (freudenstein_roth, np.array([0.5, -2.0]), False),
    "Bard": (bard, np.array([1.0, 1.1, 0.9]), False),
    "Watson": (watson, 0.3 * normal(5), False),
    "Chebyquad": (chebyquad, np.arange(1, 7) / 7.0, False),
    "Broyden, tridiagonal": (broyden_tridiagonal, normal(8), False),
    "Lotka and Volterra": (lotka_volterra, np.array([1.1, 0.4, 0.9, 0.3]), False),
    "heat on a ring": (heat, normal(9), False),
    "Gray and Scott": (reaction_diffusion, np.abs(normal(2, 4, 5)) / 3, False),
    "three bodies": (n_body, normal(6, 2), False),
    "Thomas' algorithm": (tridiagonal_solve, normal(6), False),
    "Kalman filter": (kalman, np.array([-1.0, -2.0, 0.3]), False),
    "hidden Markov model": (hidden_markov, normal(15) / 2, False),
    "Gaussian process": (gaussian_process, np.array([0.2, -0.3, -1.5]), False),
    "Cox": (cox, normal(2), False),
    "autoregression": (autoregression, np.array([0.1, 0.6, 0.2, -0.3]), False),
    "GARCH": (garch, np.array([-1.0, 0.2, 0.5]), False),
    "softmax regression": (softmax_regression, normal(12), False),
    "network by hand": (network, normal(44) / 2, False),
    "quantile regression": (quantile_regression, np.array([0.2, -0.4, 0.3]), False),
    "robust losses": (robust, np.array([0.3, -0.2]), False),
    "log density": (metropolis_target, normal(4), False),
    "principal components": (principal_components, normal(24), False),
    "k-means": (k_means, X[:3].ravel() + 0.1, True),
    "spline": (spline, normal(6), False),
    "finite impulse response": (fir_filter, normal(5), False),
    "image filter": (image_filter, normal(9), False),
    "recursive filter": (iir_filter, np.array([0.9, 0.6]), False),
    "Black and Scholes": (black_scholes, np.array([100.0, 0.2, 0.05, 1.5]), False),
    "binomial tree": (binomial_option, np.array([1.0, 0.3, 0.04]), False),
    "projection onto the simplex": (simplex_projection, normal(6), True),
    "rotations": (rotations, normal(4), False),
    "Lennard-Jones": (lennard_jones, 1.5 * normal(12), False),
    "Ising chain": (ising_transfer, np.array([0.4, 0.1]), False),
    "weighted histogram": (histogram_matching, normal(10), False),
    "exponential smoothing": (smoothing_path, normal(8), False),
    "dynamic time warping": (dynamic_time_warping, normal(4), False),
    "Gram and Schmidt": (gram_schmidt, normal(12), False),
    "Cholesky by hand": (cholesky_by_hand, normal(9), False),
}
