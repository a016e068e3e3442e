"""Errors of lifted transforms: what each brings in and out, and over which axes."""

import jax
import jax.numpy as jnp

import linen_core as nn
from core.advice.cases import Case
from linen_core import errors

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (3, 2))
SAME = {"split_rngs": {"params": False, "noise": False}}
MAPPED = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}


def model_of(body):
    """A model whose method is `body`."""

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return body(self, x)

    return Model()


def summed(step):
    return lambda module, x: step(module, x).sum()


RUNS = {
    "vmap": lambda step, module, x, **options: nn.vmap(step, **{**SAME, **options})(module, x),
    "scan": lambda step, module, x, **options: nn.scan(
        lambda module, carry, x: (carry, step(module, x)), **{**SAME, **options}
    )(module, 0, x)[1],
    "while_loop": lambda step, module, x, **options: nn.while_loop(
        lambda module, carry: carry[0] < 1,
        lambda module, carry: (carry[0] + 1, step(module, carry[1])),
        module,
        (0, x),
        **{**SAME, **options},
    )[1],
    "jit": lambda step, module, x, **options: nn.jit(step, **options)(module, x),
    "remat": lambda step, module, x, **options: nn.remat(step, **options)(module, x),
    "fold_rngs": lambda step, module, x, **options: nn.fold_rngs(step, **options)(module, x),
    "map_variables": lambda step, module, x, **options: nn.map_variables(
        step, **{"mapped_collections": "other", **options}
    )(module, x),
    "cond": lambda step, module, x, **options: nn.cond(True, step, step, module, x, **options),
    "switch": lambda step, module, x, **options: nn.switch(0, [step], module, x, **options),
    "value_and_grad": lambda step, module, x, **options: nn.value_and_grad(
        summed(step), module, x, **options
    )[0],
    "vjp": lambda step, module, x, **options: nn.vjp(
        step, module, x, **{"vjp_variables": "other", **options}
    )[0],
    "jvp": lambda step, module, x, **options: nn.jvp(
        step, module, (x,), (x,), variable_tangents={}, **options
    )[0],
}


def apply_dense(name, **options):
    """Call a layer inside of a transform; return whether it gives what it gives outside."""
    model = model_of(lambda _, x: RUNS[name](lambda layer, x: layer(x), nn.Dense(2), x, **options))
    variables = {"params": {"Dense_0": nn.Dense(2).init(KEY, X)["params"]}}
    plain = nn.Dense(2).apply({"params": variables["params"]["Dense_0"]}, X)
    expected = plain.sum() if name == "value_and_grad" else plain
    return bool(jnp.allclose(model.apply(variables, X), expected, atol=1e-5))


def read_case(name, argument, without, **options):
    return Case(
        errors.UnliftedCollectionError,
        argument,
        lambda: apply_dense(name, **without),
        lambda: apply_dense(name, **options),
    )


VARIABLES = ("jit", "remat", "fold_rngs", "map_variables", "cond", "switch", "value_and_grad")
READS = [
    *(
        read_case(name, "Name it in variables.", {"variables": "other"}, variables="params")
        for name in (*VARIABLES, "vjp", "jvp")
    ),
    read_case("vmap", "Name it in variable_axes.", {}, variable_axes={"params": None}),
    read_case("scan", "variable_broadcast", {}, variable_broadcast="params"),
    read_case("scan", "or variable_carry.", {}, variable_carry="params"),
    read_case(
        "while_loop", "broadcast_variables.", {"broadcast_variables": False}, broadcast_variables="params"
    ),
    read_case(
        "while_loop", "carry_variables", {"broadcast_variables": False}, carry_variables="params"
    ),
]  # fmt: skip


def count(module, x):
    if module.has_variable("state", "count") and module.is_mutable_collection("state"):
        module.put_variable("state", "count", module.get_variable("state", "count") + 1)
    else:
        module.put_variable("state", "count", jnp.zeros(()))
    return x


def counted(name, start=None, **options):
    """Count inside of a transform; return what is in the state afterwards."""
    model = model_of(lambda module, x: RUNS[name](count, module, x, **options))
    state = {} if start is None else {"state": {"count": start}}
    _, updated = model.apply(state, X, mutable=["state"])
    return updated["state"]["count"].tolist()


