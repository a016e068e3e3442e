"""`nn.cond`, `nn.switch` and `nn.while_loop`: the chosen function, its writes and its keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core import errors

KEY = jax.random.key(0)
STATE = {"state": {"n": jnp.array(1.0)}}


class Runs(nn.Module):
    """Calls a function with itself and the arguments."""

    body: object

    @nn.compact
    def __call__(self, *args):
        return self.body(self, *args)


def run(body, *args, variables=STATE, mutable=("state",), rngs=None):
    """Return the result and the state after it."""
    y, updated = Runs(body).apply(variables, *args, mutable=list(mutable), rngs=rngs)
    return y, updated.get("state", {}).get("n")


def add(amount):
    """A function that adds to the state and returns the result of `add`."""

    def body(module, x):
        module.put_variable("state", "n", module.get_variable("state", "n") + amount)
        return x + amount

    return body


def draws(module, x):
    return x + jax.random.normal(module.make_rng("noise"))


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize(("pred", "expected"), [(True, 10), (False, 20)])
def test_cond_calls_the_function_of_its_predicate(pred, expected, jitted):
    def call(pred):
        return run(lambda m, x: nn.cond(pred, add(10.0), add(20.0), m, x), 5.0)

    y, n = (jax.jit(call) if jitted else call)(jnp.array(pred))
    assert (float(y), float(n)) == (5 + expected, 1 + expected)


@pytest.mark.parametrize(("index", "expected"), [(0, 10), (1, 20), (2, 30), (-1, 10), (7, 30)])
def test_switch_calls_the_function_of_its_index_and_clamps_it(index, expected):
    branches = [add(10.0), add(20.0), add(30.0)]
    y, n = run(lambda m, x: nn.switch(index, branches, m, x), 5.0)
    assert (float(y), float(n)) == (5 + expected, 1 + expected)


def test_branches_take_several_operands_and_trees():
    def body(module, tree, y):
        return nn.cond(
            True, lambda m, tree, y: tree["a"] - y, lambda m, tree, y: y, module, tree, y
        )

    assert float(Runs(body).apply({}, {"a": 5.0}, 3.0)) == 2


@pytest.mark.parametrize("choose", ["cond", "switch"])
def test_parameters_may_be_created_in_all_branches_alike(choose):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = nn.Dense(2)
            if choose == "cond":
                return nn.cond(True, lambda m, x: m(x), lambda m, x: -m(x), layer, x)
            return nn.switch(1, [lambda m, x: -m(x), lambda m, x: m(x)], layer, x)

    x = jnp.ones((1, 3))
    y, variables = Model().init_with_output(KEY, x)
    assert jax.tree.map(jnp.shape, variables) == {
        "params": {"Dense_0": {"bias": (2,), "kernel": (3, 2)}}
    }
    np.testing.assert_allclose(y, x @ variables["params"]["Dense_0"]["kernel"], rtol=1e-5)


def test_gradients_flow_through_the_chosen_branch():
    def value(n, pred):
        def body(module):
            return nn.cond(
                pred,
                lambda m: m.get_variable("state", "n") ** 2,
                lambda m: m.get_variable("state", "n") * 3,
                module,
            )

        return Runs(body).apply({"state": {"n": n}})

    assert [float(jax.grad(value)(5.0, pred)) for pred in (True, False)] == [10, 3]


def test_keys_in_a_branch_are_drawn_from_the_stream():
    def outside(pred, rngs=True):
        body = lambda m, x: nn.cond(pred, draws, lambda m, x: x, m, x, rngs=rngs)
        return float(Runs(body).apply({}, 0.0, rngs={"noise": KEY}))

    assert outside(False) == 0
    assert outside(True) == outside(True, "noise") != 0


def write(module, x):
    module.put_variable("state", "n", x)
    return x


HIDDEN = {
    "collection": (
        lambda m, x: nn.cond(True, write, write, m, x, variables="other"),
        errors.UnliftedWriteError,
    ),
    "stream": (
        lambda m, x: nn.cond(True, draws, draws, m, x, rngs="other"),
        errors.MissingRngSplitError,
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_not_brought_inside_cannot_be_used(name):
    body, error = HIDDEN[name]
    with pytest.raises(error) as caught:
        run(body, 0.0, rngs={"noise": KEY})
    assert caught.value.transform == "cond"


def test_branches_must_return_the_same_shapes():
    with pytest.raises(TypeError, match="must have the same pytree structure"):
        run(lambda m, x: nn.cond(True, lambda m, x: x, lambda m, x: (x, x), m, x), 0.0)


def below(limit):
    return lambda module, x: x < limit


@pytest.mark.parametrize(("start", "steps"), [(0.0, 4), (4.0, 2), (10.0, 0)])
def test_while_loop_runs_as_long_as_the_condition_holds(start, steps):
    y, n = run(
        lambda m, x: nn.while_loop(below(8.0), add(2.0), m, x, carry_variables="state"), start
    )
    assert (float(y), float(n)) == (start + 2 * steps, 1 + 2 * steps)


def test_the_condition_reads_carried_variables():
    def small(module, x):
        return (module.get_variable("state", "n") < 6) & (x < 50)

    y, n = run(lambda m, x: nn.while_loop(small, add(2.0), m, x, carry_variables="state"), 0.0)
    assert (float(y), float(n)) == (6, 7)


def test_other_variables_are_the_same_in_all_steps():
    def double(module, x):
        return x * module.get_variable("params", "factor")

    variables = {"params": {"factor": jnp.array(3.0)}}
    body = lambda m, x: nn.while_loop(below(50.0), double, m, x)
    assert float(Runs(body).apply(variables, 1.0)) == 81


@pytest.mark.parametrize("split", [True, False])
def test_keys_of_a_loop_differ_from_step_to_step_if_they_are_split(split):
    def step(module, carry):
        count, values = carry
        noise = jax.random.normal(module.make_rng("noise"))
        return count + 1, values.at[count].set(noise)

    def body(module):
        start = (0, jnp.zeros(3))
        return nn.while_loop(
            lambda m, carry: carry[0] < 3, step, module, start, split_rngs={"noise": split}
        )

    _, values = Runs(body).apply({}, rngs={"noise": KEY})
    assert len(set(values.tolist())) == (3 if split else 1)


def test_the_condition_draws_other_keys_than_the_body():
    drawn = {"condition": {}, "body": {}}

    def draw(where, module, step):
        noise = jax.random.normal(module.make_rng("noise"))
        jax.debug.callback(lambda step, x: drawn[where].update({int(step): float(x)}), step, noise)

    def condition(module, step):
        draw("condition", module, step)
        return step < 3

    def next_step(module, step):
        draw("body", module, step)
        return step + 1

    def body(module):
        return nn.while_loop(condition, next_step, module, 0, split_rngs={"noise": True})

    jax.block_until_ready(Runs(body).apply({}, rngs={"noise": KEY}))
    jax.effects_barrier()
    assert sorted(drawn["condition"]) == [0, 1, 2, 3]
    assert sorted(drawn["body"]) == [0, 1, 2]
    assert len({*drawn["condition"].values(), *drawn["body"].values()}) == 7


LOOPS = {
    "a write in the condition": (
        lambda m, x: nn.while_loop(
            lambda m, x: add(1.0)(m, x) < 8, add(1.0), m, x, carry_variables="state"
        ),
        errors.ModifyScopeVariableError,
    ),
    "a write to a broadcast collection": (
        lambda m, x: nn.while_loop(below(8.0), add(1.0), m, x),
        errors.UnliftedWriteError,
    ),
    "a new variable": (
        lambda m, x: nn.while_loop(
            below(8.0),
            lambda m, x: x + m.variable("state", "new", lambda: 1.0).value,
            m,
            x,
            carry_variables="state",
        ),
        errors.ScanCarryError,
    ),
    "a hidden stream": (
        lambda m, x: nn.while_loop(below(8.0), draws, m, x),
        errors.MissingRngSplitError,
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_mistakes_in_a_loop_are_named(name):
    body, error = LOOPS[name]
    with pytest.raises(error) as caught:
        run(body, 0.0, rngs={"noise": KEY})
    assert "while_loop" in str(caught.value)
