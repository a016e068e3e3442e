"""Bodies of layers that are recorded once and replayed.

Recording a body for the compiler costs Python time for each of its operations, each time a layer is
called. A staged body is recorded once per signature (shapes, dtypes, static arguments) and replayed
as a whole from then on. Outside of a compilation it runs one operation at a time, so that rounding
happens where a reader of the body expects it.
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
    """Make a function of arrays replay its recording whenever it is called under a compilation.

    Where a static argument cannot be hashed, an epsilon that is an array for example, the function is called as it
    is.

    Args:
      static: names of the arguments that are not arrays.
      eager: whether the recording, as one compiled program, also serves calls outside of a compilation.

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
    """Add a bias, seen as an array of `shape`, to an array of the same rank."""
    return y + lax.reshape(bias, shape)


def rounds_as_one(contracted: int, dtype: Dtype | None, *arrays: object) -> bool:
    """Tell whether a product plus a bias has the same bits compiled as one program and as two.

    So it is in float32, where the product is rounded before the sum either way, unless the product
    contracts over one element only: that is an elementwise multiplication, which compilers join
    with the sum into one rounding.
    """
    if contracted < 2 or (dtype is not None and dtype != "float32"):
        return False
    return all(
        array is None or (isinstance(array, jax.Array) and array.dtype == "float32")
        for array in arrays
    )
