"""Errors and warnings of Python's own classes, where no program needs to tell them apart.

Warnings are errors in tests, so a warning is followed like an error.
"""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

import linen_core as nn
from core.advice.cases import Case

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (3, 2))


def model_of(body):
    """A model whose method is `body`."""

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return body(self, x)

    return Model()


def shape_of(body, **options):
    return model_of(body).init_with_output(KEY, X, **options)[0].shape


def gradient(fn):
    return shape_of(lambda module, x: nn.grad(fn, module, x)[0])


def total_over_devices(**options):
    def body(module, x):
        return nn.value_and_grad(lambda m, x: jax.lax.psum(x, "i"), module, x, **options)[0]

    return jax.vmap(lambda x: model_of(body).apply({}, x), axis_name="i")(X[:, 0]).shape


def last_of_scan(**options):
    def step(module, carry, x):
        return carry, (x if options.get("out_axes") == 0 else carry)

    return shape_of(lambda module, x: nn.scan(step, **options)(module, x[0], x)[1])


def leave_out(**options):
    class Step(nn.Module):
        @nn.compact
        def __call__(self, carry, x):
            return nn.Dense(2)(carry), x

    split = {"split_rngs": {"params": False}}
    return shape_of(lambda _, x: nn.scan(Step, **split, **options)()(x[0], x)[0])


