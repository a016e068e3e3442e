"""`nn.vmap`: mapped and shared variables, keys, arguments and results."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core import errors
from linen_core.typing import In, Out

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 5, 3))


class Linear(nn.Module):
    features: int = 2

    @nn.compact
    def __call__(self, x, scale=1.0):
        w = self.param("w", nn.initializers.normal(), (x.shape[-1], self.features))
        return scale * (x @ w)


class Noise(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + jax.random.normal(self.make_rng("noise"))


class Counter(nn.Module):
    @nn.compact
    def __call__(self, x):
        total = self.variable("state", "total", lambda: jnp.zeros(()))
        total.value += x.sum()
        self.sow("intermediates", "x", x)
        return total.value


def mapped(target=Linear, **options):
    return nn.vmap(
        target, **{"variable_axes": {"params": 0}, "split_rngs": {"params": True}, **options}
    )


@pytest.mark.parametrize(
    ("axis", "shape"), [(0, (4, 3, 2)), (1, (3, 4, 2)), (2, (3, 2, 4)), (-1, (3, 2, 4))]
)
def test_each_index_has_its_own_parameters(axis, shape):
    model = mapped(variable_axes={"params": axis})()
    y, variables = model.init_with_output(KEY, X)
    w = variables["params"]["w"]
    assert w.shape == shape
    assert y.shape == (4, 5, 2)
    for index in range(4):
        one = {"params": {"w": jnp.take(w, index, axis)}}
        np.testing.assert_allclose(y[index], Linear().apply(one, X[index]), atol=1e-5)


@pytest.mark.parametrize("split", [True, False])
def test_keys_differ_along_the_axis_if_they_are_split(split):
    w = mapped(split_rngs={"params": split})().init(KEY, X)["params"]["w"]
    assert all(bool((w[0] == w[index]).all()) is not split for index in (1, 2, 3))
    noise = nn.vmap(Noise, split_rngs={"noise": split})().apply(
        {}, jnp.zeros(4), rngs={"noise": KEY}
    )
    assert len(set(noise.tolist())) == (4 if split else 1)


def test_shared_parameters_have_no_axis():
    model = nn.vmap(Linear, variable_axes={"params": None}, split_rngs={"params": False})()
    y, variables = model.init_with_output(KEY, X)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"w": (3, 2)}}
    np.testing.assert_allclose(y, X @ variables["params"]["w"], atol=1e-5)


@pytest.mark.parametrize(
    ("in_axes", "args"),
    [
        (0, (X,)),
        (1, (jnp.moveaxis(X, 0, 1),)),
        (-1, (jnp.moveaxis(X, 0, -1),)),
        ((0, None), (X, 1.0)),
        ((0, 0), (X, jnp.ones(4))),
        ((0, 1), (X, jnp.ones((1, 4)))),
    ],
)
def test_arguments_are_mapped_over_their_axes(in_axes, args):
    variables = mapped()().init(KEY, X)
    y = mapped(in_axes=in_axes)().apply(variables, *args)
    np.testing.assert_allclose(y, mapped()().apply(variables, X), atol=1e-6)


def test_axes_may_be_a_tree_of_the_argument():
    class Sums(nn.Module):
        def __call__(self, tree):
            return tree["a"] + tree["b"]

    tree = {"a": jnp.arange(3), "b": 10}
    model = nn.vmap(Sums, in_axes=({"a": 0, "b": None},))()
    assert model.apply({}, tree).tolist() == [10, 11, 12]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_the_axis_of_the_result_may_be_chosen(axis):
    variables = mapped()().init(KEY, X)
    y = mapped(out_axes=axis)().apply(variables, X)
    np.testing.assert_allclose(jnp.moveaxis(y, axis, 0), mapped()().apply(variables, X), atol=1e-6)


def test_a_size_is_enough_where_nothing_is_mapped():
    model = mapped(in_axes=None, axis_size=6)()
    y, variables = model.init_with_output(KEY, X[0])
    assert (y.shape, variables["params"]["w"].shape) == ((6, 5, 2), (6, 3, 2))


def test_stored_variables_determine_the_size():
    variables = {"params": {"w": jnp.ones((7, 3, 2))}}
    assert mapped(in_axes=None)().apply(variables, X[0]).shape == (7, 5, 2)


def test_the_axis_has_a_name_for_collectives():
    class Centered(nn.Module):
        def __call__(self, x):
            return x - jax.lax.pmean(x, "batch")

    y = nn.vmap(Centered, axis_name="batch")().apply({}, jnp.array([1.0, 2.0, 6.0]))
    assert y.tolist() == [-2.0, -1.0, 3.0]


def test_state_of_each_index_is_its_own():
    model = nn.vmap(Counter, variable_axes={"state": 0, "intermediates": 1})()
    state = {"state": {"total": jnp.array([0.0, 10.0])}}
    x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    y, updated = model.apply(state, x, mutable=["state", "intermediates"])
    assert y.tolist() == updated["state"]["total"].tolist() == [3.0, 17.0]
    assert updated["intermediates"]["x"][0].tolist() == x.T.tolist()
    assert state["state"]["total"].tolist() == [0.0, 10.0]


def test_a_collection_may_enter_or_leave_only():
    model = nn.vmap(Counter, variable_axes={"state": In(0), "intermediates": Out(0)})()
    state = {"state": {"total": jnp.array([0.0, 10.0])}}
    with pytest.raises(errors.UnliftedWriteError):
        model.apply(state, jnp.ones((2, 2)), mutable=["state", "intermediates"])

    class Sows(nn.Module):
        def __call__(self, x):
            self.sow("intermediates", "x", x)

    model = nn.vmap(Sows, variable_axes={"intermediates": Out(0)})()
    _, updated = model.apply({}, jnp.arange(3), mutable=["intermediates"])
    assert updated["intermediates"]["x"][0].tolist() == [0, 1, 2]


def test_boxes_get_the_name_of_the_axis():
    class Boxed(nn.Module):
        @nn.compact
        def __call__(self, x):
            init = nn.with_partitioning(nn.initializers.ones, ("in", "out"))
            return x @ self.param("w", init, (3, 2))

    model = mapped(
        Boxed, variable_axes={"params": 1}, metadata_params={nn.PARTITION_NAME: "layers"}
    )()
    variables = model.init(KEY, X)
    assert variables["params"]["w"].names == ("in", "layers", "out")
    assert model.apply(variables, X).shape == (4, 5, 2)


def test_chosen_methods_are_mapped():
    class TwoWays(nn.Module):
        def setup(self):
            self.w = self.param("w", nn.initializers.ones, ())

        def one(self, x):
            return x.ndim

        def other(self, x):
            return x.ndim * self.w

    model = mapped(TwoWays, methods=["other"], variable_axes={"params": None})()
    variables = {"params": {"w": jnp.ones(())}}
    assert model.apply(variables, X, method="one") == 3
    assert model.apply(variables, X, method="other").tolist() == [2.0] * 4


def test_a_function_of_a_module_is_mapped():
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            run = nn.vmap(
                lambda layer, x: layer(x),
                variable_axes={"params": None},
                split_rngs={"params": False},
            )
            return run(Linear(name="layer"), x)

    y, variables = Outer().init_with_output(KEY, X)
    np.testing.assert_allclose(y, X @ variables["params"]["layer"]["w"], atol=1e-5)


def test_submodules_are_named_after_the_transform():
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return mapped()()(x) + mapped()(name="head")(x)

    assert list(Outer().init(KEY, X)["params"]) == ["VmapLinear_0", "head"]


def test_two_axes_are_mapped_by_two_transforms():
    model = mapped(mapped())()
    y, variables = model.init_with_output(KEY, jnp.ones((2, 4, 5, 3)))
    assert (y.shape, variables["params"]["w"].shape) == ((2, 4, 5, 2), (2, 4, 3, 2))


def test_gradients_are_those_of_each_index():
    model = mapped()()
    variables = model.init(KEY, X)
    gradient = jax.jit(jax.grad(lambda v: model.apply(v, X).sum()))(variables)["params"]["w"]
    expected = jnp.broadcast_to(X.sum(1)[:, :, None], (4, 3, 2))
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


WRONG = {
    "a hidden stream": (
        lambda: mapped(split_rngs={})().init(KEY, X),
        errors.MissingRngSplitError,
        "Cannot draw a key of stream 'params' in /vmap(): nn.vmap does not bring the stream inside. Pass "
        "split_rngs={'params': True} for a key per step or index, or False for one key.",
    ),
    "a hidden collection": (
        lambda: mapped(variable_axes={})().apply({"params": {"w": jnp.ones((4, 3, 2))}}, X),
        errors.UnliftedCollectionError,
        str(errors.UnliftedCollectionError("vmap", "params", "w", "/vmap()")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_named(name):
    call, kind, text = WRONG[name]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
