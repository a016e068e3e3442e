"""Small things that several families of layers share."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import jax
from jax import lax

from linen_core._jax_compat import INLINE
from linen_core.errors import PaddingWordError
from linen_core.layers import initializers
from linen_core.typing import Array, Axes, Dtype

__all__ = [
    "add_bias",
    "canonicalize_axes",
    "canonicalize_tuple",
    "check_padding_word",
    "default_embed_init",
    "default_kernel_init",
    "normalize_axes",
    "rounds_as_one",
]

_PADDINGS = ("SAME", "SAME_LOWER", "VALID")

default_kernel_init = initializers.lecun_normal()
default_embed_init = initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)


def canonicalize_tuple(x: Sequence[int] | int) -> tuple[int, ...]:
    """Make a tuple of one integer or of several."""
    return tuple(x) if isinstance(x, Iterable) else (x,)


def check_padding_word(where: str, padding: object, words: Iterable[str] = ()) -> None:
    """Raise where a padding is a word that is neither one of `jax.lax`, in any case, nor one of ``words``."""
    if isinstance(padding, str) and padding.upper() not in _PADDINGS and padding not in words:
        known = ", ".join(map(repr, (*_PADDINGS, *words)))
        raise PaddingWordError(where, "padding", repr(padding), f"one of {known}, or numbers")


def normalize_axes(axes: Iterable[int], ndim: int) -> tuple[int, ...]:
    """Count axes from the front, and sort them."""
    return tuple(sorted(axis if axis >= 0 else ndim + axis for axis in axes))


def canonicalize_axes(rank: int, axes: Axes) -> tuple[int, ...]:
    """Count axes from the front, each once, in ascending order."""
    return tuple(sorted({rank + axis if axis < 0 else axis for axis in canonicalize_tuple(axes)}))


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
