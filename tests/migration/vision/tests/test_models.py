import flax
import jax
import jax.numpy as jnp
import pytest
from flax import errors

import models
from configs import tiny
from models.layers import DropPath


@pytest.mark.parametrize("name", ["resnet", "mixer"])
def test_shapes(name):
    model = models.create_model(tiny.get_config().replace(model=name))
    x = jnp.ones((2, 8, 8, 3))
    variables = jax.eval_shape(lambda: model.init(jax.random.PRNGKey(0), x, train=False))
    out = jax.eval_shape(lambda v: model.apply(v, x, train=False), variables)
    assert out.shape == (2, 4)
    flat = flax.traverse_util.flatten_dict(variables["params"], sep="/")
    assert "head/kernel" in flat


def test_drop_path_keeps_everything_at_rest():
    x = jnp.arange(6.0).reshape(3, 2)
    assert (DropPath(0.5).apply({}, x, deterministic=True) == x).all()


def test_drop_path_needs_a_flag():
    with pytest.raises(ValueError):
        DropPath(0.5).apply({}, jnp.ones((1, 2)))


def test_missing_rng_is_an_error():
    with pytest.raises(errors.InvalidRngError):
        DropPath(0.5).apply({}, jnp.ones((1, 2)), deterministic=False)
