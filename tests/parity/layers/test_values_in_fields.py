"""Fields that hold arrays, unhashable callables and callables whose equality lies: as on flax, with and without jit."""

import functools

import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn

KEY = jax.random.key(0)
S = jax.random.normal(KEY, (2, 4, 6))
X = jax.random.normal(KEY, (2, 4, 4, 3))


class Unhashable:
    """Stands before a function of JAX; equal to every other of its class, and without a hash."""

    function = None

    def __call__(self, *args, **kwargs):
        return type(self).function(*args, **kwargs)

    def __eq__(self, other):
        return isinstance(other, type(self))

    __hash__ = None


class Dot(Unhashable):
    function = staticmethod(jax.lax.dot_general)


class Convolution(Unhashable):
    function = staticmethod(jax.lax.conv_general_dilated)


def small(value=1e-3):
    return jnp.float32(value)


def attention(lib, **fields):
    return lib.MultiHeadDotProductAttention(num_heads=2, deterministic=False, **fields)


def biased(lib):
    return functools.partial(lib.dot_product_attention, bias=jnp.ones((1, 1, 4, 4)))


LAYERS = {
    "momentum": lambda lib: (lib.BatchNorm(use_running_average=False, momentum=small(0.9)), S),
    "batch epsilon": lambda lib: (lib.BatchNorm(use_running_average=False, epsilon=small()), S),
    "layer epsilon": lambda lib: (lib.LayerNorm(epsilon=small()), S),
    "numpy epsilon": lambda lib: (lib.LayerNorm(epsilon=np.array(1e-3)), S),
    "rms epsilon": lambda lib: (lib.RMSNorm(epsilon=small()), S),
    "group epsilon": lambda lib: (lib.GroupNorm(num_groups=3, epsilon=small()), S),
    "instance epsilon": lambda lib: (lib.InstanceNorm(epsilon=small()), S),
    "rate": lambda lib: (lib.Dropout(rate=np.array(0.5), deterministic=False), S),
    "attention rate": lambda lib: (attention(lib, dropout_rate=np.float32(0.5)), S),
    "attention function": lambda lib: (attention(lib, attention_fn=biased(lib)), S),
    "attention products": lambda lib: (attention(lib, qkv_dot_general=Dot(), out_dot_general_cls=Dot), S),
    "product": lambda lib: (lib.Dense(3, dot_general=Dot()), S),
    "product class": lambda lib: (lib.DenseGeneral((3, 2), dot_general_cls=Dot), S),
    "convolution": lambda lib: (lib.Conv(3, (2, 2), conv_general_dilated=Convolution()), X),
    "local convolution": lambda lib: (lib.ConvLocal(3, (2, 2), conv_general_dilated=Convolution()), X),
    "activation": lambda lib: (lib.Sequential([lib.Dense(3), functools.partial(jnp.add, small())]), S),
    "constant": lambda lib: (lib.Dense(3, kernel_init=lib.initializers.constant(jnp.ones((6, 3)))), S),
    "lists": lambda lib: (lib.BatchNorm(axis=[-1, -2], use_running_average=False), S),
    "weight norm": lambda lib: (lib.WeightNorm(lib.Dense(3), epsilon=small()), S),
}  # fmt: skip


def run(lib, make, wrap):
    model, x = make(lib)
    variables = wrap(model.init)({"params": KEY, "dropout": KEY}, x)

    def apply(variables, x):
        return model.apply(variables, x, rngs={"dropout": KEY}, mutable=["batch_stats"])

    return wrap(apply)(variables, x)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jitted"])
@pytest.mark.parametrize("name", LAYERS)
def test_values_in_fields(name, wrap):
    ours, theirs = (run(lib, LAYERS[name], wrap) for lib in (nn, flax_nn))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, theirs))


class Attends(nn.Module):
    """Attention whose function is a module, or a method of one."""

    as_method: bool

    @nn.compact
    def __call__(self, x):
        function = Scaled(name="scaled")
        function = function.attend if self.as_method else function
        return nn.MultiHeadDotProductAttention(2, attention_fn=function)(x)


class Scaled(nn.Module):
    @nn.compact
    def __call__(self, query, key, value, mask=None, **kwargs):
        scale = self.param("scale", nn.initializers.constant(2.0), ())
        return scale * nn.dot_product_attention(query, key, value, mask=mask)

    def attend(self, query, key, value, mask=None):
        return self(query, key, value, mask)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jitted"])
@pytest.mark.parametrize("as_method", [False, True])
def test_a_bound_module_may_attend(as_method, wrap):
    model = Attends(as_method)
    variables = wrap(model.init)(KEY, S)
    assert set(variables["params"]) == {"scaled", "MultiHeadDotProductAttention_0"}
    assert wrap(model.apply)(variables, S).shape == S.shape


EPSILONS = [small(1e-3), small(10.0)]


def test_arrays_in_fields_are_told_apart_under_jit():
    outputs = [
        jax.jit(nn.LayerNorm(epsilon=e).apply)(
            {"params": {"scale": jnp.ones(6), "bias": jnp.zeros(6)}}, S
        )
        for e in EPSILONS
    ]
    assert (outputs[0] != outputs[1]).any()
