import flax
import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from flax.core import FrozenDict

from lm import generate, registry, types
from lm.config import Config
from lm.model import LanguageModel

TOKENS = jnp.arange(1, 9).reshape(2, 4)


@pytest.fixture(scope="module")
def boxed():
    return jax.jit(LanguageModel(Config()).init)(jax.random.key(0), TOKENS)["params"]


def test_parameters_have_names(boxed):
    spec = nn.get_partition_spec(boxed)
    flat = flax.traverse_util.flatten_dict(spec, sep="/")
    assert tuple(flat["decoder/layers/mlp/wo/kernel"]) == ("layers", "mlp", "embed")
    assert isinstance(boxed["pos_embed"], nn.LogicallyPartitioned)


def test_scan_stacks_the_blocks(boxed):
    loop = jax.eval_shape(LanguageModel(Config(scan=False)).init, jax.random.key(0), TOKENS)
    assert types.count(nn.unbox(boxed)) == types.count(nn.unbox(loop["params"]))


def test_greedy_takes_frozen_parameters(boxed):
    model, params = LanguageModel(Config()), nn.unbox(boxed)
    plain = generate.greedy(model, params, TOKENS, 1)
    assert plain.shape == (2, 5)
    assert (generate.greedy(model, FrozenDict(params), TOKENS, 1) == plain).all()


def test_registry():
    assert registry.activation("silu") is nn.swish
    assert registry.has_module("Dense") and not registry.has_module("Dence")
    head = generate.Head(3)
    assert head.init_with_output(jax.random.key(0), jnp.ones((1, 2)))[0].shape == (1, 3)
