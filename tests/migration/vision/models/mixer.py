import typing as tp

import einops_lite
import flax
import jax.numpy as jnp
from flax import linen as nn


class MlpBlock(nn.Module):
  dim: int
  dtype: tp.Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    y = nn.gelu(nn.Dense(self.dim, dtype=self.dtype)(x))
    return flax.linen.Dense(x.shape[-1], dtype=self.dtype)(y)


class MixerBlock(nn.Module):
  tokens_dim: int
  channels_dim: int
  dtype: tp.Any = jnp.float32

  def setup(self):
    self.norms = [nn.LayerNorm(dtype=self.dtype), nn.LayerNorm(dtype=self.dtype)]
    self.token_mixing = MlpBlock(self.tokens_dim, self.dtype)
    self.channel_mixing = MlpBlock(self.channels_dim, self.dtype)

  def __call__(self, x):
    y = self.norms[0](x).swapaxes(1, 2)
    x = x + self.token_mixing(y).swapaxes(1, 2)
    return x + self.channel_mixing(self.norms[1](x))


class MLPMixer(nn.Module):
  """Mix patches and channels in turn."""

  num_classes: int
  hidden_dim: int = 8
  patch: int = 4
  depth: int = 2
  dtype: tp.Any = jnp.float32

  @nn.compact
  def __call__(self, x, train: bool = True):
    x = nn.Conv(self.hidden_dim, (self.patch,) * 2, strides=(self.patch,) * 2, name='stem')(x)
    x = einops_lite.flatten_space(x)
    for i in range(self.depth):
      x = MixerBlock(tokens_dim=8, channels_dim=16, dtype=self.dtype, name=f'block{i}')(x)
    x = nn.LayerNorm(name='norm')(x).mean(axis=1)
    return nn.Dense(self.num_classes, kernel_init=flax.linen.initializers.zeros, name='head')(x)
