"""What PyTorch, JAX, autograd, Keras, scikit-learn and CasADi call otherwise, or what payback leaves to NumPy.

A newcomer writes the names of the library they come from; the error then says what to write instead.
"""

from __future__ import annotations

import difflib
import dis
import sys
from collections.abc import Collection, Iterable
from types import FrameType
from typing import Any

from payback.errors import MissingAttributeError, MissingNameError

_IMPORT = dis.opmap["IMPORT_FROM"]

_ARRAYS = "pb.fit(net, X, y, batch_size=64), which takes arrays"
_NETS = "pb.nn.Module, pb.nn.Linear, pb.nn.MLP or pb.nn.Sequential"
_NUMPY = "write `import numpy as np`: payback differentiates NumPy itself"
_RATE = "give the optimizer a schedule as its rate: pb.optim.Adam(pb.optim.Cosine(1e-2))"
_NORM = "pb.nn.LayerNorm(size), which is of each sample alone: modules keep no statistics of batches"
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
        **dict.fromkeys(("jacrev", "jacfwd"), "pb.jacobian(f)"),
        **dict.fromkeys(("make_jvp", "linearize"), "pb.jvp(f, (x,), (v,))"),
        "make_vjp": "pb.vjp(f, x)",
        **dict.fromkeys(("hessian_vector_product", "make_hvp"), "pb.hvp(f, x, v)"),
        **dict.fromkeys(("pmap", "vectorize"), "pb.vmap(f)"),
        "checkpoint": "pb.remat(f)",
        **dict.fromkeys(("custom_vjp", "custom_jvp", "primitive", "defvjp"), "pb.custom_gradient(f)"),
        "lax": "pb.scan, pb.cond and pb.while_loop",
        "fori_loop": "pb.scan(f, carry, np.arange(n)), or a `for` in Python",
        "switch": "pb.cond, or np.select",
        **dict.fromkeys(("rootfinder", "custom_root"), "pb.root(f, x0)"),
        **dict.fromkeys(("no_grad", "detach"), "pb.stop_gradient(x)"),
        "Variable": "pb.variable(x)",
        "Tensor": "pb.variable(x)",
        "tensor": "pb.variable(x), or np.array where nothing is differentiated by it",
        **dict.fromkeys(("SX", "MX"), "pb.grad of a Python function: nothing is symbolic here"),
        "test_util": "pb.check_grads(f, x)",
        "gradcheck": "pb.check_grads(f, x)",
        **dict.fromkeys(("numpy", "np", "jnp"), _NUMPY),
        "scipy": "write `import scipy`: payback differentiates SciPy's functions themselves",
        **dict.fromkeys(("data", "utils", "DataLoader"), _ARRAYS),
        **dict.fromkeys(("Module", "Linear", "MLP", "Sequential"), _NETS),
        **dict.fromkeys(("Adam", "SGD", "optimizers"), "pb.optim.Adam(1e-3) or pb.optim.GradientDescent(0.1)"),
        "tree": "pb.tree_map(f, net, other)",
        "save": "run.save(folder) of what pb.fit returned, and then pb.load(folder)",
        "manual_seed": "pb.fit(…, seed=0), and pb.random.key(0) for numbers of your own",
        "set_num_threads": "pb.set_threads(2)",
        "EarlyStopping": "pb.fit(…, validation=0.1, patience=10), or a callback that returns True",
        "ModelCheckpoint": "pb.fit(…, record=folder), and resume=folder to go on",
        "optimize": "pb.minimize(f, x0, step=0.1), or scipy.optimize.minimize(f, x0, jac=pb.grad(f))",
    },
    "payback.nn": {
        "Dense": "pb.nn.Linear(n_in, n_out, key=pb.random.key(0))",
        "MLPClassifier": "pb.estimators.Classifier, or pb.nn.MLP([n_in, 32, classes]) and pb.fit(net, X, y)",
        "MLPRegressor": "pb.estimators.Regressor, or pb.nn.MLP([n_in, 32, 1]) and pb.fit(net, X, y)",
        "Softmax": "pb.nn.softmax; none at a network's end, for pb.nn.cross_entropy takes logits",
        "CrossEntropyLoss": "pb.nn.cross_entropy",
        "BCEWithLogitsLoss": "pb.nn.binary_cross_entropy, which takes logits",
        **dict.fromkeys(("MSELoss", "mse_loss"), "pb.nn.squared_error"),
        **dict.fromkeys(("HuberLoss", "SmoothL1Loss"), "pb.nn.huber"),
        "functional": "the functions of pb.nn itself: pb.nn.relu, pb.nn.cross_entropy",
        "init": "pb.nn.he_normal, pb.nn.glorot_uniform and the others in pb.nn.INITIALIZERS",
        "Parameter": "a field `weight: np.ndarray` in a class of pb.nn.Module",
        **dict.fromkeys(("Conv1d", "Conv1D"), "pb.nn.Conv(n_in, n_out, (3,), key=pb.random.key(0)); channels are last"),
        **dict.fromkeys(
            ("Conv2d", "Conv2D", "Convolution"),
            "pb.nn.Conv(n_in, n_out, (3, 3), key=pb.random.key(0)); channels are last",
        ),
        "DepthwiseConv2D": "pb.nn.Conv(n, n, (3, 3), key=pb.random.key(0), groups=n); channels are last",
        **dict.fromkeys(
            ("MaxPool1d", "MaxPool2d", "MaxPooling1D", "MaxPooling2D", "max_pool"), "pb.nn.MaxPool((2, 2))"
        ),
        **dict.fromkeys(
            ("AvgPool1d", "AvgPool2d", "AveragePooling1D", "AveragePooling2D", "avg_pool"), "pb.nn.MeanPool((2, 2))"
        ),
        "BCELoss": "pb.nn.binary_cross_entropy, which takes logits",
        "NLLLoss": "pb.nn.cross_entropy, which takes logits",
        "L1Loss": "a function as loss: lambda prediction, target: abs(prediction - target).mean()",
        "Identity": 'pb.nn.Activation("identity")',
        "ModuleList": "a tuple of modules in a field, which is declared: layers: tuple",
        "one_hot": "np.eye(classes)[y]; pb.nn.cross_entropy takes the numbers of classes themselves",
        "log_sigmoid": "-pb.nn.softplus(-x)",
        **dict.fromkeys(("hard_tanh", "relu6"), "np.clip(x, low, high)"),
        **dict.fromkeys(
            ("MultiheadAttention", "MultiHeadAttention"), "pb.nn.Attention(size, heads, key=pb.random.key(0))"
        ),
        **dict.fromkeys(("BatchNormalization", "BatchNorm1d", "BatchNorm2d", "BatchNorm", "LayerNormalization"), _NORM),
        "SimpleRNN": "pb.nn.RNN(n_in, n_out, key=pb.random.key(0))",
        **{f"{name}Cell": f"pb.nn.{name}(n_in, n_out, key=pb.random.key(0))" for name in ("LSTM", "GRU", "RNN")},
        **{
            name: f'pb.nn.Activation("{name.lower()}")'
            for name in ("GELU", "SiLU", "ELU", "ReLU", "Tanh", "Sigmoid", "Softplus")
        },
        "LeakyReLU": 'pb.nn.Activation("leaky_relu")',
        "swish": "pb.nn.silu",
        **dict.fromkeys(("Dataset", "DataLoader", "TensorDataset"), _ARRAYS),
        "Lambda": "give pb.nn.Sequential a function of NumPy among its layers",
    },
    "payback.optim": {
        **dict.fromkeys(("SGD", "sgd"), "pb.optim.GradientDescent(0.1), or pb.optim.Momentum(0.1)"),
        "adam": "pb.optim.Adam(1e-3)",
        "adamw": "pb.optim.AdamW(1e-3)",
        **dict.fromkeys(("rmsprop", "RMSProp"), "pb.optim.RMSprop(1e-3)"),
        "LBFGS": "scipy.optimize.minimize(f, x0, jac=pb.grad(f))",
        "lr_scheduler": _RATE,
        "StepLR": "pb.optim.StepDecay",
        "CosineAnnealingLR": "pb.optim.Cosine",
        **dict.fromkeys(("clip_by_global_norm", "clip_grad_norm_"), "pb.optim.Adam(1e-3, clip_norm=1.0)"),
        "chain": "pb.optim.AdamW(1e-3, weight_decay=1e-2, clip_norm=1.0)",
        "apply_updates": "optimizer.update(gradient, state, net, rate, step), which returns the next network",
        "cosine_decay_schedule": "pb.optim.Cosine(1e-2)",
        **dict.fromkeys(
            ("warmup_cosine_decay_schedule", "OneCycleLR"),
            "pb.optim.WarmUp(1e-2, steps=100, then=pb.optim.Cosine(1e-2))",
        ),
        **dict.fromkeys(
            ("exponential_decay", "ExponentialDecay", "ExponentialLR", "MultiStepLR"), "pb.optim.StepDecay"
        ),
        **dict.fromkeys(
            ("lr_find", "lr_finder", "LRFinder"),
            "short trainings with several rates: pb.fit(net, X, y, optimizer=pb.optim.Adam(rate), epochs=3)",
        ),
        "ReduceLROnPlateau": "pb.optim.Cosine(1e-2), and patience=10 in pb.fit",
        **dict.fromkeys(
            ("Adagrad", "Adadelta", "Nadam", "NAdam", "Lion"),
            "pb.optim.Adam(1e-3), or write a class of pb.optim.Optimizer with `leaf`",
        ),
    },
    "payback.random": {
        "PRNGKey": "pb.random.key(0)",
        "seed": "pb.random.key(0)",
        "randn": _KEYS + "pb.random.normal(key, (n,))",
        "rand": _KEYS + "pb.random.uniform(key, (n,))",
        "default_rng": "pb.random.key(0)",
        "shuffle": _KEYS + "pb.random.permutation(key, n)",
        "choice": _KEYS + "pb.random.permutation(key, n)[:count]",
        "randint": _KEYS + "np.floor(pb.random.uniform(key, (n,), low=0, high=6)).astype(int)",
        "exponential": _KEYS + "-np.log1p(-pb.random.uniform(key, (n,)))",
        "gumbel": _KEYS + "-np.log(-np.log(pb.random.uniform(key, (n,))))",
        "categorical": _KEYS + "np.argmax(logits - np.log(-np.log(pb.random.uniform(key, logits.shape))), axis=-1)",
        "multivariate_normal": _KEYS + "mean + pb.random.normal(key, (n, d)) @ np.linalg.cholesky(covariance).T",
    },
    "payback.datasets": {
        **{
            name: f'pb.datasets.load("{table}")'
            for table in ("iris", "wine", "digits", "breast_cancer")
            for name in (table, f"load_{table}")
        },
        "make_moons": "pb.datasets.moons()",
        "mnist": 'pb.datasets.load("digits"), the small one that comes with payback',
    },
}


