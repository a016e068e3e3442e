"""Abstract evaluation: what becomes a tracer, and what keeps its value."""

import jax
import jax.numpy as jnp
import numpy as np

import linen_core as nn
from linen_core.abstract import eval_shape

X = jax.ShapeDtypeStruct((2, 3), jnp.float32)


def test_only_specifications_become_tracers():
    seen = {}

    def look(x, *, array, flag, name, nothing):
        seen.update(x=x, array=array, flag=flag, name=name, nothing=nothing)
        return x

    array = np.ones(2)
    eval_shape(look, X, array=array, flag=True, name="train", nothing=None)
    assert isinstance(seen["x"], jax.core.Tracer)
    assert seen["array"] is array
    assert seen["flag"] is True
    assert seen["name"] == "train"
    assert seen["nothing"] is None


def test_describes_the_result():
    out = eval_shape(lambda tree: {"sum": tree["a"].sum(0), "n": tree["n"]}, {"a": X, "n": 3})
    assert out["sum"] == jax.ShapeDtypeStruct((3,), jnp.float32)
    assert out["n"].shape == ()


def test_an_argument_may_be_called_fun():
    assert eval_shape(lambda fun: fun, fun=X) == X


class Switched(nn.Module):
    @nn.compact
    def __call__(self, x, wide: bool, mode="plain"):
        x = nn.Dense(8 if wide else 2)(x)
        return nn.LayerNorm()(x) if mode == "norm" else x


def test_module_paths_follows_flags_and_strings():
    model, key = Switched(), jax.random.key(0)
    assert list(model.module_paths(key, X, True)) == ["", "Dense_0"]
    assert list(model.module_paths(key, X, False, "norm")) == ["", "Dense_0", "LayerNorm_0"]


def test_touched_takes_flags_strings_and_arrays():
    variables = Switched().init(jax.random.key(0), jnp.ones((2, 3)), True, "norm")
    found = nn.touched(Switched(), variables, jnp.ones((2, 3)), True, "plain")
    assert {path[0] for _, path in found.read} == {"Dense_0"}
    assert {path[0] for _, path in found.unused} == {"LayerNorm_0"}
