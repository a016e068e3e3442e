"""Arguments of the older `nn.partitioning` functions drawn at random: the same variables, names and errors as flax's."""

import functools

import flax.linen as fnn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
from flax.linen import partitioning as fpartitioning

import linen_core as nn
from parity import _compare as compare

X = jnp.ones((2, 4))
AXES = st.sampled_from([("embed", "mlp"), ("embed", "mlp"), ("embed",), ("embed", None), None, ()])
LIBRARIES = {nn: nn.partitioning, fnn: fpartitioning}


def variables_of(lib, wrap, param_axes, state_axes, explicit):
    """Make the variables of a model whose layer, wrapped, names the axes of what it makes."""
    partitioning = LIBRARIES[lib]

    class Layer(lib.Module):
        @lib.compact
        def __call__(self, x, _=None):
            module = {"module": self} if explicit else {}
            w = partitioning.param_with_axes(
                "w", lib.initializers.ones, (4, 4), axes=param_axes, **module
            )
            v = partitioning.variable_with_axes(
                "state", "v", jnp.zeros, (4,), axes=state_axes, **module
            )
            return x @ w + v.value, None

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            return wrap(partitioning, Layer)(name="inner")(x)[0]

    variables = jax.eval_shape(Model().init, jax.random.key(0), X)
    names = {
        col: partitioning.get_axis_names(variables[col])
        for col in ("params_axes", "state_axes")
        if col in variables
    }
    shapes = jax.tree.map(lambda leaf: str(getattr(leaf, "shape", leaf)), compare.plain(variables))
    return shapes, jax.tree.map(str, compare.plain(names))


def same(wrap, **options):
    compare.assert_same_outcome(
        lambda: variables_of(nn, wrap, **options), lambda: variables_of(fnn, wrap, **options)
    )


OPTIONS = {
    "param_axes": AXES,
    "state_axes": st.sampled_from([("embed",), None, ("mlp", "embed")]),
    "explicit": st.booleans(),
}


@compare.parity_settings(share=3)
@hypothesis.given(
    **OPTIONS,
    axis=st.sampled_from([0, 1, -1]),
    state=st.sampled_from([0, "broadcast", "carry"]),
    axis_name=st.sampled_from(["layers", "stack"]),
    collections=st.sampled_from([("params",), ("params", "state"), ()]),
    length=st.sampled_from([3, None]),
)
def test_scan_with_axes(axis, state, axis_name, collections, length, **options):
    def wrap(partitioning, layer):
        def looped(name):
            made = partitioning.scan_with_axes(
                layer,
                variable_axes={"params": axis, **({"state": 0} if state == 0 else {})},
                variable_broadcast="state" if state == "broadcast" else False,
                variable_carry="state" if state == "carry" else False,
                split_rngs={"params": True},
                length=length,
                axis_name=axis_name,
                axes_collections=collections,
            )(name=name)
            return lambda x: made(x, None)

        return looped

    same(wrap, **options)


@compare.parity_settings(share=3)
@hypothesis.given(
    **OPTIONS,
    axis=st.sampled_from([0, 1, None]),
    state=st.sampled_from([0, None]),
    names=st.sampled_from([{}, {"params": "experts"}, {"params": "a", "state": "b"}]),
    size=st.sampled_from([None, 2, 3]),
)
def test_vmap_with_axes(axis, state, names, size, **options):
    mapped = {"params": axis, "state": state}
    names = {
        col: name for col, name in names.items() if mapped[col] is not None
    }  # flax fails there

    def wrap(partitioning, layer):
        return partitioning.vmap_with_axes(
            layer,
            variable_axes=mapped,
            split_rngs={"params": axis is not None},
            axis_size=size,
            partitioning_axis_names=names,
        )

    same(wrap, **options)


@compare.parity_settings(share=6)
@hypothesis.given(**OPTIONS, prevent_cse=st.booleans(), static=st.sampled_from([(), (2,)]))
def test_remat(prevent_cse, static, **options):
    def wrap(partitioning, layer):
        return partitioning.remat(layer, prevent_cse=prevent_cse, static_argnums=static)

    same(wrap, **options)


@compare.parity_settings()
@hypothesis.given(
    names=st.one_of(
        st.none(), st.lists(st.sampled_from(["batch", "mlp", None, "other"]), max_size=3).map(tuple)
    ),
    rules=st.lists(
        st.tuples(st.sampled_from(["batch", "mlp"]), st.sampled_from(["data", None])), max_size=3
    ),
)
def test_names_under_axis_rules(names, rules):
    def run(lib):
        partitioning = LIBRARIES[lib]
        with partitioning.axis_rules(rules):
            spec = partitioning.logical_to_mesh_axes(names)
            constrained = partitioning.with_sharding_constraint(X, names)
            return str(spec), constrained, str(partitioning.get_axis_rules())

    compare.assert_same_outcome(functools.partial(run, nn), functools.partial(run, fnn))