# By what has them elsewhere: methods and attributes.
METHODS: dict[str, dict[str, str]] = {
    "a module": {
        **dict.fromkeys(("predict", "forward", "apply", "call"), "use net(X)"),
        "predict_proba": "use pb.nn.softmax(net(X))",
        **dict.fromkeys(("fit", "train_on_batch"), "use pb.fit(net, X, y), whose `.net` is the trained network"),
        "compile": "give loss and optimizer to pb.fit(net, X, y, loss=…, optimizer=…)",
        "evaluate": "use pb.nn.cross_entropy(net(X), y), or another loss of pb.nn",
        **dict.fromkeys(
            ("parameters", "named_parameters", "params", "state_dict", "get_weights", "weights", "trainable_variables"),
            "use pb.nn.parameters(net)",
        ),
        **dict.fromkeys(
            ("load_state_dict", "set_weights"), "use pb.nn.with_parameters(net, values), or pb.load(folder)"
        ),
        **dict.fromkeys(("save", "save_weights"), "use run.save(folder) of what pb.fit returned"),
        "summary": "write print(pb.nn.summary(net))",
        **dict.fromkeys(
            ("train", "eval"), "leave it out: pb.fit trains a network, and net(X) is what it says without training"
        ),
        "zero_grad": "leave it out: pb.grad(f) returns new gradients each time",
        "requires_grad_": "leave it out: pb.grad(f, argnums=…) says what to differentiate by",
        **dict.fromkeys(("to", "cpu", "cuda"), "leave it out: payback runs on the CPU"),
        **dict.fromkeys(("add", "append"), "write pb.nn.Sequential(*layers), for a module does not change"),
        "init": "leave it out: pb.nn.MLP(sizes, seed=0) has its first weights",
    },
    "a traced value": {
        "detach": "use pb.stop_gradient(x)",
        "numpy": "use x.value of a variable; in a traced function pb.stop_gradient(x)",
        "cpu": "leave it out: payback runs on the CPU",
        "cuda": "leave it out: payback runs on the CPU",
        "requires_grad": "make what varies with pb.variable(x); it is always differentiated",
        "requires_grad_": "make what varies with pb.variable(x); it is always differentiated",
        "zero_grad": "leave it out: backward() replaces gradients, unless accumulate=True",
        "zero_": "leave it out: backward() replaces gradients, unless accumulate=True",
        "at": "write x[i] = value: item assignment is differentiated",
        "unsqueeze": "write x[:, None]",
        "view": "use x.reshape(…)",
        "permute": "use x.transpose(…)",
        "norm": "use np.linalg.norm(x)",
        **{name: f"use np.{name}(x)" for name in ("exp", "log", "sqrt", "tanh", "sin", "cos", "abs", "matmul")},
        **{name: f"use pb.nn.{name}(x)" for name in ("relu", "sigmoid", "softmax")},
    },
    "an optimizer": {
        **dict.fromkeys(
            ("step", "apply_gradients", "minimize", "apply_updates"),
            "use pb.fit(net, X, y, optimizer=…), or in a loop of your own new, state = "
            "optimizer.update(gradient, state, net, rate, step)",
        ),
        "zero_grad": "leave it out: pb.grad(f) returns new gradients each time",
        "param_groups": "give a schedule as the rate: pb.optim.Adam(pb.optim.Cosine(1e-2))",
        **dict.fromkeys(("lr", "learning_rate"), "use optimizer.rate"),
    },
    "a run": {
        **dict.fromkeys(("predict", "model", "best_estimator_"), "use run.net(X)"),
        "evaluate": "use pb.nn.cross_entropy(run.net(X), y), or another loss of pb.nn",
        "params": "use pb.nn.parameters(run.net)",
        **dict.fromkeys(("loss", "losses", "loss_curve_"), 'use run.history["loss"]'),
        "val_losses": 'use run.history["validation_loss"]',
    },
    "a history": {"history": 'write run.history["loss"]: the columns are its own'},
}

