"""Like `jax.eval_shape`, but only `jax.ShapeDtypeStruct` leaves are traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from linen_core._context import replaced_context
from linen_core.typing import PyTree

__all__ = ["eval_shape"]


def eval_shape(fun: Callable[..., Any], /, *args: PyTree, **kwargs: PyTree) -> Any:
    """Compute the shapes and dtypes of a function's result without running a FLOP.

    In contrast to `jax.eval_shape`, only `jax.ShapeDtypeStruct` leaves become tracers. Flags, strings and arrays keep
    their values, and the function may branch on them.

    Args:
      fun: the function.
      *args: positional arguments; pytrees.
      **kwargs: keyword arguments; pytrees.

    Returns:
      The result with a `jax.ShapeDtypeStruct` for each array.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jax.ShapeDtypeStruct((2, 3), jnp.float32)
      >>> eval_shape(lambda x, double: jnp.concatenate([x, x]) if double else x, x, double=True)
      ShapeDtypeStruct(shape=(4, 3), dtype=float32)
    """
    leaves, structure = jax.tree.flatten((args, kwargs))
    specs = {
        i: _as_traced(leaf)
        for i, leaf in enumerate(leaves)
        if isinstance(leaf, jax.ShapeDtypeStruct)
    }

    def run(arrays: dict[int, Any]) -> Any:
        filled = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
        args, kwargs = jax.tree.unflatten(structure, filled)
        with replaced_context(only_shapes=True):
            return fun(*args, **kwargs)

    return jax.eval_shape(run, specs)


def _as_traced(spec: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Replace a 64-bit dtype by the 32-bit one that JAX uses unless ``jax_enable_x64`` is set."""
    if jnp.issubdtype(spec.dtype, jax.dtypes.extended):
        return spec
    dtype = jax.dtypes.canonicalize_dtype(spec.dtype)
    return spec if dtype == spec.dtype else spec.update(dtype=dtype)
