"""Errors of variables, RNG streams and runs."""

import jax
import jax.numpy as jnp

import linen_core as nn
from core.advice.cases import Case
from linen_core import errors

KEY = jax.random.key(0)
X = jnp.ones((1, 2))
DENSE = nn.Dense(3)
VARIABLES = DENSE.init(KEY, X)
KERNEL_ONLY = {"params": {"kernel": VARIABLES["params"]["kernel"]}}
DROPOUT = nn.Dropout(0.5, deterministic=False)
NORM = nn.BatchNorm(use_running_average=False)
NORM_VARIABLES = NORM.init(KEY, X)


def made_by_apply():
    _, made = Counter().apply({"state": {"other": 1}}, X, mutable=["state"])
    return float(made["state"]["count"])


class Counter(nn.Module):
    has_initializer: bool = True

    @nn.compact
    def __call__(self, x):
        init = (lambda: jnp.zeros(())) if self.has_initializer else None
        count = self.variable("state", "count", init)
        if self.is_mutable_collection("state"):
            count.value += 1
        return count.value


def kept_mutable(mutable):
    _, kept = Counter().apply({"state": {"count": 1}}, X, mutable=mutable)
    return kept


def dense_of(variables, **options):
    result = DENSE.apply(variables, X, **options)
    return (result[0] if isinstance(result, tuple) else result).shape


class FromInput(nn.Module):
    @nn.compact
    def __call__(self, x):
        return self.param("first", lambda key: x + 1)


def draw(**options):
    return DROPOUT.bind({}, **options)(X).shape


class Noisy(nn.Module):
    def __call__(self, x):
        return x + jax.random.uniform(self.make_rng("noise")), self


def use_after_apply():
    _, module = Noisy().apply({}, X, rngs={"noise": KEY})
    return module(X)