# Arguments, by what they are called here: what they are called elsewhere.
SYNONYMS: dict[str, Iterable[str]] = {
    "argnums": ("argnum", "arg", "wrt", "argnames", "sources"),
    "has_aux": ("aux", "return_aux"),
    "batch_size": ("batch", "minibatch_size", "mini_batch_size", "bs"),
    "epochs": (
        "epoch", "n_epochs", "num_epochs", "nb_epoch", "max_epochs", "max_iter", "iterations", "n_iter", "steps",
    ),
    "seed": ("random_state", "random_seed", "rng", "manual_seed", "key"),
    "key": ("seed", "rng", "random_state", "generator"),
    "loss": ("criterion", "loss_fn", "loss_function", "objective", "cost"),
    "optimizer": ("optim", "opt", "solver", "optimiser"),
    "progress": ("verbose", "verbosity", "progress_bar", "enable_progress_bar", "disp"),
    "validation": (
        "validation_split", "validation_data", "validation_fraction", "val_split", "val_data", "eval_set", "valid",
        "validation_size", "test_size",
    ),
    "patience": ("early_stopping", "n_iter_no_change", "early_stopping_rounds", "early_stop"),
    "sample_weight": ("sample_weights", "weights", "weight", "w"),
    "callbacks": ("callback", "hooks", "on_epoch_end"),
    "record": ("log_dir", "logdir", "checkpoint", "save_dir", "default_root_dir"),
    "resume": ("warm_start", "initial_epoch", "ckpt_path", "init_from"),
    "tol": ("tolerance", "ftol", "gtol", "atol", "eps"),
    "rate": ("p", "lr", "learning_rate", "learning_rate_init", "alpha", "eta", "step", "step_size", "schedule"),
    "step": ("lr", "learning_rate", "rate", "alpha", "eta", "step_size"),
    "epsilon": ("eps", "epsilon_root"), "beta1": ("b1", "beta_1"), "beta2": ("b2", "beta_2"),
    "decay": ("rho", "alpha", "smoothing_constant"),
    "momentum": ("mu", "beta"),
    "clip_norm": (
        "clipnorm", "global_clipnorm", "max_norm", "max_grad_norm", "gradient_clip_val", "clip", "clip_grad_norm",
    ),
    "every": ("step_size", "transition_steps", "decay_steps"),
    "factor": ("gamma", "decay_rate"), "final": ("eta_min", "end_value"),
    "count": ("num_embeddings", "input_dim", "vocab_size", "n"),
    "size": (
        "embedding_dim", "output_dim", "features", "dim", "kernel_size", "pool_size", "normalized_shape",
    ),
    "class_weight": ("class_weights", "pos_weight", "scale_pos_weight"),
    "metrics": ("metric", "scoring", "eval_metric"),
    "padding": ("pad", "border_mode"), "stride": ("strides", "subsample"),
    "probability": ("p", "prob"), "dropout": ("dropout_rate", "p", "drop"),
    "n_in": ("in_features", "in_channels", "input_dim", "input_size", "in_dim", "input_shape"),
    "n_out": ("out_features", "out_channels", "filters", "output_dim", "output_size", "units", "features", "out_dim",
              "hidden_size", "hidden_dim"),
    "bias": ("use_bias", "with_bias"),
    "initializer": ("kernel_initializer", "kernel_init", "init", "w_init", "weight_init"),
    "last": ("return_sequences", "return_state"), "reverse": ("go_backwards", "bidirectional"),
    "hidden": ("hidden_layer_sizes", "layers", "hidden_layers", "units"),
    "random_state": ("seed", "rng"),
    "sizes": ("hidden_layer_sizes", "layers", "layer_sizes", "features", "units", "hidden", "output_sizes"),
    "activation": ("act", "nonlinearity", "activation_fn"),
    "axis": ("dim", "axes"), "keepdims": ("keepdim", "keep_dims"),
    "shape": ("size",),
    "low": ("minval", "a"), "high": ("maxval", "b"),
    "delta": ("beta", "huber_delta"),
    "prediction": ("y_pred", "input", "outputs", "predictions"),
    "logits": ("y_pred", "input", "outputs", "predictions", "pred"),
    "target": ("y_true", "targets", "labels", "label", "y"),
    "in_axes": ("in_dims", "in_axis"), "out_axes": ("out_dims", "out_axis"),
    "donate": ("donate_argnums", "donate_argnames"),
    "xs": ("sequences", "elems", "inputs"),
    "init": ("initial", "initializer", "carry", "init_val"),
    "length": ("n", "steps", "n_steps"),
    "max_steps": ("maximum_iterations", "max_iter", "maxiter"),
}  # fmt: skip

