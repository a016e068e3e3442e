"""Layers that the models share."""

import functools
from typing import Any, Callable, Optional

import flax.linen as nn
import jax.numpy as jnp
from flax.linen import initializers
from flax.linen.module import compact, merge_param
from flax.typing import Dtype, Initializer

ModuleDef = Any

# 3x3 convolutions without bias, as before a normalization
Conv3x3 = functools.partial(nn.Conv, kernel_size=(3, 3), use_bias=False)


class SqueezeExcite(nn.Module):
  """Scale channels by a gate of their means."""

  reduction: int = 2
  kernel_init: Initializer = initializers.variance_scaling(2.0, 'fan_in', 'truncated_normal')
  dtype: Optional[Dtype] = None

  @nn.compact
  def __call__(self, x):
    features = x.shape[-1]
    gate = x.mean(axis=(1, 2), keepdims=True)
    gate = nn.Dense(max(features // self.reduction, 1), kernel_init=self.kernel_init, dtype=self.dtype)(gate)
    gate = nn.Dense(features, kernel_init=self.kernel_init, dtype=self.dtype)(nn.relu(gate))
    return x * nn.sigmoid(gate)


class DropPath(nn.Module):
  """Drop the residual branch of whole examples."""

  rate: float
  deterministic: Optional[bool] = None

  @compact
  def __call__(self, x, deterministic: Optional[bool] = None):
    deterministic = merge_param('deterministic', self.deterministic, deterministic)
    if deterministic or self.rate == 0.0:
      return x
    import jax

    keep = jax.random.bernoulli(self.make_rng('dropout'), 1 - self.rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(keep, x / (1 - self.rate), 0)


class ResidualBlock(nn.Module):
  features: int
  conv: ModuleDef
  norm: ModuleDef
  act: Callable = nn.relu
  strides: int = 1
  drop_rate: float = 0.0

  @nn.compact
  def __call__(self, x, train: bool):
    y = self.conv(self.features, strides=(self.strides, self.strides))(x)
    y = self.act(self.norm()(y))
    y = self.conv(self.features)(y)
    # The last normalization starts at zero: the block is the identity at first.
    y = self.norm(scale_init=nn.initializers.zeros_init())(y)
    y = SqueezeExcite(name='se')(y)
    if x.shape != y.shape:
      x = nn.Conv(self.features, (1, 1), strides=self.strides, use_bias=False, name='proj')(x)
      x = self.norm(name='norm_proj')(x)
    y = DropPath(self.drop_rate)(y, deterministic=not train)
    return self.act(x + y)