class Nested(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


NESTED = Nested().init(KEY, X)


def moved_mean(mutable):
    result = NORM.apply(NORM_VARIABLES, 3 * X, mutable=mutable)
    return [round(float(mean), 3) for mean in result[1]["batch_stats"]["mean"]]


def moved_mean_of_bound(**options):
    bound = NORM.bind(NORM_VARIABLES, **options)
    bound(3 * X)
    return [round(float(mean), 3) for mean in bound.variables["batch_stats"]["mean"]]


CASES = [
    Case(
        errors.InvalidFilterError,
        "expected a bool, a name, a collection of names or a DenyList",
        lambda: kept_mutable(3),
        lambda: [kept_mutable(good) for good in (True, "state", ["state"], nn.DenyList("params"))],
        4 * [{"state": {"count": 2}}],
    ),
    Case(
        errors.InvalidRngError,
        "Pass rngs={'dropout': jax.random.key(...)} to `apply`",
        lambda: DROPOUT.apply({}, X),
        lambda: DROPOUT.apply({}, X, rngs={"dropout": KEY}).shape,
        (1, 2),
    ),
    Case(
        errors.InvalidRngError,
        "Pass rngs={'dropout': jax.random.key(...)} to `apply`, `init` or `bind`",
        draw,
        lambda: draw(rngs={"dropout": KEY}),
        (1, 2),
    ),
    Case(
        errors.InvalidRngError,
        "Dense expects a key, or a dict of names of streams to keys",
        lambda: DENSE.init("params", X),
        lambda: [sorted(DENSE.init(good, X)) for good in (KEY, {"params": KEY})],
        [["params"], ["params"]],
    ),
    Case(
        errors.InvalidRngError,
        "Expected rngs to map names of streams to keys",
        lambda: DROPOUT.bind({}, rngs=KEY),
        lambda: draw(rngs={"dropout": KEY}),
        (1, 2),
    ),
    Case(
        errors.LazyInitError,
        "Pass that argument as an array",
        lambda: FromInput().lazy_init(KEY, jax.ShapeDtypeStruct((), jnp.float32)),
        lambda: float(FromInput().lazy_init(KEY, jnp.ones(()))["params"]["first"]),
        2.0,
    ),
    Case(
        errors.ApplyScopeInvalidVariablesTypeError,
        "expected a dict of collections, each a dict with string keys, such as {'params': {...}}",
        lambda: dense_of((VARIABLES, {})),
        lambda: dense_of(VARIABLES),
        (1, 3),
    ),
    Case(
        errors.ApplyScopeInvalidVariablesTypeError,
        "each a dict with string keys",
        lambda: dense_of({"params": {0: VARIABLES["params"]}}),
        lambda: dense_of({"params": VARIABLES["params"]}),
        (1, 3),
    ),
    Case(
        errors.ApplyScopeInvalidVariablesTypeError,
        "found an array as collection 'kernel'. Parameters alone are passed as {'params': parameters}.",
        lambda: dense_of(VARIABLES["params"]),
        lambda: dense_of({"params": VARIABLES["params"]}),
        (1, 3),
    ),
    Case(
        errors.ApplyScopeInvalidVariablesStructureError,
        "Pass the inner dict, variables['params']",
        lambda: dense_of({"params": VARIABLES}),
        lambda: dense_of({"params": VARIABLES}["params"]),
        (1, 3),
    ),
    Case(
        errors.ScopeParamNotFoundError,
        "Parameters are created by `init`",
        lambda: dense_of(KERNEL_ONLY),
        lambda: dense_of(DENSE.init(KEY, X)),
        (1, 3),
    ),
    Case(
        errors.ScopeParamNotFoundError,
        "or by `apply` with mutable=['params'] and rngs={'params': jax.random.key(...)}",
        lambda: dense_of(KERNEL_ONLY),
        lambda: dense_of(KERNEL_ONLY, mutable=["params"], rngs={"params": KEY}),
        (1, 3),
    ),
    Case(
        errors.ScopeParamNotFoundError,
        "Did you mean 'kernl'?",
        lambda: dense_of({"params": {"kernl": VARIABLES["params"]["kernel"]}}),
        lambda: dense_of(VARIABLES),
        (1, 3),
    ),
    Case(
        errors.ScopeVariableNotFoundError,
        "To create it in `apply`, give it an initializer and pass mutable=['state']",
        lambda: Counter(has_initializer=False).apply({"state": {"other": 1}}, X),
        made_by_apply,
        1.0,
    ),
    Case(
        errors.ScopeCollectionNotFound,
        "Pass it",
        lambda: NORM.apply({"params": NORM_VARIABLES["params"]}, X),
        lambda: moved_mean(["batch_stats"]),
        [0.03, 0.03],
    ),
    Case(
        errors.ScopeCollectionNotFound,
        "or let `apply` create it with mutable=['batch_stats'].",
        lambda: NORM.apply({"params": NORM_VARIABLES["params"]}, X),
        lambda: sorted(
            NORM.apply({"params": NORM_VARIABLES["params"]}, X, mutable=["batch_stats"])[1]
        ),
        ["batch_stats"],
    ),
    Case(
        errors.ScopeCollectionNotFound,
        "or let `apply` create it with mutable=['params'] and rngs={'params': jax.random.key(...)}.",
        lambda: dense_of({}),
        lambda: dense_of({}, mutable=["params"], rngs={"params": KEY}),
        (1, 3),
    ),
    Case(
        errors.ScopeCollectionNotFound,
        "Did you mean 'parms'?",
        lambda: dense_of({"parms": VARIABLES["params"]}),
        lambda: dense_of({"params": VARIABLES["params"]}),
        (1, 3),
    ),
    Case(
        errors.ScopeCollectionNotFound,
        "Pass {'params': variables}",
        lambda: Nested().apply(NESTED["params"], X),
        lambda: Nested().apply({"params": NESTED["params"]}, X).shape,
        (1, 3),
    ),
    Case(
        errors.ScopeCollectionNotFound,
        "Pass the variables that `init` returned",
        lambda: dense_of({"params": {}}),
        lambda: dense_of(DENSE.init(KEY, X)),
        (1, 3),
    ),
    Case(
        errors.ScopeParamShapeError,
        "Check the shape of the input",
        lambda: DENSE.apply(VARIABLES, jnp.ones((1, 5))),
        lambda: DENSE.apply(VARIABLES, jnp.ones((1, 2))).shape,
        (1, 3),
    ),
    Case(
        errors.ScopeParamShapeError,
        "and the module's features against those that the variables were created with",
        lambda: nn.Dense(4).apply(VARIABLES, X),
        lambda: nn.Dense(3).apply(VARIABLES, X).shape,
        (1, 3),
    ),
    Case(
        errors.InvalidScopeError,
        "Use `module.bind(variables)` for a module that stays usable",
        use_after_apply,
        lambda: Noisy().bind({}, rngs={"noise": KEY})(X)[0].shape,
        (1, 2),
    ),
    Case(
        errors.ModifyScopeVariableError,
        "Pass mutable=['batch_stats'] to `apply` and use the updated variables that it returns",
        lambda: moved_mean(False),
        lambda: moved_mean(["batch_stats"]),
        [0.03, 0.03],
    ),
    Case(
        errors.ModifyScopeVariableError,
        "or pass it to `bind` and read them from the bound module",
        moved_mean_of_bound,
        lambda: moved_mean_of_bound(mutable=["batch_stats"]),
        [0.03, 0.03],
    ),
]