# By function: arguments that it has no other name for; "": too many by position.
ARGUMENTS: dict[str, dict[str, str]] = {
    "pb.fit": {
        **dict.fromkeys(
            ("lr", "learning_rate", "rate"), "give it to the optimizer: optimizer=pb.optim.Adam(1e-3)"
        ),
        **dict.fromkeys(("weight_decay", "l2"), "write optimizer=pb.optim.AdamW(1e-3, weight_decay=1e-2)"),
        **dict.fromkeys(("clip_norm", "max_grad_norm", "clip"), "write optimizer=pb.optim.Adam(1e-3, clip_norm=1.0)"),
        **dict.fromkeys(("device", "accelerator", "n_jobs", "threads"), "payback runs on the CPU: pb.set_threads(2)"),
        "scheduler": _RATE,
        **dict.fromkeys(
            ("freeze", "frozen", "trainable", "trainable_params"), "wrap what is not trained: pb.nn.Frozen(layer)"
        ),
        "monitor": "patience watches the validation cost; to end by another number return True from a callback",
        **dict.fromkeys(
            ("l1", "regularizer", "kernel_regularizer"),
            "use pb.optim.AdamW(1e-3, weight_decay=1e-2); other costs of the parameters want a loop of your own",
        ),
        **dict.fromkeys(("steps_per_epoch", "generator", "collate_fn", "drop_last"), _ARRAYS),
    },
    "pb.optim": {
        "params": "give the network to pb.fit(net, X, y, optimizer=…), and the optimizer the rate alone",
        "betas": "write beta1=0.9, beta2=0.999",
        "weight_decay": "use pb.optim.AdamW(1e-3, weight_decay=1e-2)",
        "nesterov": "use pb.optim.Nesterov(0.01)",
        "momentum": "use pb.optim.Momentum(0.01, momentum=0.9)",
        "amsgrad": "leave it out: there is none here",
    },
    "pb.compile": {
        "static_argnames": "write static_argnums=…, which takes positions",
        "backend": "leave it out: machine code is all that there is",
    },
    "pb.hvp": {"": "give one container of them: pb.hvp(lambda at: f(*at), (x, y), (v, w))"},
    "pb.nn.MLP": {"": "give the sizes as one list: pb.nn.MLP([2, 16, 1])"},
    "pb.estimators": {
        "warm_start": "use partial_fit, which goes on from where the network is",
        "early_stopping": "give validation=0.1",
        "tol": "leave it out: patience=20 ends a training",
        "n_jobs": "use pb.set_threads(2)",
        "alpha": "use weight_decay=…, whose scale is another one: 0.1 to 4 are usual",
        "shuffle": "leave it out: rows are taken in another order in each epoch",
        **dict.fromkeys(("momentum", "nesterovs_momentum", "power_t", "beta_1", "beta_2", "epsilon"),
                        "give an optimizer, such as optimizer=pb.optim.Momentum(0.01, momentum=0.9)"),
    },
    "pb.minimize": {"method": "use scipy.optimize.minimize(f, x0, jac=pb.grad(f), method=…)",
                    "jac": "leave it out: pb.minimize differentiates f itself"},
    "pb.cond": dict.fromkeys(
        ("pred", "true_fun", "false_fun", "operand", "true_fn", "false_fn"),
        "write pb.cond(condition, f, g, *operands), by position",
    ),
    "pb.while_loop": dict.fromkeys(("cond_fun", "body_fun", "init_val"), "write pb.while_loop(test, step, init)"),
}  # fmt: skip

