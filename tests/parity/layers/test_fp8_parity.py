"""Products in 8 bits, with drawn dtypes, shapes and states: the same bits as flax's."""

import flax.linen as flax_nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity._compare import assert_same_outcome, assert_same_tree, parity_settings, plain
from parity.layers._draw import array

NARROW = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
WIDE = ["float32", "bfloat16", "float16"]
SIZES = [0.0, 1e-6, 1.0, 300.0, 1e6, float("inf"), float("nan")]
BOTH = (nn.fp8_ops, flax_nn.fp8_ops)


def same(call):
    assert_same_outcome(lambda: call(BOTH[0]), lambda: call(BOTH[1]))


@parity_settings(share=2)
@hypothesis.given(
    narrow=st.sampled_from([*NARROW, "float32"]),
    wide=st.sampled_from(WIDE),
    compute=st.sampled_from(WIDE),
    size=st.sampled_from(SIZES),
    scale=st.sampled_from([1.0, 0.25, 1e-3, 700.0]),
    history=st.lists(st.sampled_from([0.0, 1.0, 448.0, 1e5, float("inf")]), min_size=1, max_size=3),
    margin=st.sampled_from([0, 1, -2]),
)
def test_scaling(narrow, wide, compute, size, scale, history, margin):
    x, scale = array((2, 3), wide) * jnp.float32(size).astype(wide), jnp.full(1, scale)
    history, narrow = jnp.array(history), jnp.dtype(narrow)
    same(lambda ops: ops.get_fp8_max(narrow, compute))
    same(lambda ops: ops.quantize(x, narrow, scale, compute).astype("float32"))
    same(lambda ops: ops.qdq(x, narrow, scale, compute))
    same(lambda ops: ops.compute_scale(jnp.abs(x).max(), scale, 448.0, margin))
    same(lambda ops: ops.compute_amax_history(x, history))
    same(lambda ops: ops.update_fp8_meta(x, narrow, scale, history))
    same(lambda ops: ops.quantize_dequantize_update(x, narrow, scale, history, compute))
    same(lambda ops: ops.dequantize(x.astype(narrow), compute, scale))


@parity_settings(share=5)
@hypothesis.given(
    function=st.sampled_from(["in_qdq", "out_qdq", "in_q", "out_dq"]),
    narrow=st.sampled_from(NARROW),
    dtype=st.sampled_from(WIDE),
    size=st.sampled_from(SIZES[:5]),
    length=st.sampled_from([1, 4]),
)
def test_casts_and_their_gradients(function, narrow, dtype, size, length):
    x, history = array((2, 3), dtype) * jnp.float32(size).astype(dtype), jnp.arange(float(length))
    narrow, scale = jnp.dtype(narrow), jnp.full(1, 0.5)

    def run(ops):
        cast = getattr(ops, function)
        if function == "out_dq":
            return cast(jnp.dtype(dtype), scale, 2 * scale, x)
        if function == "in_q":
            made, new_scale = cast(jnp.dtype(dtype), narrow, x, scale, history)
            return made.astype("float32"), new_scale
        made, pull_back = jax.vjp(
            lambda *args: cast(jnp.dtype(dtype), narrow, *args), x, scale, history
        )
        return made, pull_back(3 * jnp.ones_like(made))

    same(run)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@parity_settings(share=12)
@hypothesis.given(
    name=st.sampled_from(["Fp8DirectDotGeneralOp", "NANOOFp8DotGeneralOp", "Fp8DotGeneralOp"]),
    narrow=st.sampled_from([None, ("float8_e4m3fn", "float8_e5m2"), ("float8_e5m2",) * 2]),
    dtypes=st.sampled_from([("float32", None), ("bfloat16", "bfloat16"), ("float32", "bfloat16")]),
    length=st.sampled_from([1, 3]),
    size=st.sampled_from(SIZES[:5]),
    shape=st.sampled_from([(3, 4), (2, 3, 4)]),
    layer=st.sampled_from(["Dense", "DenseGeneral", "Einsum"]),
)
def test_layers(name, narrow, dtypes, length, size, shape, layer):
    of_input, of_layer = dtypes
    options = {"amax_history_length": length}
    if narrow:
        options |= {"e4m3_dtype": jnp.dtype(narrow[0]), "e5m2_dtype": jnp.dtype(narrow[1])}
    x = array(shape, of_input) * jnp.float32(size).astype(of_input)

    def run(lib):
        def product():
            return getattr(lib, name)(**options)

        if layer == "Einsum":
            op = lib.Fp8Einsum(**options)
            args = ("...i,io->...o", x, array((4, 5), of_layer or "float32", seed=1))
        else:
            op, args = getattr(lib, layer)(5, dtype=of_layer, dot_general_cls=product), (x,)
        variables = plain(op.init(jax.random.key(0), *args))

        def loss(variables):
            return (op.apply(variables, *args).astype(jnp.float32) ** 2).sum()

        return variables, jax.value_and_grad(loss)(variables)

    assert_same_tree(run(nn), run(flax_nn))
