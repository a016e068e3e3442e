"""Everything of JAX's inner parts that this package uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.core import AbstractValue
from jax.extend.core import Primitive, get_opaque_trace_state
from jax.extend.random import threefry_prng_impl
from jax.interpreters import partial_eval

__all__ = ["AbstractValue", "live_part", "new_primitive", "random_bits_jaxpr", "trace_state"]


def live_part(jaxpr: Any) -> Any:
    """Return a jaxpr without the equations that nothing of its results depends on, as lowering does."""
    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), True)[0]


def random_bits_jaxpr(bits: int, shape: tuple[int, ...]) -> Any:
    """Return the operations that draw random bits with one key of JAX's default kind."""
    key = jax.ShapeDtypeStruct(threefry_prng_impl.key_shape, "uint32")
    return jax.make_jaxpr(lambda key: threefry_prng_impl.random_bits(key, bits, shape))(key).jaxpr


def new_primitive(name: str, abstract_eval: Callable[..., list[Any]]) -> Any:
    """Make an operation that traces can hold and nothing can run; `abstract_eval` gives the types of its results."""
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_abstract_eval(abstract_eval)
    return primitive


def trace_state() -> Any:
    """Return a value that is equal wherever operations become part of the same trace."""
    return get_opaque_trace_state(convention="flax")
