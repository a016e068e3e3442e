"""BatchApply: apply a function of one batch axis to arrays with several."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from linen_core.errors import LayerArgumentError
from linen_core.typing import PyTree

__all__ = ["BatchApply"]


class BatchApply:
    """Merge the leading axes of all inputs, call a function, and split the axis of its outputs again.

    Inputs with fewer than `num_dims` axes are passed unchanged. The outputs get the leading axes of the first input
    that has enough axes.

    Attributes:
      num_dims: number of leading axes to merge.

    >>> import jax.numpy as jnp, linen_core as nn
    >>> nn.BatchApply(lambda x: x.sum(axis=-1))(jnp.ones((2, 3, 4))).shape
    (2, 3)
    """

    def __init__(self, f: Callable[..., Any], num_dims: int = 2) -> None:
        """Wrap a function.

        Args:
          f: a function or module that takes arrays with one leading axis.
          num_dims: number of leading axes to merge.
        """
        self._f = f
        self.num_dims = num_dims

    def __call__(self, *args: PyTree, **kwargs: PyTree) -> Any:
        """Call the function.

        Args:
          *args: positional arguments: trees of arrays.
          **kwargs: keyword arguments: trees of arrays.

        Returns:
          The outputs of the function, a tree of arrays, each with the leading axes.

        Raises:
          LayerArgumentError: all inputs have fewer than `num_dims` axes.
        """
        leaves = [*jax.tree.leaves(args), *jax.tree.leaves(kwargs)]
        shapes = [np.shape(leaf) for leaf in leaves]
        lead = next((s[: self.num_dims] for s in shapes if len(s) >= self.num_dims), None)
        if lead is None:
            name = "BatchApply"
            raise LayerArgumentError(
                name,
                "args",
                f"arrays of shapes {shapes}",
                f"at least one with {self.num_dims} axes or more",
            )
        args, kwargs = jax.tree.map(self._merge, (args, kwargs))
        outputs = self._f(*args, **kwargs)
        return jax.tree.map(lambda x: x.reshape(lead + x.shape[1:]), outputs)

    def _merge(self, x: ArrayLike) -> Any:
        if np.ndim(x) < self.num_dims:
            return x
        array = x if isinstance(x, jax.Array | np.ndarray) else jnp.asarray(x)
        shape = (math.prod(array.shape[: self.num_dims]), *array.shape[self.num_dims :])
        return array.reshape(shape)
