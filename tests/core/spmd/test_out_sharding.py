"""Layers with `out_sharding`, on meshes with explicit axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import linen_core as nn

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (8, 16, 32))
CASES = {
    "Dense": (nn.Dense(64), X, {}),
    "Dense without bias": (nn.Dense(64, use_bias=False), X, {}),
    "Dense with a cast": (nn.Dense(64, promote_dtype=lambda *arrays, dtype: arrays), X, {}),
    "DenseGeneral": (nn.DenseGeneral((64,), axis=(-1,)), X, {}),
    "Einsum": (nn.Einsum((32, 64), "abc,cd->abd"), X, {}),
    "Embed": (nn.Embed(16, 64), jnp.arange(128).reshape(8, 16) % 16, {}),
    "Embed.attend": (nn.Embed(64, 32), X, {"method": "attend"}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("spec", [("data", None, "model"), ("data",), (None, None, "model")])
@pytest.mark.parametrize("wrap", [jax.jit, lambda run: run], ids=["jit", "eager"])
def test_the_output_has_the_sharding(case, spec, wrap):
    layer, x, method = CASES[case]
    variables = layer.init(KEY, x, **method)
    expected = layer.apply(variables, x, **method)
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    wanted = NamedSharding(mesh, PartitionSpec(*spec))
    with jax.set_mesh(mesh):
        split = jax.device_put(x, PartitionSpec("data"))
        whole = jax.device_put(variables, PartitionSpec())
        for asked in (wanted, wanted.spec):
            y = wrap(lambda v, x, asked=asked: layer.apply(v, x, out_sharding=asked, **method))(
                whole, split
            )
            assert y.sharding.is_equivalent_to(wanted, y.ndim)
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_a_kernel_that_is_split_is_contracted():
    """The case that needs it: without `out_sharding`, the result of a product over a split axis is ambiguous."""
    layer = nn.Dense(64)
    variables = layer.init(KEY, X)
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    with jax.set_mesh(mesh):
        x = jax.device_put(X, PartitionSpec("data", None, "model"))
        whole = jax.device_put(variables, PartitionSpec())
        whole["params"]["kernel"] = jax.device_put(
            whole["params"]["kernel"], PartitionSpec("model", None)
        )
        with pytest.raises(Exception, match="out_sharding"):
            jax.jit(layer.apply)(whole, x)
        y = jax.jit(lambda v, x: layer.apply(v, x, out_sharding=PartitionSpec("data")))(whole, x)
    np.testing.assert_allclose(y, layer.apply(variables, X), rtol=1e-5, atol=1e-5)


def test_a_replacement_of_dot_general_gets_it():
    seen = []

    def dot_general(*args, **options):
        seen.append(options.pop("out_sharding", None))
        return jax.lax.dot_general(*args, **options)

    layer = nn.Dense(4, dot_general=dot_general)
    variables = layer.init(KEY, X)
    layer.apply(variables, X, out_sharding=PartitionSpec())
    assert seen == [None, PartitionSpec()]