# By what is named with a text: names of other libraries.
VALUES: dict[str, dict[str, str]] = {
    "loss": {
        **dict.fromkeys(("mse", "mean_squared_error", "l2", "l2_loss", "mse_loss"), "squared_error"),
        **dict.fromkeys(
            ("categorical_crossentropy", "sparse_categorical_crossentropy", "crossentropy", "nll_loss", "log_loss"),
            "cross_entropy",
        ),
        **dict.fromkeys(("binary_crossentropy", "bce", "bce_with_logits"), "binary_cross_entropy"),
        **dict.fromkeys(("smooth_l1", "smooth_l1_loss", "huber_loss"), "huber"),
        **dict.fromkeys(
            ("mae", "mean_absolute_error", "l1", "l1_loss"), "give a function: lambda y, t: abs(y - t).mean()"
        ),
    },
    "activation": {
        **dict.fromkeys(("linear", "none"), "identity"),
        "logistic": "sigmoid",
        "swish": "silu",
        "leakyrelu": "leaky_relu",
        **dict.fromkeys(
            ("selu", "mish", "hardtanh", "softsign", "softmax"),
            "write it as a function of NumPy among the layers of pb.nn.Sequential",
        ),
    },
    "metric": {"acc": "accuracy", "f1_score": "f1", "roc_auc": "auc", "mean_absolute_error": "mae", "mse": "rmse"},
    "optimizer": {**dict.fromkeys(("sgd", "gradient_descent"), "gd"), "rmsprop_momentum": "rmsprop"},
    "initializer": {
        **dict.fromkeys(("kaiming_normal", "kaiming_normal_", "lecun_normal"), "he_normal"),
        **dict.fromkeys(("kaiming_uniform", "kaiming_uniform_", "lecun_uniform"), "he_uniform"),
        **dict.fromkeys(("xavier_normal", "xavier_normal_"), "glorot_normal"),
        **dict.fromkeys(("xavier_uniform", "xavier_uniform_", "xavier"), "glorot_uniform"),
    },
}  # fmt: skip


