"""Mistakes with lifted transforms: each its own error, with the module, the collection and the argument to change."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import errors

KEY = jax.random.key(0)
X = jnp.ones((3, 4))
MAPPED = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}


class Step(nn.Module):
    @nn.compact
    def __call__(self, x, y):
        return nn.Dense(4)(x), y


class Counting(nn.Module):
    @nn.compact
    def __call__(self, x):
        count = self.variable("state", "count", lambda: jnp.zeros(()))
        if self.is_mutable_collection("params"):
            return x
        count.value += 1
        return x


class Returning(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)


def below(layer, *args, **fields):
    """A model with one submodule, "inner"."""

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return layer(**fields, name="inner")(x, *args)

    return Outer()


def dense(**options):
    return below(nn.vmap(nn.Dense, **{**MAPPED, **options}), features=4)


def loop(x=None, **options):
    return below(nn.scan(Step, **{"length": 3, **MAPPED, **options}), X if x is None else x)


MISTAKES = {
    "collection into vmap": (
        dense(variable_axes={}),
        errors.UnliftedCollectionError,
        "Cannot read 'kernel' at params/vmap(inner): nn.vmap does not bring the collection 'params' inside. Name it in "
        "variable_axes.",
    ),
    "collection into scan": (
        loop(variable_axes={}),
        errors.UnliftedCollectionError,
        "Cannot read 'kernel' at params/scan(inner)/Dense_0: nn.scan does not bring the collection 'params' inside. "
        "Name it in variable_axes, variable_broadcast or variable_carry.",
    ),
    "collection into jit": (
        below(nn.jit(nn.Dense, variables="state"), features=4),
        errors.UnliftedCollectionError,
        "Cannot read 'kernel' at params/jit(inner): nn.jit does not bring the collection 'params' inside. Name it in "
        "variables.",
    ),
    "collection into the outer of two": (
        below(nn.remat(nn.vmap(nn.Dense, **MAPPED), variables="state"), features=4),
        errors.UnliftedCollectionError,
        "Cannot read 'kernel' at params/vmap(remat(inner)): nn.remat does not bring the collection 'params' inside. "
        "Name it in variables.",
    ),
    "axis of an argument": (
        dense(in_axes=5),
        errors.TransformAxisError,
        "Cannot vmap /vmap(inner) over axis 5 of an array with 2 axes. Change in_axes.",
    ),
    "axis of a result": (
        dense(out_axes=-3),
        errors.TransformAxisError,
        "Cannot vmap /vmap(inner) over axis -3 of an array with 2 axes. Change out_axes.",
    ),
    "axis of a variable": (
        dense(variable_axes={"params": 2}),
        errors.TransformAxisError,
        "Cannot vmap params/vmap(inner)/bias over axis 2 of an array with 2 axes. Change variable_axes.",
    ),
    "scanned axis of an argument": (
        loop(in_axes=2),
        errors.TransformAxisError,
        "Cannot scan /scan(inner) over axis 2 of an array with 2 axes. Change in_axes.",
    ),
    "scanned axis of a result": (
        loop(out_axes=2),
        errors.TransformAxisError,
        "Cannot scan /scan(inner) over axis 2 of an array with 2 axes. Change out_axes.",
    ),
    "scanned axis of a variable": (
        loop(variable_axes={"params": 3}),
        errors.TransformAxisError,
        "Cannot scan params/scan(inner)/Dense_0/bias over axis 3 of an array with 2 axes. Change variable_axes.",
    ),
    "stream into vmap": (
        dense(split_rngs={}),
        errors.MissingRngSplitError,
        "Cannot draw a key of stream 'params' in /vmap(inner): nn.vmap does not bring the stream inside. Pass "
        "split_rngs={'params': True} for a key per step or index, or False for one key.",
    ),
    "stream into remat": (
        below(nn.remat(nn.Dense, rngs="dropout"), features=4),
        errors.MissingRngSplitError,
        "Cannot draw a key of stream 'params' in /remat(inner): nn.remat does not bring the stream inside. Name it in "
        "rngs.",
    ),
    "a module comes out": (
        below(nn.vmap(Returning, **MAPPED)),
        errors.TransformedMethodReturnValueError,
        "Cannot return a module or a variable from the transformed method '__call__' of Returning at inner: it is "
        "valid only inside the transform. Return its value.",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_init(mistake):
    model, kind, text = MISTAKES[mistake]
    with pytest.raises(kind) as caught:
        model.init(KEY, X)
    assert str(caught.value) == text


def test_an_axis_that_stored_variables_do_not_have():
    variables = dense().init(KEY, X)
    with pytest.raises(errors.TransformAxisError) as caught:
        dense(variable_axes={"params": -3}).apply(variables, X)
    assert str(caught.value) == (
        "Cannot vmap params/vmap(inner)/bias over axis -3 of an array with 2 axes. Change variable_axes."
    )
    assert (caught.value.axis, caught.value.ndim, caught.value.argument) == (-3, 2, "variable_axes")


def test_a_collection_that_comes_in_only():
    layer = nn.vmap(Counting, variable_axes={"state": nn.transforms.In(0)})
    variables = {"state": {"inner": {"count": jnp.zeros(3)}}}
    with pytest.raises(errors.UnliftedWriteError) as caught:
        below(layer).apply(variables, X, mutable=["state"])
    assert str(caught.value) == (
        "Cannot write 'count' at state/vmap(inner): nn.vmap does not bring the collection 'state' out. Name it in "
        "variable_axes."
    )


def test_a_collection_that_nothing_may_write_is_no_matter_of_the_transform():
    layer = nn.vmap(Counting, variable_axes={"state": 0})
    variables = {"state": {"inner": {"count": jnp.zeros(3)}}}
    with pytest.raises(errors.ModifyScopeVariableError) as caught:
        below(layer).apply(variables, X)
    assert type(caught.value) is errors.ModifyScopeVariableError


def test_a_collection_that_is_missing_outside_too_is_no_matter_of_the_transform():
    with pytest.raises(errors.ScopeCollectionNotFound) as caught:
        dense(variable_axes={}).apply({}, X)
    assert type(caught.value) is errors.ScopeCollectionNotFound


def test_a_rule_for_an_axis_that_the_mesh_does_not_have():
    class Constrained(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.with_logical_constraint(x, ("batch", None))

    mesh = jax.sharding.Mesh(jax.devices()[:1], ("data",))
    rules = nn.logical_axis_rules([("batch", "dat")])
    with jax.set_mesh(mesh), rules, pytest.raises(errors.UnknownMeshAxisError) as caught:
        below(Constrained).apply({}, X)
    assert str(caught.value) == (
        "Cannot shard an array with axes ('batch', None) in Constrained at inner as ('dat', None): the mesh has no "
        "axis 'dat', only 'data'. Did you mean 'data'? Change the rules, the names or the mesh."
    )


def test_a_name_without_a_rule():
    class Constrained(nn.Module):
        @nn.compact
        def __call__(self, x):
            strict = nn.spmd.RulesFallback.RAISE_ERROR
            return nn.with_logical_constraint(x, ("bach", None), fallback=strict)

    with (
        nn.logical_axis_rules([("batch", "data")]),
        pytest.raises(errors.UnknownAxisError) as caught,
    ):
        below(Constrained).apply({}, X)
    assert str(caught.value) == (
        "Cannot shard an array with axes ('bach', None) in Constrained at inner: no rule maps 'bach', only 'batch'. "
        "Did you mean 'batch'? Add a rule, with None for an axis that is not sharded."
    )


class Adds(nn.Module):
    def __call__(self, x, y=0.0):
        return x["a"] + x["b"] + y


class AddsInSteps(Adds):
    def __call__(self, carry, x):
        return carry, super().__call__(x)


SIZES = {"a": jnp.ones(3), "b": jnp.ones(4)}


def test_sizes_that_differ_within_one_argument_are_named_with_the_module():
    for model, args, path in (
        (nn.vmap(Adds), (SIZES,), "vmap /vmap(inner)"),
        (nn.scan(AddsInSteps), (0.0, SIZES), "scan /scan(inner)"),
    ):
        with pytest.raises(ValueError, match="different sizes") as caught:
            below(model, *args[1:]).apply({}, args[0])
        assert str(caught.value) == (
            f"Cannot {path} over axes of different sizes: found [3, 4]. Check in_axes and variable_axes."
        )


def test_a_size_that_nothing_tells_is_asked_for():
    with pytest.raises(ValueError, match="Pass axis_size") as caught:
        below(nn.vmap(Adds, in_axes=None)).apply({}, {"a": 1.0, "b": 2.0})
    assert str(caught.value) == (
        "Cannot vmap /vmap(inner): no mapped value determines the size of the axis. Pass axis_size."
    )
    model = below(nn.vmap(Adds, in_axes=None, axis_size=2))
    assert model.apply({}, {"a": 1.0, "b": 2.0}).tolist() == [3.0, 3.0]
