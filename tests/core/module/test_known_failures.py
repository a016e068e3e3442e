"""What flax.linen users complain of, one test each: here it works, or the error says what to do."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core import errors

KEY = jax.random.key(0)
X = jnp.ones((2, 3))


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, name="head")(x)


VARIABLES = Model().init(KEY, X)

MISREAD = {
    "a missing parameter": (
        {"params": {"head": {"bias": jnp.zeros(2)}}},
        errors.ScopeParamNotFoundError,
        "Cannot find parameter 'kernel' at params/head: found 'bias' there. "
        "Parameters are created by `init`, or by `apply` with mutable=['params'] and rngs={'params': "
        "jax.random.key(...)}.",
    ),
    "a mistyped collection": (
        {"param": VARIABLES["params"]},
        errors.ScopeCollectionNotFound,
        "Cannot read 'kernel' at params/head: the variables have 'param', but not the collection 'params'. Did you "
        "mean 'param'?",
    ),
    "forgotten params": (
        VARIABLES["params"],
        errors.ScopeCollectionNotFound,
        "Cannot read 'kernel' at params/head: the variables hold 'head' at the top level, where collections are "
        "expected. "
        "Pass {'params': variables}.",
    ),
    "no variables at all": (
        {},
        errors.ScopeCollectionNotFound,
        "Cannot read 'kernel' at params/head: the variables do not have the collection 'params' (found nothing). "
        "Pass it, or let `apply` create it with mutable=['params'] and rngs={'params': jax.random.key(...)}.",
    ),
}


@pytest.mark.parametrize("name", list(MISREAD))
def test_each_mistake_in_the_variables_has_its_own_message(name):
    variables, kind, text = MISREAD[name]
    with pytest.raises(kind) as caught:
        Model().apply(variables, X)
    assert str(caught.value) == text


def test_variables_that_nothing_asks_for_are_allowed_and_named():
    extra = {**VARIABLES, "params": {**VARIABLES["params"], "old": {"w": jnp.ones(2)}}}
    np.testing.assert_array_equal(Model().apply(extra, X), Model().apply(VARIABLES, X))
    assert list(nn.touched(Model(), extra, X).unused) == [("params", ("old", "w"))]


def test_an_unbound_call_names_the_way_out():
    with pytest.raises(
        errors.CallCompactUnboundModuleError, match=r"\.init\(.*\.apply\(.*\.bind\("
    ):
        nn.Dense(2)(X)


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_errors_keep_their_class_when_pickled(dumps):
    with pytest.raises(errors.ScopeParamShapeError) as caught:
        nn.Dense(2).apply({"params": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)}}, X)
    again = pickle.loads(dumps(caught.value))
    assert type(again) is errors.ScopeParamShapeError
    assert str(again) == str(caught.value)


@pytest.mark.parametrize(
    "duplicate",
    [
        lambda module: pickle.loads(pickle.dumps(module)),
        lambda module: pickle.loads(cloudpickle.dumps(module)),
        copy.deepcopy,
        copy.copy,
    ],
)
def test_modules_are_pickled_and_copied(duplicate):
    model = nn.Sequential([nn.Dense(10), nn.relu, nn.Dense(2, kernel_init=nn.initializers.ones)])
    again = duplicate(model)
    assert repr(again) == repr(model)
    for ours, theirs in zip(
        *(jax.tree.leaves(m.init(KEY, X)) for m in (model, again)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_variables_are_a_copy():
    bound = Model().bind({"params": {"head": dict(VARIABLES["params"]["head"])}})
    bound.variables["params"]["head"]["bias"] = "spoilt"
    np.testing.assert_array_equal(bound.variables["params"]["head"]["bias"], jnp.zeros(2))


def test_a_property_that_fails_shows_its_own_cause():
    class Broken(nn.Module):
        @property
        def size(self):
            return self.missing

        def __call__(self, x):
            return self.size

    with pytest.raises(errors.DescriptorAttributeError, match=r"Broken\.size") as caught:
        Broken().apply({}, X)
    assert "no attribute 'missing'" in str(caught.value.__cause__)


def test_a_forgotten_super_post_init_is_named():
    class Forgets(nn.Module):
        size: int = 3

        def __post_init__(self):
            self.double = 6

    with pytest.raises(errors.IncorrectPostInitOverrideError, match=r"super\(\).__post_init__\(\)"):
        Forgets().init(KEY, X)


def test_a_submodule_made_without_compact_names_the_decorator():
    class Forgets(nn.Module):
        def __call__(self, x):
            return nn.Dense(2)(x)

    with pytest.raises(errors.AssignSubModuleError, match=r"`?@?nn\.compact"):
        Forgets().init(KEY, X)


class WithList(nn.Module):
    sizes: list[int]
    act: Callable = nn.relu

    @nn.compact
    def __call__(self, x):
        for size in self.sizes:
            x = self.act(nn.Dense(size)(x))
        return x


@pytest.mark.parametrize("transform", [nn.remat, nn.fold_rngs, lambda cls: cls])
def test_unhashable_fields_are_fine_where_nothing_hashes_them(transform):
    model = transform(WithList)([4, 2])
    assert model.init_with_output(KEY, X)[0].shape == (2, 2)


def test_unhashable_fields_are_named_where_something_hashes_them():
    with pytest.raises(TypeError, match="unhashable"):
        hash(WithList([4, 2]))
    with pytest.raises(ValueError, match=re.escape("sizes")):
        nn.jit(WithList)([jnp.ones(2)]).init(KEY, X)


def test_init_under_nested_transforms_is_linear_in_depth():
    calls = []

    class Leaf(nn.Module):
        @nn.compact
        def __call__(self, x):
            calls.append(1)
            return nn.Dense(3)(x)

    def nested(depth):
        inner = Leaf
        for _ in range(depth):
            inner = nn.remat(_wrapping(inner))
        calls.clear()
        jax.eval_shape(inner().init, KEY, X)
        return len(calls)

    assert nested(12) <= nested(2) + 12


def _wrapping(inner):
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return inner()(x)

    return Outer