def near(name: str, known: Collection[str]) -> str | None:
    """The one of the known names that another is likely to mean, or None."""
    found = difflib.get_close_matches(name, known, 1)
    return found[0] if found else None


def named(what: str, name: Any, known: Collection[str]) -> str | None:
    """What to do where there is no loss (activation, …) of this name."""
    name = name.lower().replace(" ", "_") if isinstance(name, str) else name
    meant = VALUES.get(what, {}).get(name) if isinstance(name, str) else None
    if meant is not None:
        return f"write {meant!r}" if meant in known else meant
    if callable(name):
        return "put the function itself among the layers of pb.nn.Sequential" if what == "activation" else None
    meant = near(str(name), known)
    return f"did you mean {meant!r}?" if meant else None


# Arguments that are needed: what to give.
NEEDED = {"key": "write key=pb.random.key(0)"}


def argument(function: str, name: str, known: Collection[str]) -> str | None:
    """What to do about an argument that a function does not have; known: those that it has."""
    for place in (function, function.rpartition(".")[0]):
        if (told := ARGUMENTS.get(place, {}).get(name)) is not None:
            return told
    meant = next((own for own in known if name in SYNONYMS.get(own, ())), None)
    if meant is not None:
        return NEEDED.get(meant, f"write {meant}=…")
    meant = near(name, known)
    return f"did you mean {meant}=…?" if meant else None


