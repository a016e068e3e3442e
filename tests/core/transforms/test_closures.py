"""Functions inside a transform that use a module from outside of it, instead of the one they are given."""

import warnings

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import errors

KEY = jax.random.key(0)
X = jnp.ones(4)
LOOP = {"variable_broadcast": "params", "split_rngs": {"dropout": True}, "length": 3}


def model_of(body):
    """A model whose method is `body`."""

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return body(self, x)

    return Model()


def scanned_noise(uses_inner):
    def body(outer, x):
        def step(inner, carry, _):
            module = inner if uses_inner else outer
            return carry, jax.random.uniform(module.make_rng("dropout"))

        return nn.scan(step, **LOOP)(outer, x, None)[1]

    return model_of(body)


def mapped_noise(uses_inner):
    def body(outer, x):
        def one(inner, x):
            module = inner if uses_inner else outer
            return x + jax.random.uniform(module.make_rng("dropout"))

        return nn.vmap(one, split_rngs={"dropout": True})(outer, x)

    return model_of(body)


def looped_noise(uses_inner):
    def body(outer, x):
        def goes_on(inner, loop):
            return loop[0] < 3

        def step(inner, loop):
            module = inner if uses_inner else outer
            count, noise = loop
            key = module.make_rng("dropout")
            return count + 1, noise.at[count].set(jax.random.uniform(key))

        start = (0, jnp.zeros(3))
        return nn.while_loop(goes_on, step, outer, start, split_rngs={"dropout": True})[1]

    return model_of(body)


NOISES = [scanned_noise, mapped_noise, looped_noise]


@pytest.mark.parametrize("noise", NOISES)
def test_a_key_that_is_the_same_in_every_step_is_warned_of(noise):
    with pytest.warns(RuntimeWarning, match="every step gets the same key. Use the module that"):
        values = noise(uses_inner=False).apply({}, X, rngs={"dropout": KEY})
    assert len(set(values.tolist())) == 1


@pytest.mark.parametrize("noise", NOISES)
def test_the_module_that_the_function_gets_has_keys_of_each_step(noise):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = noise(uses_inner=True).apply({}, X, rngs={"dropout": KEY})
    assert len(set(values.tolist())) == len(values)


def test_the_warning_names_stream_place_and_transform():
    with pytest.warns(RuntimeWarning) as caught:
        scanned_noise(uses_inner=False).apply({}, X, rngs={"dropout": KEY})
    assert str(caught[0].message) == (
        "A key of stream 'dropout' is drawn in /, outside the nn.scan that is running: every step gets the "
        "same key. Use the module that the function gets as its first argument, and pass split_rngs={'dropout': True} "
        "to nn.scan."
    )


def test_keys_drawn_before_and_after_a_loop_make_no_warning():
    def body(outer, x):
        before = outer.make_rng("dropout")
        _, y = nn.scan(lambda inner, carry, _: (carry, carry), **LOOP)(outer, x, None)
        return y + jax.random.uniform(before) + jax.random.uniform(outer.make_rng("dropout"))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_of(body).apply({}, X, rngs={"dropout": KEY})


def test_an_error_inside_of_a_loop_does_not_leave_the_warning_on():
    def body(outer, x):
        def fails(inner, carry, _):
            raise KeyError

        with pytest.raises(KeyError):
            nn.scan(fails, **LOOP)(outer, x, None)
        return jax.random.uniform(outer.make_rng("dropout"))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_of(body).apply({}, X, rngs={"dropout": KEY})


def counting(transform):
    """A model that counts in 'state' from inside of a transform, with the module it is given or the one outside."""

    def make(uses_inner):
        def body(outer, x):
            def step(inner, x):
                module = inner if uses_inner else outer
                count = module.get_variable("state", "count")
                module.put_variable("state", "count", count + x.sum())
                return 2 * x

            return transform(step, outer, x)

        return model_of(body)

    return make


def scanned(step, module, x):
    loop = nn.scan(lambda m, c, _: (step(m, c), None), variable_carry="state", length=2)
    return loop(module, x, None)[0]


def looped(step, module, x):
    return nn.while_loop(lambda m, x: x.sum() < 10, step, module, x, carry_variables="state")


TRANSFORMS = {
    "scan": scanned,
    "while_loop": looped,
    "remat": lambda step, module, x: nn.remat(step)(module, x),
    "jit": lambda step, module, x: nn.jit(step)(module, x),
    "cond": lambda step, module, x: nn.cond(True, step, lambda m, x: x, module, x),
    "grad": lambda step, module, x: nn.grad(lambda m, x: step(m, x).sum(), module, x),
    "nested": lambda step, module, x: nn.remat(lambda m, x: nn.cond(True, step, lambda m, x: x, m, x))(module, x),
}  # fmt: skip
STATE = {"state": {"count": jnp.zeros(())}}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_write_from_inside_to_a_module_outside_is_an_error(name):
    model = counting(TRANSFORMS[name])(uses_inner=False)
    with pytest.raises(errors.TracedWriteError) as caught:
        model.apply(STATE, X, mutable=["state"])
    assert str(caught.value).startswith("Cannot write 'count' at state: the value belongs to a JAX")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_write_to_the_module_that_the_function_gets_is_brought_out(name):
    model = counting(TRANSFORMS[name])(uses_inner=True)
    _, state = model.apply(STATE, X, mutable=["state"])
    expected = 4 + 8 if name in ("scan", "while_loop") else 4
    assert float(state["state"]["count"]) == expected


def test_a_write_under_a_plain_jax_transform_is_an_error():
    model = counting(lambda step, module, x: jax.checkpoint(lambda x: step(module, x))(x))
    with pytest.raises(errors.TracedWriteError, match=r"Replace a plain JAX transform by"):
        model(uses_inner=True).apply(STATE, X, mutable=["state"])


def test_values_from_outside_may_be_written_from_inside():
    def body(outer, x):
        def step(inner, carry, _):
            outer.sow("intermediates", "outside", x)
            outer.sow("intermediates", "number", 3)
            return carry, None

        return nn.scan(step, length=2)(outer, x, None)[0]

    for apply in (model_of(body).apply, jax.jit(model_of(body).apply, static_argnames="mutable")):
        _, state = apply({}, X, mutable="intermediates")
        assert set(state["intermediates"]) == {"outside", "number"}
        assert (state["intermediates"]["outside"][0] == X).all()


def test_reading_variables_of_a_module_outside_is_no_error():
    def body(outer, x):
        dense = nn.Dense(4)
        dense(x)
        return nn.scan(lambda inner, carry, _: (dense(carry), None), length=2)(outer, x, None)[0]

    y, variables = model_of(body).init_with_output(KEY, X)
    kernel = variables["params"]["Dense_0"]["kernel"]
    assert jnp.allclose(y, X @ kernel @ kernel, rtol=1e-5)


def test_a_bound_module_may_be_written_under_another_trace():
    bound = nn.BatchNorm(use_running_average=False).bind(
        {"batch_stats": {"mean": jnp.zeros(4), "var": jnp.ones(4)}, "params": {"scale": X, "bias": X}},
        mutable=["batch_stats"],
    )  # fmt: skip
    assert jax.jit(lambda x: 2 * bound(x))(jnp.ones((2, 4))).shape == (2, 4)
