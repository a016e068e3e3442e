"""TrainState: the parameters, optimiser and step of a training run as one pytree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp

from linen_core import struct
from linen_core.typing import OVERWRITE_WITH_GRADIENT, PyTree

__all__ = ["TrainState"]


class TrainState(struct.PyTreeNode):
    """The state of a training run with one optimiser.

    Subclass it to carry more, for example ``batch_stats``.

    Example:
      >>> import optax
      >>> state = TrainState.create(apply_fn=None, params={"w": jnp.ones(2)}, tx=optax.sgd(0.5))
      >>> state.apply_gradients(grads={"w": jnp.ones(2)}).params
      {'w': Array([0.5, 0.5], dtype=float32)}
    """

    step: int | jax.Array
    """Number of optimiser steps so far."""
    apply_fn: Callable[..., Any] | None = struct.field(pytree_node=False)
    """Usually the model's `apply`."""
    params: Any = struct.field(pytree_node=True)
    """The parameters."""
    tx: Any = struct.field(pytree_node=False)
    """An optax gradient transformation: anything with `init(params)` and `update(grads, state, params)`."""
    opt_state: Any = struct.field(pytree_node=True)
    """The optimiser's state."""

    def apply_gradients(self, *, grads: PyTree, **kwargs: object) -> Self:
        """Return the state after one step of the optimiser.

        Args:
          grads: gradients, of the structure of ``params``.
          **kwargs: further fields to replace.

        Example:
          >>> import optax
          >>> state = TrainState.create(apply_fn=None, params={"w": jnp.ones(2)}, tx=optax.sgd(0.5))
          >>> int(state.apply_gradients(grads={"w": jnp.ones(2)}).step)
          1
        """
        # The optimiser must not see the FP8 scales: their "gradients" are their next values.
        overwrites = OVERWRITE_WITH_GRADIENT in grads
        params = self.params["params"] if overwrites else self.params
        updates, opt_state = self.tx.update(
            grads["params"] if overwrites else grads, self.opt_state, params
        )
        params = jax.tree.map(_add, params, updates, is_leaf=lambda leaf: leaf is None)
        if overwrites:
            params = {"params": params, OVERWRITE_WITH_GRADIENT: grads[OVERWRITE_WITH_GRADIENT]}
        return self.replace(step=self.step + 1, params=params, opt_state=opt_state, **kwargs)

    @classmethod
    def create(
        cls, *, apply_fn: Callable[..., Any] | None, params: PyTree, tx: Any, **kwargs: object
    ) -> Self:
        """Create the state at step 0, with a new optimiser state.

        Args:
          apply_fn: usually the model's `apply`.
          params: the parameters.
          tx: the optax gradient transformation.
          **kwargs: values of the fields that a subclass adds.

        Example:
          >>> import optax
          >>> TrainState.create(apply_fn=None, params={"w": jnp.ones(2)}, tx=optax.sgd(0.5)).step
          0
        """
        overwrites = not isinstance(params, jax.Array) and OVERWRITE_WITH_GRADIENT in params
        opt_state = tx.init(params["params"] if overwrites else params)
        return cls(step=0, apply_fn=apply_fn, params=params, tx=tx, opt_state=opt_state, **kwargs)


def _add(param: PyTree, update: PyTree) -> Any:
    return None if param is None else jnp.asarray(param + update).astype(jnp.asarray(param).dtype)
