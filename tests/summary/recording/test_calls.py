"""Calls are recorded in one abstract run, with specifications for arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_summary import summarize
from linen_summary.recording.calls import as_specs, record_calls

KEY = jax.random.key(0)


X = jax.ShapeDtypeStruct((2, 3), jnp.float32)


def total_size(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def test_shapes_keys_and_flags():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool, mode: str = "a"):
            x = nn.Dropout(0.5, deterministic=not train)(x)
            return nn.Dense(3 if mode == "b" else 2)(x)

    keys = jax.eval_shape(lambda: {"params": KEY, "dropout": KEY})
    table = summarize(Model(), keys, X, True, mode="b")
    assert table[0].inputs == (X, True, {"mode": "b"})
    assert table[0].outputs.shape == (2, 3)


def test_nothing_is_computed():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1 << 20)(nn.Dense(1 << 20)(x))

    before = len(jax.live_arrays())
    table = summarize(Model(), KEY, X, compute_flops=True)  # four terabytes of parameters
    assert table.bytes > 4e12
    assert len(jax.live_arrays()) <= before


def test_any_dtype():
    class Odd(nn.Module):
        @nn.compact
        def __call__(self, key, x):
            self.param("small", lambda _: jnp.zeros(4, jnp.float8_e4m3fn))
            self.variable("keys", "key", lambda: key)
            return {"x": x.astype(jnp.int4), "key": key}

    table = summarize(Odd(), KEY, KEY, X, compute_flops=True)
    assert str(table[0].inputs[0].dtype) == "key<fry>"
    assert table.totals() == {"keys": (1, 8), "params": (4, 4)}
    assert "key: key<fry>[]" in table.to_csv()


def test_python_numbers_are_the_arrays_that_init_returns():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.variable("state", "steps", lambda: 0)
            self.variable("state", "rate", lambda: 0.5)
            return x

    table = summarize(Model(), KEY, X)
    variables = jax.eval_shape(Model().init, KEY, X)
    assert table.size == total_size(variables) == 2
    assert table.bytes == 8


def test_numpy_inputs_keep_their_values():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, sizes):
            return nn.Dense(int(sizes.max()))(x)

    table = summarize(Model(), KEY, X, np.array([2, 5]))
    assert table[0].outputs.shape == (2, 5)


class Shared(nn.Module):
    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(3)
        return layer(layer(x)) + nn.Dense(3)(x)


def test_calls_are_in_the_order_in_which_they_begin():
    calls, variables = record_calls(Shared(), KEY, (X,), {})
    assert [call.path for call in calls] == [(), ("Dense_0",), ("Dense_0",), ("Dense_1",)]
    assert [call.index for call in calls] == [0, 1, 2, 3]
    assert all(call.outputs == jax.ShapeDtypeStruct((2, 3), jnp.float32) for call in calls)
    assert list(variables["params"]) == ["Dense_0", "Dense_1"]


def test_only_a_first_call_has_its_variables():
    calls, _ = record_calls(Shared(), KEY, (X,), {})
    assert [call.variables is None for call in calls] == [False, False, True, False]


def test_a_call_that_needs_variables_of_others_has_none():
    class Caller(nn.Module):
        other: nn.Module

        def __call__(self, x):
            return self.other(x)

    class Root(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Caller(nn.Dense(3, name="other"))(x)

    calls, _ = record_calls(Root(), KEY, (X,), {})
    by_path = {call.path: call for call in calls}
    assert by_path["Caller_0",].variables is None
    assert by_path["other",].variables is not None


@pytest.mark.parametrize(
    ("leaf", "spec"),
    [
        (np.zeros(3), jax.ShapeDtypeStruct((3,), jnp.float32)),
        (jnp.bfloat16, jax.ShapeDtypeStruct((), jnp.bfloat16)),
        (1j, jax.ShapeDtypeStruct((), jnp.complex64)),
        (2.5, 2.5),
        (True, True),
        (None, None),
        ("text", "text"),
    ],
)
def test_arrays_and_dtypes_become_specifications(leaf, spec):
    assert as_specs([leaf]) == [spec]