def write_case(name, argument, without, expected=1.0, start=None, **options):
    start = jnp.zeros(()) if start is None else start
    return Case(
        errors.UnliftedWriteError,
        argument,
        lambda: counted(name, start, **without),
        lambda: counted(name, start, **options),
        expected,
    )


WRITES = [
    *(
        write_case(name, "Name it in variables.", {"variables": "other"}, variables="state")
        for name in (*VARIABLES, "vjp", "jvp")
        if name != "map_variables"
    ),
    write_case("map_variables", "or in variables.", {"variables": "other"}, variables="state"),
    write_case(
        "map_variables",
        "Name it in mapped_collections with mutable=True",
        {"variables": "other"},
        mapped_collections="state",
        mutable=True,
    ),
    write_case(
        "vmap",
        "Name it in variable_axes.",
        {},
        start=jnp.zeros(3),
        expected=[1.0, 1.0, 1.0],
        variable_axes={"state": 0},
    ),
    write_case("scan", "or variable_carry.", {}, expected=3.0, variable_carry="state"),
    write_case(
        "scan",
        "Name it in variable_axes",
        {},
        start=jnp.zeros(3),
        expected=[1.0, 1.0, 1.0],
        variable_axes={"state": 0},
    ),
    write_case("while_loop", "Name it in carry_variables.", {}, carry_variables="state"),
]


def draw(module, x):
    return x + jax.random.uniform(module.make_rng("noise"))


def drawn(name, streams=("noise",), **options):
    """Draw a key inside of a transform; return how many steps drew the same number."""
    model = model_of(lambda module, x: RUNS[name](draw, module, x, **options))
    noise = model.apply({}, jnp.zeros(3), rngs=dict.fromkeys(streams, KEY))
    return 1 if noise.ndim == 0 else len(set(noise.tolist()))


def key_case(name, advice, without, expected, **options):
    return Case(
        errors.MissingRngSplitError,
        advice,
        lambda: drawn(name, **without),
        lambda: drawn(name, **options),
        expected,
    )


IN_RNGS = ("jit", "remat", "fold_rngs", "cond", "switch", "value_and_grad", "vjp", "jvp")
NO_SPLITS, OWN, SAME_KEYS = ({"split_rngs": s} for s in ({}, {"noise": True}, {"noise": False}))
SPLIT = "Pass split_rngs={'noise': True} for a key per step or index"
KEYS = [
    *(key_case(name, "Name it in rngs.", {"rngs": "other"}, 1, rngs="noise") for name in IN_RNGS),
    key_case("map_variables", "Name it in rngs.", {"rngs": "other"}, 1, rngs="noise"),
    *(key_case(name, SPLIT, NO_SPLITS, 3, **OWN) for name in ("vmap", "scan")),
    *(
        key_case(name, "or False for one key", NO_SPLITS, 1, **SAME_KEYS)
        for name in ("vmap", "scan")
    ),
    key_case("while_loop", SPLIT, NO_SPLITS, 1, **OWN),
    Case(
        errors.MissingRngSplitError,
        "Pass rngs={'noise': jax.random.key(...)} to `apply`, `init` or `bind`. " + SPLIT,
        lambda: drawn("vmap", streams=("params",), **NO_SPLITS),
        lambda: drawn("vmap", streams=("noise",), **OWN),
        3,
    ),
]


def dense(**options):
    """Map a layer over the first axis of X; return the shapes of result and kernel."""
    y, variables = nn.vmap(nn.Dense, **{**MAPPED, **options})(2).init_with_output(KEY, X)
    return y.shape, variables["params"]["kernel"].shape


class Step(nn.Module):
    @nn.compact
    def __call__(self, x, y):
        return nn.Dense(2)(x), y


def scanned(**options):
    """Scan a layer over the first axis of X; return the shape of the results."""
    loop = nn.scan(Step, **{**MAPPED, "length": 3, **options})()
    return loop.init_with_output(KEY, X[0], X)[0][1].shape


def axis_case(run, argument, without, expected, **options):
    return Case(
        errors.TransformAxisError,
        f"Change {argument}.",
        lambda: run(**without),
        lambda: run(**options),
        expected,
    )


