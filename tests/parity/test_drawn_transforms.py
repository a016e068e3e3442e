"""Arguments of lifted transforms drawn at random: the same trees, numbers and errors on linen_core and flax.linen.

Most draws compare names, shapes, dtypes and errors of an abstract run, which costs no compilation; a few compare
numbers.
"""

import functools
import zlib

import flax.linen as fnn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp

import linen_core as nn
from parity import _compare as compare
from parity._transforms import MUTABLE, block

X = jnp.linspace(-1, 1, 18).reshape(3, 3, 2)
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
SPLITS = st.dictionaries(st.sampled_from(["params", "dropout"]), st.booleans())
FILTERS = st.sampled_from([True, True, "params", ["params", "batch_stats"], False])
METHODS = st.sampled_from([None, None, ["__call__"], ("double",), {"double": {}}, "double"])


def layer(lib):
    """A `block` of two features with another method."""

    class Layer(block(lib)):
        features: int = 2

        def double(self, x, _=None):
            return 2 * self(x, _)[0]

    return Layer


def compare_models(build, *args, numbers=False, may_work=None):
    """Compare `init` and `apply` of ``build(library)``: abstractly, or with their numbers."""

    def run(lib):
        model = build(lib)
        variables = (model.init if numbers else functools.partial(jax.eval_shape, model.init))(
            KEYS, *args
        )

        def apply(variables):
            return model.apply(variables, *args, rngs=KEYS, mutable=MUTABLE)

        result = (apply if numbers else functools.partial(jax.eval_shape, apply))(variables)
        kept = variables, result
        if numbers:
            return compare.plain(kept)
        return jax.tree.map(lambda leaf: f"{leaf.dtype}{leaf.shape}", compare.plain(kept))

    compare.assert_same_outcome(lambda: run(nn), lambda: run(fnn), may_work=may_work)


def outer(lib, inside):
    """A model that calls ``inside(module, *args)``."""

    class Outer(lib.Module):
        @lib.compact
        def __call__(self, *args):
            return inside(self, *args)

    return Outer()


def few(*facts):
    """Choose a twentieth of the draws, always the same, to be compared by their numbers."""
    return zlib.crc32(repr(facts).encode()) % 20 == 0


def axes(lib, drawn):
    """Replace "in" and "out" in drawn axes by what the library has for them."""
    made = {
        "in": lib.transforms.lift.In(0) if lib is fnn else lib.transforms.In(0),
        "out": lib.transforms.lift.Out(0) if lib is fnn else lib.transforms.Out(0),
    }
    return {name: made.get(axis, axis) for name, axis in drawn.items()}


AXES = st.sampled_from([0, 0, 1, -1, None, 4, "in", "out"])
COLLECTIONS = st.sampled_from(["params", "batch_stats", "intermediates"])


@compare.parity_settings()
@hypothesis.given(
    variable_axes=st.dictionaries(COLLECTIONS, AXES),
    split_rngs=SPLITS,
    in_axes=st.sampled_from([0, 0, 1, -1, None, (0,), (1, None), 5]),
    out_axes=st.sampled_from([0, 0, 1, (0, None), (-1, 0), 4]),
    axis_size=st.sampled_from([None, None, 3, 2]),
    axis_name=st.sampled_from([None, "batch"]),
    methods=METHODS,
)
def test_vmap(variable_axes, split_rngs, in_axes, out_axes, **options):
    def inside(lib, module, x):
        mapped = lib.vmap(
            layer(lib),
            variable_axes=axes(lib, variable_axes),
            split_rngs=split_rngs,
            in_axes=in_axes,
            out_axes=out_axes,
            **options,
        )(axis=options["axis_name"])
        return mapped(x) if options["methods"] in (None, ["__call__"]) else mapped.double(x)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X,
        numbers=few(variable_axes, split_rngs, in_axes, out_axes, options),
    )


PLACES = st.fixed_dictionaries(
    {
        name: st.sampled_from(["scanned", "scanned", "broadcast", "carried", "nowhere"])
        for name in ("params", "batch_stats", "intermediates")
    }
)