class Flagged(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return x + 1 if train else x


class Wraps(nn.Module):
    inner: nn.Module | None = None

    @nn.compact
    def __call__(self, x):
        inner = nn.Dense(2, name="made") if self.inner is None else self.inner
        return inner(x)


def pushed_forward(inner):
    def body(module, x):
        layer = Wraps(inner() if inner else None)
        return nn.jvp(lambda m, x: m(x), layer, (x,), (x,), variable_tangents={})[1]

    return shape_of(body)


def pulled_back(layer_of, **options):
    def body(module, x):
        return nn.vjp(lambda m, x: m(x), layer_of(), x, **options)[0]

    return shape_of(body)


def scaled(module, x, scale=1.0):
    return scale * x


def looped_with(*args, **kwargs):
    loop = nn.vmap(scaled, in_axes=(0, *(None for _ in args)))
    return float(
        model_of(lambda module, x: loop(module, x, *args, **kwargs)).apply({}, X)[0, 0] / X[0, 0]
    )


class Scales(nn.Module):
    factors: object

    @nn.compact
    def __call__(self, x):
        return x * self.factors[0]


class Opaque:
    __hash__ = None


def common_axis(x, y):
    pair = nn.vmap(lambda module, x, y: x + y, in_axes=(0, 0))
    return model_of(lambda module, _: pair(module, x, y)).apply({}, X).shape


def repeated(**options):
    draw = nn.vmap(
        lambda module: jax.random.uniform(module.make_rng("noise")),
        split_rngs={"noise": True},
        **options,
    )
    return model_of(lambda module, x: draw(module)).apply({}, X, rngs={"noise": KEY}).shape


def heads(**kwargs):
    layer = nn.MultiHeadDotProductAttention(num_heads=2)
    x = jnp.ones((1, 4, 4))
    return layer.init_with_output(KEY, x, **kwargs)[0].shape


def names_of(layer):
    return sorted(layer.init(KEY, jnp.ones((1, 3, 4)))["params"])


class HasDict(nn.Module):
    sizes: dict

    def __call__(self, copies):
        sizes = dict(self.sizes) if copies else self.sizes
        sizes["a"] = 3
        return sizes["a"]


class HasMethods(nn.Module):
    size: int = 3

    def double(self, x):
        return 2 * x


class MakesLate(nn.Module):
    def __call__(self, x):
        return self.make()

    def make(self):
        return self.param("w", nn.initializers.ones, ())


class MakesInSetup(nn.Module):
    def setup(self):
        self.w = self.param("w", nn.initializers.ones, ())

    def __call__(self, x):
        return self.w


class Perturbed(nn.Module):
    @nn.compact
    def __call__(self, x):
        return self.perturb("hidden", x)


class NameScoped(nn.Module):
    @nn.compact_name_scope
    def encode(self, x):
        return 2 * x

    def __call__(self, x):
        return self.encode(x)


def attribute_of_bound():
    return float(MakesInSetup().bind({"params": {"w": jnp.ones(())}}).w)


def static(layer):
    return jax.jit(lambda layer, x: layer.apply({}, x), static_argnums=0)(layer, X).shape


def with_axes(**options):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.partitioning.param_with_axes("w", nn.initializers.ones, (2,), axes=("a",))

    return Model().init(KEY, X, **options)["params"]["w"].shape


def constrained(names, rules):
    return str(nn.logical_to_mesh_axes(names, rules))


TRANSFORMS = [
    Case(
        ValueError,
        "Reduce it, for example with jnp.sum",
        lambda: gradient(lambda module, x: x),
        lambda: gradient(lambda module, x: jnp.sum(x)),
        (3, 2),
    ),
    Case(
        NotImplementedError,
        "Reduce with jax.lax.psum instead",
        lambda: total_over_devices(reduce_axes=("i",)),
        total_over_devices,
        (3,),
    ),
    Case(
        ValueError,
        "Broadcast outputs need check_constancy_invariants=True",
        lambda: last_of_scan(out_axes=nn.broadcast, check_constancy_invariants=False),
        lambda: last_of_scan(out_axes=0, check_constancy_invariants=False),
        (3, 2),
    ),
    Case(
        ValueError,
        "The broadcast output of /scan(), float32[2], depends on the step of the scan, but it must be the same in all "
        "steps. Give it an axis in out_axes.",
        lambda: last_of_scan(out_axes=nn.broadcast),
        lambda: last_of_scan(out_axes=0),
        (3, 2),
    ),
    Case(
        AssertionError,
        "Use variable_broadcast for None",
        lambda: leave_out(variable_axes={"params": None}),
        lambda: leave_out(variable_broadcast="params"),
        (2,),
    ),
    Case(
        NotImplementedError,
        "Name arguments that are not arrays in `static_argnums`",
        lambda: nn.remat(Flagged, concrete=True)().apply({}, X, True).shape,
        lambda: nn.remat(Flagged, static_argnums=(2,))().apply({}, X, True).shape,
        (3, 2),
    ),
    Case(
        NotImplementedError,
        "Create the submodules in `setup` or in a compact method of the module",
        lambda: pushed_forward(lambda: nn.Dense(2)),
        lambda: pushed_forward(None),
        (3, 2),
    ),
    Case(
        NotImplementedError,
        "pass multi_scope=True",
        lambda: pulled_back(lambda: Wraps(nn.Dense(2)), multi_scope=False),
        lambda: pulled_back(lambda: Wraps(nn.Dense(2)), multi_scope=True),
        (3, 2),
    ),
    Case(
        ValueError,
        "`methods` must be None, a list or tuple of names, or a dict by name",
        lambda: nn.vmap(HasMethods, methods="double"),
        lambda: nn.vmap(HasMethods, methods=["double"])().apply({}, X, method="double").shape,
        (3, 2),
    ),
    Case(
        ValueError,
        "expected a method, or another function of a module",
        lambda: shape_of(lambda module, x: nn.cond(True, nn.Dense, nn.Dense, module, x)),
        lambda: shape_of(
            lambda module, x: nn.cond(True, HasMethods.double, scaled, HasMethods(), x)
        ),
        (3, 2),
    ),
    Case(
        RuntimeWarning,
        "Pass it by position",
        lambda: looped_with(scale=3.0),
        lambda: round(looped_with(3.0), 5),
        3.0,
    ),
    Case(
        ValueError,
        "Use hashable values in the fields of a jitted module",
        lambda: nn.jit(Scales)([Opaque()]).apply({}, X),
        lambda: nn.jit(Scales)((1.0,)).apply({}, X).shape,
        (3, 2),
    ),
    Case(
        ValueError,
        "Check in_axes and variable_axes",
        lambda: common_axis(X, X[:2]),
        lambda: common_axis(X[:2], X[:2]),
        (2, 2),
    ),
    Case(
        ValueError,
        "determines the size of the axis. Pass axis_size",
        repeated,
        lambda: repeated(axis_size=4),
        (4,),
    ),
]
LAYERS = [
    Case(
        DeprecationWarning,
        "pass `inputs_k` instead",
        lambda: heads(inputs_kv=jnp.ones((1, 3, 4))),
        lambda: heads(inputs_k=jnp.ones((1, 3, 4))),
        (1, 4, 4),
    ),
    Case(
        DeprecationWarning,
        "Pass a mask as `mask=`",
        lambda: heads(inputs_k=jnp.ones((1, 4, 4)), inputs_v=jnp.ones((1, 4, 4))),
        lambda: heads(inputs_k=jnp.ones((1, 4, 4)), mask=jnp.ones((1, 4, 4))),
        (1, 4, 4),
    ),
    Case(
        DeprecationWarning,
        "call MultiHeadDotProductAttention with one input",
        lambda: names_of(nn.SelfAttention(num_heads=2)),
        lambda: names_of(nn.MultiHeadDotProductAttention(num_heads=2)),
        ["key", "out", "query", "value"],
    ),
    Case(
        DeprecationWarning,
        "use Fp8DirectDotGeneralOp or Fp8Einsum",
        lambda: names_of(nn.Dense(2, dot_general_cls=nn.Fp8DotGeneralOp)),
        lambda: names_of(nn.Dense(2, dot_general_cls=nn.Fp8DirectDotGeneralOp)),
        ["bias", "kernel"],
    ),
    Case(
        ValueError,
        "Give it once",
        lambda: nn.Dropout(0.5).apply({}, X),
        lambda: [
            layer.apply({}, X, *args).shape
            for layer, args in (
                (nn.Dropout(0.5, deterministic=True), ()),
                (nn.Dropout(0.5), (True,)),
            )
        ],
        2 * [(3, 2)],
    ),
]
MODULES = [
    Case(
        ValueError,
        "The parent of a module must be a module, a scope or None",
        lambda: nn.Dense(2, parent=3),
        lambda: nn.Dense(2, parent=None).features,
        2,
    ),
    Case(
        ValueError,
        "Make a changed copy with `dict(...)`",
        lambda: HasDict({"a": 1}).apply({}, False),
        lambda: HasDict({"a": 1}).apply({}, True),
        3,
    ),
    Case(
        TypeError,
        "Pass the name of a method, or a function whose first argument is the module",
        lambda: HasMethods().apply({}, 1, method="size"),
        lambda: [HasMethods().apply({}, 1, method=way) for way in ("double", HasMethods.double)],
        [2, 2],
    ),
    Case(
        ValueError,
        "Use `init`, `apply` or `bind`",
        lambda: nn.Dense(2).get_variable("params", "bias"),
        lambda: nn.Dense(2).bind({"params": {"bias": 3}}).get_variable("params", "bias"),
        3,
    ),
    Case(
        ValueError,
        "variables are made in `setup` or in a method wrapped in `@nn.compact`",
        lambda: MakesLate().init(KEY, X),
        lambda: [sorted(layer.init(KEY, X)["params"]) for layer in (MakesInSetup(), nn.RMSNorm())],
        [["w"], ["scale"]],
    ),
    Case(
        ValueError,
        "Pass the collection that `init` returned",
        lambda: Perturbed().apply({"perturbations": {}}, X),
        lambda: Perturbed().apply(Perturbed().init(KEY, X), X).shape,
        (3, 2),
    ),
    Case(
        TypeError,
        "Use tuples instead of lists",
        lambda: hash(Scales([2.0])),
        lambda: static(Scales((2.0,))),
        (3, 2),
    ),
    Case(
        TypeError,
        "Hash the unbound module",
        lambda: hash(nn.Dense(2).bind({})),
        lambda: hash(nn.Dense(2).bind({}).unbind()[0]) == hash(nn.Dense(2)),
    ),
    Case(
        TypeError,
        "in place of a JAX transform of a bound module use the one of linen_core (nn.jit, nn.vmap, ...)",
        lambda: shape_of(lambda module, x: jax.jit(nn.Dense(2))(x)),
        lambda: shape_of(lambda module, x: nn.jit(nn.Dense)(2)(x)),
        (3, 2),
    ),
    Case(
        AttributeError,
        "it exists only in `init` and `apply`, or after `bind`",
        lambda: MakesInSetup().w,
        attribute_of_bound,
        1.0,
    ),
    Case(
        ValueError,
        "Use it inside `init` or `apply`, or after `bind`",
        lambda: NameScoped().encode(X),
        lambda: (NameScoped().init(KEY, X) == {}, NameScoped().bind({}).encode(X).shape),
        (True, (3, 2)),
    ),
    Case(
        TypeError,
        "default_store expects a function of a nested dict, or None",
        lambda: nn.default_store(3),
        lambda: nn.default_store(None) is not None,
    ),
]
SPMD = [
    Case(
        AssertionError,
        "call this inside a method of a module",
        lambda: nn.partitioning.param_with_axes("w", nn.initializers.ones, (2,), axes=("a",)),
        with_axes,
        (2,),
    ),
    Case(
        ValueError,
        "Give each axis a different name",
        lambda: constrained(("a", "a"), [("a", "data")]),
        lambda: constrained(("a", "b"), [("a", "data")]),
        str(PartitionSpec("data", None)),
    ),
    Case(
        ValueError,
        "Axis rules must be a list or tuple of pairs (logical axis, mesh axis)",
        lambda: constrained(("a",), {"a": "data"}),
        lambda: constrained(("a",), [("a", "data")]),
        str(PartitionSpec("data")),
    ),
]

CASES = [*TRANSFORMS, *LAYERS, *MODULES, *SPMD]