def missing(module: str, name: str, frame: FrameType) -> Exception:
    """The error for a name that `payback`, `payback.nn`, … does not have.  frame: of who asks for it."""
    what = f"module {module!r} has no attribute {name!r}"
    instead = INSTEAD[module].get(name)
    if instead is None:
        return AttributeError(what, name=name, obj=sys.modules[module])  # Python adds: did you mean …?
    fix = instead if instead.startswith(("write", "make", "give")) else f"use {instead}"
    if frame.f_code.co_code[frame.f_lasti] == _IMPORT:  # where Python would hide an AttributeError
        return MissingNameError(f"{name!r} cannot be imported from {module!r}", fix=fix)
    return MissingAttributeError(what, fix=fix)


def missing_method(kind: str, thing: Any, name: str) -> AttributeError:
    """The error for an attribute that a thing of this kind (see `METHODS`) does not have."""
    what = f"{type(thing).__name__!r} object has no attribute {name!r}"
    instead = METHODS[kind].get(name)
    if instead is None:
        return AttributeError(what, name=name, obj=thing)
    return MissingAttributeError(what, fix=instead)


def hook(module: str) -> Any:
    """The `__getattr__` of a module, which Python asks for names that it does not have."""

    def find(name: str) -> Any:
        raise missing(module, name, sys._getframe(1))

    return find
