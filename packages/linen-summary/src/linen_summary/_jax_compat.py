"""Everything of JAX's inner parts that this package uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun
from jax.extend.random import threefry_prng_impl
from jax.interpreters import partial_eval

__all__ = ["as_function", "live_part", "random_bits_jaxpr"]


def live_part(jaxpr: Any) -> Any:
    """Return a jaxpr without the equations that nothing of its results depends on, as lowering does."""
    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), True)[0]


def random_bits_jaxpr(bits: int, shape: tuple[int, ...]) -> Any:
    """Return the operations that draw random bits with one key of JAX's default kind."""
    key = jax.ShapeDtypeStruct(threefry_prng_impl.key_shape, "uint32")
    return jax.make_jaxpr(lambda key: threefry_prng_impl.random_bits(key, bits, shape))(key).jaxpr


def as_function(program: Any) -> Callable[..., Any]:
    """Return a function that runs a closed jaxpr."""
    return jaxpr_as_fun(program)  # type: ignore[no-any-return]
