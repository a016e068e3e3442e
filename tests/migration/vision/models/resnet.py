from functools import partial
from typing import Any, Sequence

from flax import linen as nn
import jax.numpy as jnp

from .layers import Conv3x3, ResidualBlock


class ResNet(nn.Module):
  """A residual network with batch normalization."""

  num_classes: int
  widths: Sequence[int]
  blocks: Sequence[int]
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, train: bool = True):
    conv = partial(Conv3x3, dtype=self.dtype, kernel_init=nn.initializers.kaiming_normal())
    norm = partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=0.9,
        dtype=self.dtype,
        axis_name=self.axis_name,
    )
    x = conv(self.widths[0], name='conv_init')(x)
    x = nn.relu(norm(name='norm_init')(x))
    for i, (width, count) in enumerate(zip(self.widths, self.blocks)):
      for j in range(count):
        strides = 2 if i > 0 and j == 0 else 1
        x = ResidualBlock(width, conv=conv, norm=norm, strides=strides, drop_rate=0.1)(x, train)
      self.sow('intermediates', f'stage{i}', x.mean())
    x = nn.avg_pool(x, x.shape[1:3])
    x = x.reshape((x.shape[0], -1))
    return nn.Dense(self.num_classes, dtype=self.dtype, name='head')(x).astype(jnp.float32)
