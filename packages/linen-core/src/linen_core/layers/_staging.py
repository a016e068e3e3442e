"""Layer bodies that are traced once and replayed.

Tracing a body costs Python time for each operation, in every call of a layer. A staged body is traced once per
signature (shapes, dtypes, static arguments); later traces insert the recorded program. Outside `jax.jit` the body runs
one operation at a time, because compiling it as a whole could round differently.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax import lax

from linen_core._jax_compat import INLINE, is_staging
from linen_core.typing import Array, Dtype

__all__ = ["add_bias", "rounds_as_one", "staged"]

F = TypeVar("F", bound=Callable[..., Any])


def staged(*static: str, eager: bool = False) -> Callable[[F], F]:
    """Decorate a function of arrays to replay its trace when it is called under `jax.jit`.

    If a static argument is not hashable, for example an epsilon that is an array, the function is called directly.

    Args:
      static: names of the arguments that are not arrays.
      eager: whether calls outside `jax.jit` run the body as one compiled program too.

    >>> import jax, jax.numpy as jnp
    >>> @staged("power")
    ... def raised(x, power):
    ...     return x**power
    >>> float(raised(jnp.float32(3.0), 2)), float(jax.jit(lambda x: raised(x, 2))(3.0))
    (9.0, 9.0)
    """

    def decorate(function: F) -> F:
        replay = jax.jit(function, static_argnames=static, inline=INLINE)
        names = list(inspect.signature(function).parameters)
        positions = [names.index(name) for name in static]

        @functools.wraps(function)
        def call(*args: object, **kwargs: object) -> Any:
            if not (eager or is_staging()):
                return function(*args, **kwargs)
            try:
                hash(tuple([args[number] for number in positions if number < len(args)]))
                if kwargs:
                    hash(tuple([kwargs[name] for name in static if name in kwargs]))
            except TypeError:
                return function(*args, **kwargs)
            return replay(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


@functools.partial(jax.jit, static_argnames=("shape",), inline=INLINE)
def add_bias(y: Array, bias: Array, shape: tuple[int, ...]) -> Array:
    """Reshape a bias to `shape` and add it to an array of the same rank."""
    return y + lax.reshape(bias, shape)


def rounds_as_one(contracted: int, dtype: Dtype | None, *arrays: object) -> bool:
    """Return whether a product plus a bias has the same bits compiled as one program and as two.

    In float32 it has: the product is rounded before the sum either way. The exception is a product that contracts over
    one element. It is an elementwise multiplication, and compilers fuse it with the sum into one rounding.
    """
    if contracted < 2 or (dtype is not None and dtype != "float32"):
        return False
    return all(
        array is None or (isinstance(array, jax.Array) and array.dtype == "float32")
        for array in arrays
    )