@compare.parity_settings(share=2)
@hypothesis.given(
    places=PLACES,
    axis=st.sampled_from([0, 0, 1, -1, 3]),
    split_rngs=SPLITS,
    in_axes=st.sampled_from([0, 0, 1, -1, "broadcast", 4]),
    out_axes=st.sampled_from([0, 0, 1, -1, "broadcast"]),
    length=st.sampled_from([None, 3, 3, 2]),
    reverse=st.booleans(),
    unroll=st.sampled_from([1, 2, True]),
    scales=st.booleans(),
    split_transpose=st.booleans(),
    check=st.sampled_from([True, True, False]),
)
def test_scan(places, axis, in_axes, out_axes, scales, split_transpose, check, **options):
    if (
        options["length"] == 2
    ):  # one mistake at a time: the two libraries look for them in other orders
        options["split_rngs"] = {"params": True, "dropout": True}

    def scale(groups, rngs):
        return jax.tree.map(lambda leaf: leaf * 1, groups), rngs

    chosen = {
        kind: [name for name, place in places.items() if place == kind] or False
        for kind in ("scanned", "broadcast", "carried")
    }

    def inside(lib, module, carry, xs):
        looped = lib.scan(
            layer(lib),
            variable_axes=dict.fromkeys(chosen["scanned"] or [], axis),
            variable_broadcast=chosen["broadcast"],
            variable_carry=chosen["carried"],
            in_axes=lib.broadcast if in_axes == "broadcast" else in_axes,
            out_axes=lib.broadcast if out_axes == "broadcast" else out_axes,
            data_transform=scale if scales else None,
            _split_transpose=split_transpose,
            check_constancy_invariants=check,
            **options,
        )
        return looped()(carry, xs)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X[0],
        X,
        numbers=few(places, axis, in_axes, out_axes, options),
    )


@compare.parity_settings(share=2)
@hypothesis.given(
    variables=FILTERS,
    rngs=st.sampled_from([True, True, "params", ["dropout"]]),
    concrete=st.sampled_from([False, False, False, True]),
    prevent_cse=st.booleans(),
    policy=st.sampled_from([None, "dots_saveable", "everything_saveable"]),
    methods=METHODS,
    static=st.sampled_from([(), 2, (2,)]),
)
def test_remat(policy, static, methods, **options):
    policy = policy and getattr(jax.checkpoint_policies, policy)

    def inside(lib, module, x):
        rematted = lib.remat(
            layer(lib), policy=policy, methods=methods, static_argnums=static, **options
        )
        made = rematted()
        return made(x, "static" if static else None) if methods is None else made.double(x)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X[0],
        numbers=few(policy, static, methods, options),
        may_work="static_argnums",  # an argument that the call leaves out
    )


@compare.parity_settings(share=2)
@hypothesis.given(
    variables=FILTERS,
    rngs=st.sampled_from([True, True, "params", ["dropout"]]),
    static_argnums=st.sampled_from([(), 2, (2,), (0, 2)]),
    static_argnames=st.sampled_from([(), "_", ("_",)]),
    donate_argnums=st.sampled_from([(), (1,)]),
    backend=st.sampled_from([None, None, "cpu"]),
    device=st.sampled_from([None, None, None, "cpu"]),
    methods=METHODS,
)
def test_jit(static_argnums, static_argnames, methods, **options):
    options["device"] = options["device"] and jax.devices()[0]

    def inside(lib, module, x):
        jitted = lib.jit(
            layer(lib),
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            methods=methods,
            **options,
        )()
        if methods not in (None, ["__call__"]):
            return jitted.double(x)
        if static_argnames:
            return jitted(x, _="static")
        return jitted(x, "static" if static_argnums else None)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X[0],
        numbers=few(static_argnums, static_argnames, methods, options),
    )


@compare.parity_settings(share=2)
@hypothesis.given(
    mapped=st.sampled_from(["params", ["params", "batch_stats"], True, "nothing"]),
    init=st.booleans(),
    mutable=st.booleans(),
    rngs=st.sampled_from([True, True, "params"]),
    variables=st.sampled_from([True, True, "params", "intermediates"]),
)
def test_map_variables(mapped, **options):
    def change(variables):
        return jax.tree.map(lambda leaf: leaf.T + 1, variables)

    def undo(variables):
        return jax.tree.map(lambda leaf: (leaf - 1).T, variables)

    def inside(lib, module, x):
        return lib.map_variables(layer(lib), mapped, change, undo, **options)()(x)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X[0],
        numbers=few(mapped, options),
    )


