"""Layers that combine layers: Sequential."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from linen_core.errors import LayerArgumentError
from linen_core.layers._common import where
from linen_core.module import Module, compact

__all__ = ["Sequential"]


class Sequential(Module):
    """Call modules or functions one after another, each with the result of the one before.

    The first gets the arguments of the call. A tuple as a result becomes the positional arguments of
    the next, and a dict becomes its keyword arguments.

    Attributes:
      layers: the modules and functions.

    Raises:
      LayerArgumentError: `layers` is not a sequence.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> model = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(2)])
    >>> y, variables = model.init_with_output(jax.random.key(0), jnp.ones((1, 3)))
    >>> print(y.shape, list(variables["params"]))
    (1, 2) ['layers_0', 'layers_2']
    """

    layers: Sequence[Callable[..., Any]]

    def __post_init__(self) -> None:
        if not isinstance(self.layers, Sequence):
            raise LayerArgumentError(
                type(self).__name__,
                "layers",
                f"of type {type(self.layers).__name__}",
                "a sequence of modules and functions",
            )
        super().__post_init__()

    @compact
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call all layers.

        Args:
          *args: positional arguments of the first layer.
          **kwargs: keyword arguments of the first layer.

        Returns:
          The result of the last layer.

        Raises:
          LayerArgumentError: `layers` is empty.
        """
        if not self.layers:
            raise LayerArgumentError(
                where(self), "layers", "empty", "at least one module or function"
            )
        first, *others = self.layers
        outputs = first(*args, **kwargs)
        for layer in others:
            if isinstance(outputs, tuple):
                outputs = layer(*outputs)
            elif isinstance(outputs, dict):
                outputs = layer(**outputs)
            else:
                outputs = layer(outputs)
        return outputs