AXES = [
    axis_case(dense, "in_axes", {"in_axes": 5}, ((3, 2), (3, 2, 2)), in_axes=0),
    axis_case(dense, "out_axes", {"out_axes": 5}, ((2, 3), (3, 2, 2)), out_axes=1),
    axis_case(
        dense,
        "variable_axes",
        {"variable_axes": {"params": 3}},
        ((3, 2), (2, 3, 2)),
        variable_axes={"params": 1},
    ),
    axis_case(scanned, "in_axes", {"in_axes": 3}, (3, 2), in_axes=0),
    axis_case(scanned, "out_axes", {"out_axes": 3}, (2, 3), out_axes=1),
]


BOXED = nn.with_partitioning(nn.initializers.ones, ("data", None))


def partitioned(transform, **options):
    layer = transform(nn.Dense, **MAPPED, **options)(2, kernel_init=BOXED)
    return nn.get_partition_spec(layer.init(KEY, X))["params"]["kernel"]


class Returns(nn.Module):
    value: bool

    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(2)
        return layer(x) if self.value else layer


def jitted(value):
    return nn.jit(Returns)(value).init_with_output(KEY, X)[0].shape


def stacked(target, *args):
    return nn.scan(target, **MAPPED, length=3)(*args).init_with_output(KEY, X[0], X)[0][0].shape


def constrained(names, rules, mesh_axis="data"):
    mesh = jax.make_mesh((1,), (mesh_axis,), axis_types=(jax.sharding.AxisType.Auto,))
    strict = nn.spmd.RulesFallback.RAISE_ERROR
    with jax.set_mesh(mesh):
        return jax.jit(lambda x: nn.with_logical_constraint(x, names, rules, fallback=strict))(
            X
        ).shape


def jax_jit(layer, x):
    return jax.jit(lambda x: 2 * layer(x))(x)


def linen_jit(layer, x):
    return nn.jit(lambda layer, x: 2 * layer(x))(layer, x)


def jitted_inside(transformed):
    model = model_of(lambda _, x: transformed(nn.Dense(2), x))
    return model.init_with_output(KEY, X)[0].shape


NAMES, RULES = ("batch", "embed"), [("batch", "data"), ("embed", None)]
UNKNOWN = [("batch", "dat"), ("embed", None)]
OTHERS = [
    Case(
        errors.PartitioningUnspecifiedError,
        "Pass metadata_params={nn.PARTITION_NAME: <mesh axis or None>} to the transform",
        lambda: partitioned(nn.vmap),
        lambda: partitioned(nn.vmap, metadata_params={nn.PARTITION_NAME: "model"}),
        jax.P("model", "data", None),
    ),
    Case(
        errors.PartitioningUnspecifiedError,
        "<mesh axis or None>",
        lambda: partitioned(nn.vmap),
        lambda: partitioned(nn.vmap, metadata_params={nn.PARTITION_NAME: None}),
        jax.P(None, "data", None),
    ),
    Case(
        errors.TransformedMethodReturnValueError,
        "Return its value",
        lambda: jitted(value=False),
        lambda: jitted(value=True),
        (3, 2),
    ),
    Case(
        errors.TransformTargetError,
        "For `lambda: Block(...)` pass the class, as in nn.scan(Block, ...), and pass the fields of Block to the class "
        "that nn.scan returns",
        lambda: stacked(lambda: Step(name=None)),
        lambda: stacked(Step),
        (2,),
    ),
    Case(
        errors.UnknownAxisError,
        "Add a rule, with None for an axis that is not sharded",
        lambda: constrained(NAMES, RULES[:1]),
        lambda: constrained(NAMES, RULES),
        (3, 2),
    ),
    *(
        Case(
            errors.UnknownMeshAxisError,
            "Change the rules, the names or the mesh",
            lambda: constrained(NAMES, UNKNOWN),
            right,
            (3, 2),
        )
        for right in (
            lambda: constrained(NAMES, RULES),
            lambda: constrained(("embed", "embed2"), [*UNKNOWN, ("embed2", "data")]),
            lambda: constrained(NAMES, UNKNOWN, mesh_axis="dat"),
        )
    ),
    Case(
        errors.TracedWriteError,
        "Replace a plain JAX transform by the one of linen_core",
        lambda: jitted_inside(jax_jit),
        lambda: jitted_inside(linen_jit),
        (3, 2),
    ),
]

CASES = [*READS, *WRITES, *KEYS, *AXES, *OTHERS]
