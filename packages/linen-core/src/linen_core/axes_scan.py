"""`jax.lax.scan` over any axes of plain functions, with the names of ``flax.core.axes_scan``.

`linen_core.scan` does the same for modules, and `linen_core.lift.scan` for functions of scopes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

from linen_core._jax_compat import unknown_like
from linen_core.transforms._scan_axes import has_broadcast, scan_axes
from linen_core.transforms.axes import broadcast
from linen_core.typing import AxesPytree

__all__ = ["ScanAxis", "broadcast", "build_shaped_array", "scan"]

ScanAxis: TypeAlias = int | None
"""An axis to scan."""


def scan(
    fn: Callable[..., Any],
    in_axes: AxesPytree,
    out_axes: AxesPytree,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
    _split_transpose: bool = False,
    check_constancy_invariants: bool = True,
) -> Callable[..., Any]:
    """Scan a function that also has inputs and outputs that are the same in all steps.

    Args:
      fn: ``fn(constants, carry, *args)`` returns ``(constants, carry, results)``. It is called once before the loop,
        without values for the carry and the scanned arguments, to compute the constants that all steps use.
      in_axes: the scanned axis of each argument, or `broadcast` for an argument that is the same in all steps.
      out_axes: the scanned axis of the results, or `broadcast` for results that are the same in all steps.
      length: number of steps; needed if no argument is scanned.
      reverse: whether to run from the last step to the first.
      unroll: number of steps in one iteration of the compiled loop.
      _split_transpose: as for `jax.lax.scan`.
      check_constancy_invariants: whether to compute the constants and broadcast results before the loop. Without it
        all steps use the constants that the caller passes.

    Returns:
      A function of ``(constants, carry, *args)`` that returns ``(constants, carry, results)``.

    Raises:
      ValueError: from the returned function, if a constant depends on the step, or if results are broadcast without
        ``check_constancy_invariants``.

    Example:
      >>> import jax.numpy as jnp
      >>> def add(bias, total, x):
      ...     return bias, total + x + bias, total
      >>> _, total, sums = scan(add, in_axes=0, out_axes=0)(1, 0, jnp.arange(3))
      >>> int(total), sums.tolist()
      (6, [0, 1, 3])
    """

    def scanned(constants: Any, carry: Any, *args: Any) -> Any:
        has_broadcast(out_axes, check_constancy_invariants)
        run = scan_axes(
            fn,
            in_axes,
            out_axes,
            check_constancy_invariants,
            "axes_scan.scan",
            length=length,
            reverse=reverse,
            unroll=unroll,
            _split_transpose=_split_transpose,
        )
        return run(constants, carry, *args)

    return scanned


def build_shaped_array(x: Any, batch_dim: bool = False) -> jax.core.ShapedArray:
    """Return the shape, dtype and sharding of an array, without its values.

    Args:
      x: an array or a number.
      batch_dim: whether to leave out the leading axis.

    Example:
      >>> import jax.numpy as jnp
      >>> build_shaped_array(jnp.ones((2, 3)), batch_dim=True).shape
      (3,)
    """
    return unknown_like(x, drop_leading_axis=batch_dim)  # type: ignore[no-any-return]