@compare.parity_settings(share=2)
@hypothesis.given(
    kind=st.sampled_from(["vjp", "grad", "value_and_grad", "jvp", "cond", "switch", "fold_rngs"]),
    variables=st.sampled_from([True, True, "params", ["params", "batch_stats"]]),
    rngs=st.sampled_from([True, True, "params", "dropout"]),
    flag=st.booleans(),
    vjp_variables=st.sampled_from(["params", "batch_stats", False, True]),
)
def test_derivatives_and_branches(kind, variables, rngs, flag, vjp_variables):
    filters = {"variables": variables, "rngs": rngs}

    def call(module, x):
        y, total = module(x)
        return (y.sum(), total) if flag else y.sum()

    def inside(lib, module, x):
        inner = layer(lib)()
        if kind == "fold_rngs":
            return lib.fold_rngs(layer(lib), **filters)()(x)
        if kind == "vjp":
            y, pull_back, *aux = lib.vjp(
                call, inner, x, has_aux=flag, vjp_variables=vjp_variables, **filters
            )
            return y, pull_back(jnp.ones_like(y)), aux
        if kind in ("grad", "value_and_grad"):
            return getattr(lib, kind)(call, inner, x, has_aux=flag, **filters)
        inner(x)
        if kind == "jvp":
            params = jax.tree.map(jnp.ones_like, dict(inner.variables["params"]))
            tangents = {"params": params} if vjp_variables else {}
            return lib.jvp(call, inner, (x,), (x,), tangents, **filters)
        branches = [call, lambda module, x: jax.tree.map(lambda y: 2 * y, call(module, x))]
        if kind == "cond":
            return lib.cond(x.sum() > 0, *branches, inner, x, **filters)
        return lib.switch(1, branches, inner, x, **filters)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X[0],
        numbers=few(kind, filters, flag, vjp_variables),
    )


@compare.parity_settings(share=3)
@hypothesis.given(
    carry=st.sampled_from(["state", False, ["state", "params"], True]),
    broadcast=st.sampled_from([True, "params", False]),
    split_rngs=SPLITS,
    draws=st.booleans(),
)
def test_while_loop(carry, broadcast, split_rngs, draws):
    def goes_on(module, value):
        return module.get_variable("state", "count", jnp.int32(3)) + value[0] < 3

    def body(module, value):
        step, x = value
        count = module.get_variable("state", "count")
        module.put_variable("state", "count", count + 1)
        x = x * module.get_variable("params", "w")
        if draws:
            x += jax.random.normal(module.make_rng("dropout"), x.shape)
        return step + 1, x

    def inside(lib, module, x):
        module.variable("state", "count", lambda: jnp.int32(0))
        module.param("w", lib.initializers.ones, (2,))
        options = {"carry_variables": carry, "broadcast_variables": broadcast}
        return lib.while_loop(goes_on, body, module, (0, x), **options, split_rngs=split_rngs)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X[0],
        numbers=few(carry, broadcast, split_rngs, draws),
        may_work="carry output must have the same pytree structure",  # immutable collections
    )


@compare.parity_settings(share=3)
@hypothesis.given(
    lengths=st.sampled_from([(2,), (2, 2), [3], (), None]),
    policy=st.sampled_from([None, "dots_saveable"]),
    places=st.sampled_from(["axes", "broadcast", "carry", "default"]),
    axis=st.sampled_from([0, 1]),
    split=st.booleans(),
)
def test_remat_scan(lengths, policy, places, axis, split):
    options = {
        "default": {},
        "axes": {"variable_axes": {"params": axis}, "split_rngs": {"params": split}},
        "broadcast": {
            "variable_broadcast": "params",
            "variable_axes": {},
            "split_rngs": {"params": split},
        },
        "carry": {
            "variable_carry": "params",
            "variable_axes": {},
            "split_rngs": {"params": split},
        },
    }[places]
    policy = policy and getattr(jax.checkpoint_policies, policy)

    def inside(lib, module, x):
        return lib.remat_scan(lib.Dense, lengths=lengths, policy=policy, **options)(2)(x)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X[0],
        numbers=few(lengths, policy, places, axis, split),
    )


@compare.parity_settings(share=3)
@hypothesis.given(
    grad_vars=st.sampled_from(["params", True, False, "batch_stats"]),
    nondiff=st.sampled_from([(), (1,)]),
)
def test_custom_vjp(grad_vars, nondiff):
    def run(module, *args):
        return module(args[-1])[0]

    def forward(module, *args):
        y = run(module, *args)
        return y, (y, jax.tree.map(jnp.ones_like, dict(module.variables.get("params", {}))))

    def backward(*args):
        *_, (y, params), cotangent = args
        return {"params": params} if grad_vars == "params" else {}, cotangent * y

    def inside(lib, module, x):
        wrapped = lib.custom_vjp(run, forward, backward, grad_vars, nondiff)
        inner = layer(lib)()
        args = (2.0, x) if nondiff else (x,)
        return wrapped(inner, *args)

    compare_models(
        lambda lib: outer(lib, functools.partial(inside, lib)),
        X[0],
        numbers=few(grad_vars, nondiff),
    )
