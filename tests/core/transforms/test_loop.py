"""`nn.scan`: the carry, scanned and broadcast values, variables, keys and the number of steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn

KEY = jax.random.key(0)
XS = jax.random.normal(jax.random.key(1), (4, 3))


class Sum(nn.Module):
    def __call__(self, carry, x):
        carry = carry + x
        return carry, 10 * carry


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        w = self.param("w", nn.initializers.normal(1.0), (3, 3))
        return jnp.tanh(x @ w), x


class Noise(nn.Module):
    @nn.compact
    def __call__(self, carry, x):
        return carry, x + jax.random.normal(self.make_rng("noise"))


class Total(nn.Module):
    @nn.compact
    def __call__(self, carry, x):
        total = self.variable("state", "total", lambda: jnp.zeros(3))
        total.value += x
        return carry, total.value


def stacked(target=Layer, **options):
    defaults = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "length": 4}
    return nn.scan(target, **{**defaults, **options})


def run(cls, *args, **options):
    return nn.scan(cls, **options)().apply({}, *args)


def test_the_carry_goes_from_step_to_step():
    carry, results = run(Sum, jnp.ones(3), XS)
    np.testing.assert_allclose(carry, 1 + XS.sum(0), rtol=1e-5)
    np.testing.assert_allclose(results, 10 * (1 + jnp.cumsum(XS, 0)), rtol=1e-5, atol=1e-5)


def test_a_reversed_loop_starts_with_the_last_step():
    carry, results = run(Sum, jnp.zeros(3), XS, reverse=True)
    np.testing.assert_allclose(carry, XS.sum(0), rtol=1e-5)
    np.testing.assert_allclose(results, 10 * jnp.cumsum(XS[::-1], 0)[::-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{"unroll": 2}, {"check_constancy_invariants": False}], ids=str)
def test_options_of_the_loop_do_not_change_its_results(options):
    jax.tree.map(np.testing.assert_allclose, run(Sum, XS[0], XS, **options), run(Sum, XS[0], XS))


def test_carry_and_results_may_be_trees():
    class Trees(nn.Module):
        def __call__(self, carry, x):
            new = {"sum": carry["sum"] + x["a"], "count": carry["count"] + 1}
            return new, {"a": x["a"], "count": carry["count"]}

    carry, results = run(Trees, {"sum": 0.0, "count": 0}, {"a": jnp.arange(3.0)})
    assert (float(carry["sum"]), int(carry["count"])) == (3.0, 3)
    assert {name: value.tolist() for name, value in results.items()} == {
        "a": [0, 1, 2],
        "count": [0, 1, 2],
    }


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_an_argument_is_scanned_over_its_axis(axis):
    _, results = run(Sum, jnp.zeros(3), jnp.moveaxis(XS, 0, axis), in_axes=axis)
    np.testing.assert_allclose(results, 10 * jnp.cumsum(XS, 0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_results_are_stacked_along_their_axis(axis):
    _, results = run(Sum, jnp.zeros(3), XS, out_axes=axis)
    expected = run(Sum, jnp.zeros(3), XS)[1]
    np.testing.assert_allclose(jnp.moveaxis(results, axis, 0), expected, rtol=1e-6)


def test_a_broadcast_argument_is_the_same_in_all_steps():
    class Weighted(nn.Module):
        def __call__(self, carry, x, weights):
            return carry + (x * weights).sum(), None

    weights = jnp.array([1.0, 2.0, 3.0])
    carry, _ = run(Weighted, 0.0, XS, weights, in_axes=(0, nn.broadcast))
    np.testing.assert_allclose(carry, (XS * weights).sum(), rtol=1e-5)


def test_a_broadcast_result_comes_out_once():
    class Shape(nn.Module):
        def __call__(self, carry, x, y):
            return carry, (x, 2 * y)

    _, (xs, y) = run(Shape, 0.0, XS, XS[0], in_axes=(0, nn.broadcast), out_axes=(0, nn.broadcast))
    assert (xs == XS).all()
    np.testing.assert_allclose(y, 2 * XS[0])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_each_step_has_its_own_parameters(axis):
    model = stacked(variable_axes={"params": axis})()
    (y, inputs), variables = model.init_with_output(KEY, XS[:1])
    w = variables["params"]["w"]
    assert w.shape[axis] == 4
    x = XS[:1]
    for step in range(4):
        np.testing.assert_allclose(inputs[step], x, rtol=1e-4, atol=1e-5)
        x, _ = Layer().apply({"params": {"w": jnp.take(w, step, axis)}}, x)
    np.testing.assert_allclose(y, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("split", [True, False])
def test_keys_differ_from_step_to_step_if_they_are_split(split):
    w = stacked(split_rngs={"params": split})().init(KEY, XS[:1])["params"]["w"]
    assert bool((w[0] == w[1]).all()) is not split
    noise = nn.scan(Noise, split_rngs={"noise": split})().apply(
        {}, 0, jnp.zeros(4), rngs={"noise": KEY}
    )[1]
    assert len(set(noise.tolist())) == (4 if split else 1)


def test_broadcast_parameters_are_shared_by_all_steps():
    model = nn.scan(Layer, variable_broadcast="params", split_rngs={"params": False}, length=3)()
    (y, _), variables = model.init_with_output(KEY, XS)
    assert variables["params"]["w"].shape == (3, 3)
    x = XS
    for _ in range(3):
        x, _ = Layer().apply(variables, x)
    np.testing.assert_allclose(y, x, rtol=1e-4, atol=1e-5)


def test_carried_variables_go_from_step_to_step():
    model = nn.scan(Total, variable_carry="state")()
    state = {"state": {"total": jnp.ones(3)}}
    (_, totals), updated = model.apply(state, 0, XS, mutable=["state"])
    np.testing.assert_allclose(totals, 1 + jnp.cumsum(XS, 0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(updated["state"]["total"], totals[-1])


def test_scanned_state_is_that_of_each_step():
    model = nn.scan(Total, variable_axes={"state": 0})()
    state = {"state": {"total": jnp.ones((4, 3))}}
    (_, totals), updated = model.apply(state, 0, XS, mutable=["state"])
    np.testing.assert_allclose(totals, 1 + XS, rtol=1e-6)
    np.testing.assert_allclose(updated["state"]["total"], 1 + XS, rtol=1e-6)


def test_sown_values_are_stacked():
    class Sows(nn.Module):
        def __call__(self, carry, x):
            self.sow("intermediates", "x", x)
            return carry, None

    _, updated = nn.scan(Sows, variable_axes={"intermediates": 1})().apply(
        {}, 0, XS, mutable=["intermediates"]
    )
    assert (updated["intermediates"]["x"][0] == XS.T).all()


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_length_counts_the_steps(length):
    class Count(nn.Module):
        def __call__(self, carry, _):
            return carry + 1, carry

    carry, results = run(Count, 0, None, length=length)
    assert (carry, results.tolist()) == (length, list(range(length)))


def test_boxes_get_the_name_of_the_axis():
    class Boxed(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            init = nn.with_partitioning(nn.initializers.ones, ("in", "out"))
            return x @ self.param("w", init, (3, 3)), None

    model = stacked(Boxed, metadata_params={nn.PARTITION_NAME: "layers"})()
    variables = model.init(KEY, XS, None)
    assert variables["params"]["w"].names == ("layers", "in", "out")
    assert model.apply(variables, XS, None)[0].shape == (4, 3)


def test_groups_of_variables_may_be_changed_inside():
    def doubled(variable_groups, rng_groups):
        return jax.tree.map(lambda leaf: 2 * leaf, variable_groups), rng_groups

    variables = stacked()().init(KEY, XS[:1])
    twice = jax.tree.map(lambda leaf: 2 * leaf, variables)
    y, _ = stacked(data_transform=doubled)().apply(variables, XS[:1])
    np.testing.assert_allclose(y, stacked()().apply(twice, XS[:1])[0], rtol=1e-6)


def test_chosen_methods_and_functions_are_scanned():
    class Twice(nn.Module):
        def add(self, carry, x):
            return carry + x, None

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            loop = nn.scan(lambda layer, x, _: layer(x), variable_axes={"params": 0}, split_rngs={"params": True}, length=2)  # fmt: skip
            return loop(Layer(name="layer"), x, None)[0]

    carry, _ = nn.scan(Twice, methods=["add"])().apply({}, 0.0, jnp.arange(4.0), method="add")
    assert float(carry) == 6
    assert Outer().init(KEY, XS)["params"]["layer"]["w"].shape == (2, 3, 3)


def test_a_broadcast_result_must_be_the_same_in_all_steps():
    with pytest.raises(ValueError) as caught:
        run(Sum, XS[0], XS, out_axes=nn.broadcast)
    assert str(caught.value) == (
        "The broadcast output of /scan(), float32[3], depends on the step of the scan, but it must be the same in all "
        "steps. Give it an axis in out_axes."
    )


WRONG = {
    "unchecked broadcast": (
        {"out_axes": nn.broadcast, "check_constancy_invariants": False},
        "Broadcast outputs need check_constancy_invariants=True; found out_axes=broadcast.",
    ),
    "variables without axis": (
        {"variable_axes": {"params": None}},
        "An axis in variable_axes of scan must be an int; found None. Use variable_broadcast for None.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_options_that_cannot_work_are_named(name):
    options, text = WRONG[name]
    with pytest.raises((ValueError, AssertionError)) as caught:
        run(Sum, XS[0], XS, **options)
    assert str(caught.value) == text
