"""The dtype that a layer computes in."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from linen_core.errors import InexactDtypeError
from linen_core.typing import Dtype

__all__ = ["PromoteDtypeFn", "canonicalize_dtype", "promote_dtype"]


class PromoteDtypeFn(Protocol):
    """A function that casts the arrays of a layer to one dtype, as `promote_dtype` does.

    It takes any number of arrays and returns a list of the same length; None stays None. `dtype` is the
    field `dtype` of the layer. With `inexact` the result must be floating-point or complex.

    >>> import jax.numpy as jnp, linen_core as nn
    >>> def keep(*args, dtype=None, inexact=True):
    ...     return list(args)
    >>> nn.Dense(2, promote_dtype=keep).features
    2
    """

    def __call__(self, *args: Any, dtype: Any = None, inexact: bool = True) -> list[Any]: ...


def canonicalize_dtype(
    *args: ArrayLike | None, dtype: Dtype | None = None, inexact: bool = True
) -> Dtype:
    """Return the dtype for a computation on several values.

    Args:
      *args: arrays or numbers, any shape; None is skipped.
      dtype: the dtype if it is given explicitly; returned unchanged.
      inexact: require a floating-point or complex dtype; integers are promoted with float32.

    Returns:
      `dtype` if given, otherwise the promoted dtype of all values.

    Raises:
      InexactDtypeError: `inexact` is set and `dtype` is neither floating-point nor complex.

    >>> import jax.numpy as jnp
    >>> print(canonicalize_dtype(jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.float32)))
    float32
    """
    if dtype is None:
        dtype = jnp.result_type(*[jnp.asarray(x) for x in args if x is not None])
        if inexact and not jnp.issubdtype(dtype, jnp.inexact):
            dtype = jnp.promote_types(jnp.float32, dtype)
    if inexact and not jnp.issubdtype(dtype, jnp.inexact):
        raise InexactDtypeError(dtype)
    return dtype


def promote_dtype(
    *args: ArrayLike | None, dtype: Dtype | None = None, inexact: bool = True
) -> list[Any]:
    """Cast several values to one dtype.

    Args:
      *args: arrays or numbers, any shape; None stays None.
      dtype: the dtype to cast to; by default the result of `canonicalize_dtype`.
      inexact: require a floating-point or complex dtype.

    Returns:
      A list of arrays of the same dtype, one for each argument.

    Raises:
      InexactDtypeError: `inexact` is set and `dtype` is neither floating-point nor complex.

    >>> import jax.numpy as jnp
    >>> x, w, b = promote_dtype(jnp.ones(2, jnp.int32), jnp.ones(2, jnp.bfloat16), None)
    >>> x.dtype.name, w.dtype.name, b
    ('bfloat16', 'bfloat16', None)
    """
    if _have_dtype(args, dtype, inexact):
        return list(args)
    dtype = canonicalize_dtype(*args, dtype=dtype, inexact=inexact)
    return [None if x is None else jnp.asarray(x, dtype) for x in args]


def _have_dtype(args: tuple[Any, ...], dtype: Dtype | None, inexact: bool) -> bool:
    """Return whether all values are arrays of the right dtype already; casts would only cost time."""
    common = None if dtype is None else np.dtype(dtype)
    for x in args:
        if x is None:
            continue
        if not isinstance(x, jax.Array) or x.weak_type:
            return False
        if common is None:
            common = x.dtype
        if x.dtype != common:
            return False
    return common is not None and (not inexact or jnp.issubdtype(common, jnp.inexact))
