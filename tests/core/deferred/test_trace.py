"""A deferred run of `init`: the body runs once, may look at values, and leaves nothing behind."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn

KEY = jax.random.key(0)
X = jnp.arange(6.0).reshape(2, 3)


def initialize(body, *args, **kwargs):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return body(self, x)

    return Model().init(KEY, X, *args, **kwargs)


def test_the_body_runs_once():
    calls = []
    initialize(lambda module, x: calls.append(nn.Dense(4)(x).shape))
    assert calls == [(2, 4)]


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (lambda y: float(y.sum()), 66.0),
        (lambda y: int(y[0, 1]), 3),
        (lambda y: bool(y[0, 0] > 0), True),
        (lambda y: y.tolist()[0], [3.0, 3.0]),
        (lambda y: y[1, 1].item(), 30.0),
        (lambda y: np.asarray(y).shape, (2, 2)),
        (lambda y: f"{y[0, 0]:.1f}", "3.0"),
        (lambda y: str(y[0]), "[3. 3.]"),
        (lambda y: y[y > 5].shape, (2,)),
        (lambda y: jnp.nonzero(y > 5)[0].tolist(), [1, 1]),
        (lambda y: jnp.unique(y).tolist(), [3.0, 30.0]),
        (lambda y: jnp.setdiff1d(y[0], y[1]).tolist(), [3.0]),
        (lambda y: range(3)[y.astype(int)[0, 0] - 2], 1),
        (lambda y: jnp.arange(int(y[0, 0])).shape, (3,)),
        (lambda y: len(y.devices()), 1),
        (lambda y: y.sharding.num_devices, 1),
        (lambda y: y.is_fully_addressable, True),
        (lambda y: jax.device_get(y).shape, (2, 2)),
        (lambda y: jax.block_until_ready(y).shape, (2, 2)),
    ],
)
def test_the_body_may_look_at_values(look, expected):
    found = []

    def body(module, x):
        y = nn.Dense(2, kernel_init=nn.initializers.ones)(x)
        y = y.at[1].multiply(2.5)
        found.append(look(y))

    initialize(body)
    assert found == [expected]


def test_a_value_decides_about_parameters():
    variables = initialize(lambda module, x: nn.Dense(3 if x.sum() > 0 else 4)(x))
    assert variables["params"]["Dense_0"]["kernel"].shape == (3, 3)


def test_effects_run_in_order(capfd):
    def body(module, x):
        print("first")
        jax.debug.print("second {}", x.sum(), ordered=True)
        y = jax.pure_callback(lambda v: np.asarray(v) + 1, jax.ShapeDtypeStruct((2, 3), x.dtype), x)
        print("third", float(y[0, 0]))

    initialize(body)
    jax.effects_barrier()
    assert capfd.readouterr().out.splitlines() == ["first", "second 15.0", "third 1.0"]


def test_gradients_and_transforms_inside_the_body():
    found = []

    def body(module, x):
        y = nn.Dense(1, kernel_init=nn.initializers.ones)(x)
        slope = jax.grad(lambda v: (v**2).sum())(y)
        doubled = jax.vmap(lambda row: 2 * row)(y)
        looped = jax.lax.scan(lambda carry, row: (carry + row, carry), jnp.zeros(1), y)[0]
        jitted = jax.jit(lambda v: v + y)(y)
        smooth = jax.nn.relu(y) + jax.nn.silu(0 * y)  # with rules of their own for gradients
        found.extend(map(np.asarray, (slope, doubled, looped, jitted, smooth)))

    initialize(body)
    y = np.array([[3.0], [12.0]])
    for value, expected in zip(found, (2 * y, 2 * y, y.sum(0), 2 * y, y), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_value_that_outlives_the_run_is_usable():
    kept = []
    initialize(lambda module, x: kept.append(nn.Dense(2, kernel_init=nn.initializers.ones)(x)))
    (y,) = kept
    expected = np.array([[3.0, 3.0], [12.0, 12.0]])
    np.testing.assert_array_equal(y + 1, expected + 1)
    np.testing.assert_array_equal(jax.jit(lambda v: v * 2)(y), expected * 2)
    np.testing.assert_array_equal(jax.vmap(lambda row: row + y[0])(y), expected + 3)
    np.testing.assert_array_equal(jnp.stack([y, y])[1], expected)
    assert repr(y) == repr(jnp.asarray(expected))


def test_an_array_of_numpy_is_read_when_it_is_used():
    def body(module, x):
        buffer = np.ones((2, 3), np.float32)
        y = x + buffer
        buffer += 100
        return module.param("sum", lambda _: y + buffer)

    np.testing.assert_array_equal(initialize(body)["params"]["sum"], X + 1 + 101)


def test_the_body_chooses_a_device():
    def body(module, x):
        with jax.default_device(jax.devices()[2]):
            y = jnp.ones(3) * 2
        return module.param("there", lambda _: y), module.param("here", lambda _: jnp.ones(3))

    params = initialize(body)["params"]
    assert params["there"].devices() == {jax.devices()[2]}
    assert params["here"].devices() == {jax.devices()[0]}


def test_an_error_of_the_body_is_the_error_of_jax():
    with pytest.raises(ValueError, match="simple un-batched matrix-matrix"):
        initialize(lambda module, x: jax.lax.dot(x, x))


def test_a_traced_value_keeps_the_error_of_jax():
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.jit(lambda x: nn.Sequential([lambda v: v if v.sum() > 0 else -v]).init(KEY, x))(X)


def test_the_output_of_init_with_output_is_computed():
    y, variables = nn.Dense(2, kernel_init=nn.initializers.ones).init_with_output(KEY, X)
    assert type(y) is type(X)
    np.testing.assert_array_equal(y, [[3.0, 3.0], [12.0, 12.0]])
    assert list(variables["params"]) == ["kernel", "bias"]


def test_no_array_of_the_run_stays_alive():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, big):
            return nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})(2)(
                jnp.stack([x, x]) + big
            )

    big = jnp.ones((2, 3)) + 1
    alive = weakref.ref(big)
    variables = Model().init(KEY, X, big)
    del big
    gc.collect()
    assert alive() is None
    assert variables["params"]["VmapDense_0"]["kernel"].shape == (2, 3, 2)


def test_a_nested_init_gives_concrete_variables():
    inner = nn.Dense(2)
    found = []

    def body(module, x):
        variables = inner.init(jax.random.key(1), x)
        found.append(inner.apply(variables, x))
        return module.param("copy", lambda _: variables["params"]["kernel"])

    copy = initialize(body)["params"]["copy"]
    np.testing.assert_array_equal(copy, inner.init(jax.random.key(1), X)["params"]["kernel"])


@pytest.mark.parametrize("setting", [jax.disable_jit, lambda: jax.debug_nans(True)])
def test_settings_that_ask_for_eager_execution_are_heeded(setting):
    kept = []
    with setting():
        initialize(lambda module, x: kept.append(nn.Dense(2)(x)))
    assert not isinstance(kept[0], jax.core.Tracer)
