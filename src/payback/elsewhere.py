"""What PyTorch, JAX, autograd, Keras, scikit-learn and CasADi call otherwise, or what payback leaves to NumPy.

A newcomer writes the names of the library they come from; the error then says what to write instead.
"""

from __future__ import annotations

import sys
from typing import Any

from payback.errors import MissingAttributeError

_NUMPY = "write `import numpy as np`: payback differentiates NumPy itself"
_RATE = "give the optimizer a schedule as its rate: pb.optim.Adam(pb.optim.Cosine(1e-2))"
_LAYER = "write it as a layer of your own: a class of pb.nn.Module whose `__call__` is written in NumPy"
_MANY = "pb.vmap(f)"
_KEYS = "make a key with pb.random.key(0), and write "

# By module: what is missing, by its name there or elsewhere, and what to write.
INSTEAD: dict[str, dict[str, str]] = {
    "payback": {
        "jit": "pb.compile(f)",
        "function": "pb.compile(f)",
        "value_and_gradient": "pb.value_and_grad(f)",
        "gradient": "pb.grad(f), or pb.variable and `y.backward()`",
        "elementwise_grad": "pb.vmap(pb.grad(f))",
        "multigrad": "pb.grad(f, argnums=(0, 1))",
        "grad_and_aux": "pb.grad(f, has_aux=True)",
        "GradientTape": "pb.variable and `y.backward()`, or pb.grad(f)",
        "jacrev": "pb.jacobian(f)",
        "jacfwd": "pb.jacobian(f)",
        "make_jvp": "pb.jvp(f, (x,), (v,))",
        "linearize": "pb.jvp(f, (x,), (v,))",
        "make_vjp": "pb.vjp(f, x)",
        "hessian_vector_product": "pb.hvp(f, x, v)",
        "make_hvp": "pb.hvp(f, x, v)",
        "pmap": _MANY,
        "vectorize": _MANY,
        "checkpoint": "pb.remat(f)",
        "custom_vjp": "pb.custom_gradient(f)",
        "custom_jvp": "pb.custom_gradient(f)",
        "primitive": "pb.custom_gradient(f)",
        "defvjp": "pb.custom_gradient(f)",
        "lax": "pb.scan, pb.cond and pb.while_loop",
        "fori_loop": "pb.scan(f, carry, np.arange(n)), or a `for` in Python",
        "switch": "pb.cond, or np.select",
        "rootfinder": "pb.root(f, x0)",
        "custom_root": "pb.root(f, x0)",
        "no_grad": "pb.stop_gradient(x)",
        "detach": "pb.stop_gradient(x)",
        "Variable": "pb.variable(x)",
        "Tensor": "pb.variable(x)",
        "tensor": "pb.variable(x), or np.array where nothing is differentiated by it",
        "SX": "pb.grad of a Python function: nothing is symbolic here",
        "MX": "pb.grad of a Python function: nothing is symbolic here",
        "test_util": "pb.check_grads(f, x)",
        "gradcheck": "pb.check_grads(f, x)",
        "numpy": _NUMPY,
        "np": _NUMPY,
        "jnp": _NUMPY,
        "scipy": "write `import scipy`: payback differentiates SciPy's functions themselves",
        "tree_map": "pb.grad takes and returns tuples, lists, dicts and dataclasses as they are",
        "save": "run.save(folder) of what pb.fit returned, and then pb.load(folder)",
        "manual_seed": "pb.fit(…, seed=0), and pb.random.key(0) for numbers of your own",
        "set_num_threads": "pb.set_threads(2)",
        "optimize": "pb.minimize(f, x0, step=0.1), or scipy.optimize.minimize(f, x0, jac=pb.grad(f))",
    },
    "payback.nn": {
        "Dense": "pb.nn.Linear(n_in, n_out, key=pb.random.key(0))",
        "MLPClassifier": "pb.nn.MLP([n_in, 32, classes]) and pb.fit(net, X, y)",
        "MLPRegressor": "pb.nn.MLP([n_in, 32, 1]) and pb.fit(net, X, y)",
        "ReLU": 'pb.nn.Activation("relu")',
        "Tanh": 'pb.nn.Activation("tanh")',
        "Sigmoid": 'pb.nn.Activation("sigmoid")',
        "Softplus": 'pb.nn.Activation("softplus")',
        "Softmax": "pb.nn.softmax; none at a network's end, for pb.nn.cross_entropy takes logits",
        "CrossEntropyLoss": "pb.nn.cross_entropy",
        "BCEWithLogitsLoss": "pb.nn.binary_cross_entropy, which takes logits",
        "MSELoss": "pb.nn.squared_error",
        "mse_loss": "pb.nn.squared_error",
        "HuberLoss": "pb.nn.huber",
        "SmoothL1Loss": "pb.nn.huber",
        "functional": "the functions of pb.nn itself: pb.nn.relu, pb.nn.cross_entropy",
        "init": "pb.nn.he_normal, pb.nn.glorot_uniform and the others in pb.nn.INITIALIZERS",
        "Parameter": "a field `weight: np.ndarray` in a class of pb.nn.Module",
        "Conv1d": _LAYER,
        "Conv2d": _LAYER,
        "Dropout": "give pb.fit validation rows and patience, or write pb.optim.AdamW(1e-3): no layer is random",
        "Embedding": "write a layer of your own: a class of pb.nn.Module that computes `self.table[x.astype(int)]`",
        "BatchNorm1d": _LAYER,
        "LayerNorm": _LAYER,
        "LSTM": f"{_LAYER} with pb.scan",
        "RNN": f"{_LAYER} with pb.scan",
        "GELU": 'pb.nn.Activation("gelu")',
        "SiLU": 'pb.nn.Activation("silu")',
        "ELU": 'pb.nn.Activation("elu")',
        "LeakyReLU": 'pb.nn.Activation("leaky_relu")',
        "swish": "pb.nn.silu",
        "Lambda": "give pb.nn.Sequential a function of NumPy among its layers",
    },
    "payback.optim": {
        "SGD": "pb.optim.GradientDescent(0.1), or pb.optim.Momentum(0.1)",
        "sgd": "pb.optim.GradientDescent(0.1), or pb.optim.Momentum(0.1)",
        "adam": "pb.optim.Adam(1e-3)",
        "adamw": "pb.optim.AdamW(1e-3)",
        "rmsprop": "pb.optim.RMSprop(1e-3)",
        "RMSProp": "pb.optim.RMSprop(1e-3)",
        "LBFGS": "scipy.optimize.minimize(f, x0, jac=pb.grad(f))",
        "lr_scheduler": _RATE,
        "StepLR": "pb.optim.StepDecay",
        "CosineAnnealingLR": "pb.optim.Cosine",
        "clip_by_global_norm": "pb.optim.Adam(1e-3, clip_norm=1.0)",
    },
    "payback.random": {
        "PRNGKey": "pb.random.key(0)",
        "seed": "pb.random.key(0)",
        "randn": _KEYS + "pb.random.normal(key, (n,))",
        "rand": _KEYS + "pb.random.uniform(key, (n,))",
        "shuffle": _KEYS + "pb.random.permutation(key, n)",
    },
}


def missing(module: str, name: str) -> AttributeError:
    """The error for a name that `payback`, `payback.nn`, … does not have."""
    what = f"module {module!r} has no attribute {name!r}"
    instead = INSTEAD[module].get(name)
    if instead is None:
        return AttributeError(what, name=name, obj=sys.modules[module])  # Python adds: did you mean …?
    return MissingAttributeError(
        what, fix=instead if instead.startswith(("write", "make", "give")) else f"use {instead}"
    )


def hook(module: str) -> Any:
    """The `__getattr__` of a module, which Python asks for names that it does not have."""

    def find(name: str) -> Any:
        raise missing(module, name)

    return find
