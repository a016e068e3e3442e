"""Dynamic loss scaling: gradients in float16 without underflow or overflow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from linen_core import struct
from linen_core.typing import Array

__all__ = ["DynamicScale", "DynamicScaleResult"]

_FLOAT32 = jnp.finfo(jnp.float32)  # type: ignore[no-untyped-call]


class DynamicScaleResult(NamedTuple):
    """The result of a function of `DynamicScale.value_and_grad`.

    Example:
      >>> result = DynamicScale().value_and_grad(lambda p: p**2)(jnp.float32(3))
      >>> result.aux.item(), result.grad.item()
      (9.0, 6.0)
    """

    dynamic_scale: DynamicScale
    """The scale of the next step."""
    finite: Array
    """True if all gradients are finite, a boolean scalar."""
    aux: Any
    """The value of the function, or with ``has_aux`` the pair that it returned."""
    grad: Any
    """The gradients in float32."""


class DynamicScale(struct.PyTreeNode):
    """The factor of the loss, and its history. It grows while gradients are finite, and shrinks when they are not.

    The rule is that of Micikevicius et al., "Mixed Precision Training", 2018 (arXiv 1710.03740). A step whose
    gradients are not finite is to be skipped, by the caller.

    Example:
      >>> scale, params = DynamicScale(), jnp.float32(3.0)
      >>> loss = lambda p: jnp.float16(p) ** 2
      >>> scale, is_finite, value, grad = scale.value_and_grad(loss)(params)
      >>> bool(is_finite), scale.scale.item()  # 65536 * 9 exceeds float16
      (False, 32768.0)
    """

    growth_factor: float = struct.field(pytree_node=False, default=2.0)
    """The factor of a growth."""
    backoff_factor: float = struct.field(pytree_node=False, default=0.5)
    """The factor of the scale after gradients that are not finite."""
    growth_interval: int = struct.field(pytree_node=False, default=2000)
    """Steps with finite gradients between two growths."""
    fin_steps: int | Array = 0
    """Steps with finite gradients since the last change of the scale."""
    scale: float | Array = 65536.0
    """The factor of the loss."""
    minimum_scale: float | None = struct.field(pytree_node=False, default=_FLOAT32.tiny)
    """The smallest scale; None for any."""

    def value_and_grad(
        self,
        fun: Callable[..., Any],
        argnums: int | Sequence[int] = 0,
        has_aux: bool = False,
        axis_name: str | None = None,
    ) -> Callable[..., DynamicScaleResult]:
        """Like `jax.value_and_grad`, with a scaled loss.

        Args:
          fun: the function; it returns a scalar.
          argnums: position, or positions, of the arguments that gradients are taken of.
          has_aux: whether ``fun`` returns a pair of the scalar and more.
          axis_name: name of a mapped axis over which gradients are averaged.

        Returns:
          A function of the arguments of ``fun`` that returns a `DynamicScaleResult`.
        """

        @functools.wraps(fun)
        def scaled(*args: Any) -> Any:
            value = fun(*args)
            return (self.scale * value[0], value[1]) if has_aux else self.scale * value

        value_and_grad = jax.value_and_grad(scaled, argnums, has_aux)

        def run(*args: Any) -> DynamicScaleResult:
            value, grad = value_and_grad(*args)
            value = (value[0] / self.scale, value[1]) if has_aux else value / self.scale
            grad = jax.tree.map(lambda g: jnp.asarray(g, jnp.float32) / self.scale, grad)
            if axis_name is not None:
                grad = jax.lax.pmean(grad, axis_name)
            finite = jnp.array(True)
            for leaf in jax.tree.leaves(grad):
                finite &= jnp.all(jnp.isfinite(leaf))
            return DynamicScaleResult(self._next(finite), finite, value, grad)

        return run

    def _next(self, finite: Array) -> DynamicScale:
        """Return the scale of the next step."""
        grows = self.fin_steps == self.growth_interval
        larger = jnp.minimum(self.scale * self.growth_factor, _FLOAT32.max)
        smaller = self.scale * self.backoff_factor
        if self.minimum_scale is not None:
            smaller = jnp.maximum(smaller, self.minimum_scale)
        scale = jnp.where(finite, jnp.where(grows & finite, larger, self.scale), smaller)
        steps = jnp.where(grows | ~finite, 0, self.fin_steps + 1)
        return self.replace(fin_steps=steps, scale=scale)
