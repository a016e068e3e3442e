"""`jax.lax.scan` over arbitrary axes, with inputs and outputs that are the same in all steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from linen_core._jax_compat import partial_evaluate, unknown_like
from linen_core.transforms.axes import broadcast
from linen_core.typing import AxesPytree, PyTree

__all__ = ["has_broadcast", "scan_axes"]


def scan_axes(
    fn: Callable[..., Any],
    in_axes: AxesPytree,
    out_axes: AxesPytree,
    finds_constants: bool,
    where: str,
    **scan_kwargs: Any,
) -> Callable[..., Any]:
    """Scan a function that also has inputs and outputs that are the same in all steps.

    Args:
      fn: ``fn(constants, carry, *args)`` returns ``(constants, carry, results)``.
      in_axes: the scanned axis of each argument, or `broadcast`.
      out_axes: the scanned axis of the results, or `broadcast` for results that are the same in all steps.
      finds_constants: whether ``fn`` returns constants, or results that are the same in all steps. `jax.lax.scan`
        stacks all results, so ``fn`` is traced one more time, before the loop, to compute these values outside.
      where: the path of the module, for errors.
      **scan_kwargs: keyword arguments of `jax.lax.scan`.

    Returns:
      A function of ``(constants, carry, *args)`` that returns ``(constants, carry, results)``.

    Raises:
      ValueError: from the returned function, if a constant depends on the step.
    """

    def scanned(constants: PyTree, carry: PyTree, *args: PyTree) -> Any:
        xs = jax.tree.map(_to_front, in_axes, args)

        def step(constants: PyTree, carry: PyTree, xs: PyTree) -> Any:
            values = jax.tree.map(
                lambda axis, arg, x: arg if axis is broadcast else x, in_axes, args, xs
            )
            return fn(constants, carry, *values)

        broadcast_results: Any = None
        if finds_constants:
            constants, broadcast_results = _find_constants(
                step, out_axes, constants, carry, xs, where
            )

        def body(carry: PyTree, xs: PyTree) -> Any:
            _, carry, results = step(constants, carry, xs)
            return carry, jax.tree.map(
                lambda axis, y: () if axis is broadcast else y, out_axes, results
            )

        carry, results = lax.scan(body, carry, xs, **scan_kwargs)
        results = jax.tree.map(_from_front, out_axes, results)
        if finds_constants:
            results = jax.tree.map(
                lambda axis, fixed, y: fixed if axis is broadcast else y,
                out_axes,
                broadcast_results,
                results,
            )
        return constants, carry, results

    return scanned


def has_broadcast(out_axes: AxesPytree, check_constancy_invariants: bool) -> bool:
    """Return whether an output is broadcast. The extra trace of the constancy check computes such outputs."""
    found = any(axis is broadcast for axis in jax.tree.leaves(out_axes))
    if found and not check_constancy_invariants:
        msg = f"Broadcast outputs need check_constancy_invariants=True; found out_axes={out_axes}."
        raise ValueError(msg)
    return found


def _find_constants(
    step: Callable[..., Any],
    out_axes: AxesPytree,
    constants: PyTree,
    carry: PyTree,
    xs: PyTree,
    where: str,
) -> Any:
    """Evaluate a step without values for carry and inputs; return the constants and the broadcast results."""

    def constant_results(carry: PyTree, xs: PyTree) -> Any:
        new, _, results = step(constants, carry, xs)
        return new, jax.tree.map(lambda axis, y: y if axis is broadcast else (), out_axes, results)

    unknown_carry = jax.tree.map(unknown_like, carry)
    unknown_xs = jax.tree.map(lambda x: unknown_like(x, drop_leading_axis=True), xs)
    results = partial_evaluate(constant_results)(unknown_carry, unknown_xs)
    for path, value in jax.tree_util.tree_leaves_with_path(results):
        if isinstance(value, jax.core.ShapedArray):
            raise ValueError(_not_constant(path, value, where))
    return results


def _not_constant(path: tuple[Any, ...], aval: object, where: str) -> str:
    keys = [str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey)]
    if path[0] == jax.tree_util.SequenceKey(0) and not keys:
        found, advice = "constant", "Pass it on in the carry."
    elif path[0] == jax.tree_util.SequenceKey(0):
        found = f"variable {'/'.join(keys)!r}"
        advice = (
            "Give its collection an axis in variable_axes, or name it in variable_carry. If only its key differs, "
            "pass False for the stream in split_rngs."
        )
    else:
        found, advice = "output", "Give it an axis in out_axes."
    return (
        f"The broadcast {found} of {where}, {aval}, depends on the step of the scan, but it must be the same in all "
        f"steps. {advice}"
    )


def _to_front(axis: Any, tree: PyTree) -> Any:
    if axis is broadcast:
        return ()
    if axis == 0:
        return tree
    return jax.tree.map(lambda x: jnp.moveaxis(x, axis, 0), tree)


def _from_front(axis: Any, tree: PyTree) -> Any:
    if axis is broadcast:
        return ()
    if axis == 0:
        return tree
    return jax.tree.map(lambda x: lax.transpose(x, _moved_from_front(axis, np.ndim(x))), tree)


def _moved_from_front(axis: int, ndim: int) -> tuple[int, ...]:
    target = axis % ndim
    if axis >= ndim:
        msg = f"Cannot put the scanned axis at {axis} of an output with {ndim} axes. Check out_axes and variable_axes."
        raise AssertionError(msg)
    rest = list(range(1, ndim))
    return (*rest[:target], 0, *rest[target:])
