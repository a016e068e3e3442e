"""Variables in loops: carried, the same in all steps, immutable, or made inside."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import errors

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 2))
OPTIONS = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "length": 3}


class Block(nn.Module):
    train: bool = True

    @nn.compact
    def __call__(self, x, _=None):
        x = nn.BatchNorm(use_running_average=not self.train)(x)
        return nn.Dense(2)(x), None


Carried = nn.scan(Block, **OPTIONS, variable_carry="batch_stats")
Shared = nn.scan(Block, **OPTIONS, variable_broadcast="batch_stats")


def test_a_variable_made_in_the_loop_is_named_and_the_advice_works():
    with pytest.raises(errors.ScanCarryError) as caught:
        Carried().init(KEY, X, None)
    assert str(caught.value) == (
        "Cannot carry variables through nn.scan at /scan(): the loop creates 'batch_stats/BatchNorm_0/mean', "
        "'batch_stats/BatchNorm_0/var', but a carried variable must exist before it. Name the collection in "
        "variable_axes for variables of each step, or create the variables with a module that has it in "
        "variable_broadcast."
    )
    variables = Shared().init(KEY, X, None)
    _, updated = Carried().apply(variables, X, None, mutable=["batch_stats"])
    mean = jnp.zeros(2)
    x = X
    for number in range(3):  # each step moves the same averages
        params = jax.tree.map(lambda leaf, number=number: leaf[number], variables["params"])
        mean = 0.99 * mean + 0.01 * x.mean(0)
        stats = variables["batch_stats"]
        (x, _), _ = Block().apply(
            {"params": params, "batch_stats": stats}, x, mutable=["batch_stats"]
        )
    assert jnp.allclose(updated["batch_stats"]["BatchNorm_0"]["mean"], mean, atol=1e-6)


def test_an_immutable_carried_collection_is_the_same_in_all_steps():
    variables = Shared().init(KEY, X, None)
    y, _ = Carried(train=False).apply(variables, X, None)
    assert (y == Shared(train=False).apply(variables, X, None)[0]).all()
    (y_too, _), state = Carried(train=False).apply(variables, X, None, mutable=["other"])
    assert (y_too == y).all()
    assert state == {}


def test_a_write_to_an_immutable_carried_collection_is_its_usual_error():
    variables = Shared().init(KEY, X, None)
    with pytest.raises(errors.ModifyScopeVariableError) as caught:
        Carried().apply(variables, X, None)
    assert "the collection 'batch_stats' is immutable" in str(caught.value)


def test_a_broadcast_variable_that_depends_on_the_step_is_named():
    variables = Shared().init(KEY, X, None)
    with pytest.raises(ValueError, match="broadcast variable") as caught:
        Shared().apply(variables, X, None, mutable=["batch_stats"])
    assert str(caught.value) == (
        "The broadcast variable 'batch_stats/BatchNorm_0/mean' of /scan(), float32[2], depends on the step of the "
        "scan, but it must be the same in all steps. Give its collection an axis in variable_axes, or name it in "
        "variable_carry. If only its key differs, pass False for the stream in split_rngs."
    )
    Carried().apply(variables, X, None, mutable=["batch_stats"])


def test_broadcast_parameters_need_a_stream_that_is_not_split():
    options = {"variable_broadcast": ["params", "batch_stats"], "length": 3}
    with pytest.raises(ValueError, match=r"pass False for the stream in split_rngs\."):
        nn.scan(Block, **options, split_rngs={"params": True})(train=False).init(KEY, X, None)
    assert nn.scan(Block, **options, split_rngs={"params": False})(train=False).init(KEY, X, None)


class Growing(nn.Module):
    @nn.compact
    def __call__(self, carry, _=None):
        value = self.get_variable("state", "value")
        self.put_variable("state", "value", jnp.concatenate([value, value]))
        return carry, None


def test_a_variable_whose_shape_changes_is_named():
    loop = nn.scan(Growing, variable_carry="state", length=2)()
    with pytest.raises(errors.ScanCarryError) as caught:
        loop.apply({"state": {"value": jnp.ones(1)}}, X, None, mutable=["state"])
    assert "a step changes 'state/value from float32[1] to float32[2]'" in str(caught.value)


def test_a_carry_of_the_users_own_keeps_the_error_of_jax():
    class Changing(nn.Module):
        def __call__(self, carry, _=None):
            return jnp.concatenate([carry, carry]), None

    with pytest.raises(TypeError) as caught:
        nn.scan(Changing, length=2)().apply({}, X, None)
    assert not isinstance(caught.value, errors.ScanCarryError)


class Counting(nn.Module):
    makes: bool = False

    @nn.compact
    def __call__(self, x):
        count = self.variable("state", "count", lambda: jnp.zeros(()))

        def step(module, x):
            module.put_variable("state", "made" if self.makes else "count", x.sum())
            return 2 * x

        y = nn.while_loop(lambda m, x: x.sum() < 50, step, self, x, carry_variables="state")
        return y, count.value


def test_while_loops_name_what_they_make_and_share_what_is_immutable():
    state = {"state": {"count": jnp.zeros(())}}
    with pytest.raises(errors.ScanCarryError) as caught:
        Counting(makes=True).apply(state, jnp.ones(4), mutable=["state"])
    assert str(caught.value) == (
        "Cannot carry variables through nn.while_loop at /while_loop(): the loop creates 'state/made', but a carried "
        "variable must exist before it. Create the variables before the loop, with the shapes and dtypes that a step "
        "writes."
    )
    (_, count), updated = Counting().apply(state, jnp.ones(4), mutable=["state"])
    assert float(count) == float(updated["state"]["count"]) == 32

    class Reading(nn.Module):
        @nn.compact
        def __call__(self, x):
            step = self.get_variable("state", "step")

            def body(module, x):
                return x + module.get_variable("state", "step")

            del step
            return nn.while_loop(lambda m, x: x < 9, body, self, x, carry_variables="state")

    assert float(Reading().apply({"state": {"step": 4.0}}, 0.0)) == 12
