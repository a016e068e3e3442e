from .mixer import MLPMixer
from .resnet import ResNet

_MODELS = {'resnet': ResNet, 'mixer': MLPMixer}


def create_model(config, **kwargs):
  """Build the model that a config names."""
  import jax.numpy as jnp

  dtype = getattr(jnp, config.dtype)
  if config.model == 'mixer':
    kwargs.setdefault('hidden_dim', config.widths[0])
    return MLPMixer(num_classes=config.num_classes, dtype=dtype, **kwargs)
  return _MODELS[config.model](
      num_classes=config.num_classes,
      widths=config.widths,
      blocks=config.blocks,
      dtype=dtype,
      **kwargs,
  )
