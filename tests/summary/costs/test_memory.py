"""Memory is estimated by the documented rule, and every format calls it an estimate."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_summary import summarize
from linen_summary.costs.memory import peak_bytes

KEY = jax.random.key(0)
X = jax.ShapeDtypeStruct((4, 6), jnp.float32)
BYTES = 4 * 6 * 4


def jaxpr_of(function, *args):
    return jax.make_jaxpr(function)(*args).jaxpr


def used_again(x):
    y = jnp.tan(x)
    return jnp.sin(jnp.cos(jnp.exp(y))) + y


MEMORY = {
    "one result": (jnp.sin, BYTES),
    "a chain keeps two": (lambda x: jnp.sin(jnp.cos(jnp.exp(x))), 2 * BYTES),
    "a result that is used again stays": (used_again, 3 * BYTES),
    "inputs do not count": (lambda x: x, 0),
    "a smaller result": (lambda x: jnp.exp(x)[0] * 1, BYTES + BYTES // 4),
    "within a call": (jax.jit(lambda y: jnp.sin(jnp.cos(y))), 2 * BYTES),
    "half precision": (lambda x: x.astype(jnp.bfloat16), BYTES // 2),
    "results stay": (lambda x: (jnp.sin(x), jnp.cos(x), jnp.exp(x)), 3 * BYTES),
}


@pytest.mark.parametrize("name", MEMORY)
def test_peak_of_memory(name):
    function, expected = MEMORY[name]
    assert peak_bytes(jaxpr_of(function, X)) == expected


def test_results_can_be_left_out():
    assert peak_bytes(jaxpr_of(lambda x: (jnp.sin(x), jnp.cos(x)), X), with_results=False) == 0


class Deep(nn.Module):
    wrap: bool = False

    @nn.compact
    def __call__(self, x):
        block = nn.remat(Block) if self.wrap else Block
        for _ in range(8):
            x = block()(x)
        return x


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(6)(nn.tanh(nn.Dense(24)(x)))


def measured(module, x=X):
    return summarize(module, KEY, x, compute_macs=True, compute_memory=True, compute_flops=True)


def test_rows_have_macs_and_memory():
    table = measured(Deep())
    dense = next(row for row in table if row.outputs.shape == (4, 24) and row.path)
    assert dense.macs == 4 * 6 * 24
    assert table.total("macs") == sum(row.macs for row in table if len(row.path) == 2) == 9216
    assert table.total("training_bytes") > table.total("activation_bytes") > 0
    forward = jaxpr_of(lambda p, x: Deep().apply(p, x), Deep().init(KEY, jnp.ones((4, 6))), X)
    assert table.total("activation_bytes") == peak_bytes(forward)


def test_memory_of_training_grows_with_depth_and_shrinks_with_rematerialization():
    plain, wrapped = measured(Deep(), jnp.ones((512, 6))), measured(Deep(True), jnp.ones((512, 6)))
    assert wrapped.total("training_bytes") < 0.7 * plain.total("training_bytes")
    assert wrapped.total("activation_bytes") < 1.3 * plain.total("activation_bytes")


def test_every_format_calls_an_estimate_an_estimate():
    table = measured(Deep())
    note = (
        "Estimates of activation memory, from the trace: every result is stored until its last use."
    )
    assert note in " ".join(str(table).split("\n"))
    assert "estimate" in str(table).splitlines()[3]
    assert "activation_bytes (estimated)" in table.to_csv()
    assert "training_bytes (estimated)" in table.to_markdown()
    assert "training_bytes (estimated)" in table.to_html()
    assert table.to_dict()["estimated"] == ["activation_bytes", "training_bytes"]


def test_a_call_that_cannot_be_traced_is_unknown_with_the_reason():
    decoder = nn.MultiHeadDotProductAttention(num_heads=2, decode=True)
    row = measured(decoder, jnp.ones((1, 5, 4)))[0]
    assert (row.macs, row.activation_bytes, row.training_bytes) == (None, None, None)
    assert set(row.unknown) == {"flops", "macs", "activation_bytes", "training_bytes"}
    assert row.unknown["macs"] == row.flops_note != ""
