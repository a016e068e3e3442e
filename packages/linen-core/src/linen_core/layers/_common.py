"""Small things that several families of layers share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from linen_core.errors import PaddingWordError
from linen_core.layers import initializers
from linen_core.module import Module
from linen_core.typing import Axes

__all__ = [
    "canonicalize_axes",
    "canonicalize_tuple",
    "check_padding_word",
    "default_embed_init",
    "default_kernel_init",
    "normalize_axes",
    "where",
]

_PADDINGS = ("SAME", "SAME_LOWER", "VALID")

default_kernel_init = initializers.lecun_normal()
default_embed_init = initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)


def where(module: Module) -> str:
    """Return class and path of a layer, for error messages."""
    name = type(module).__name__
    if module.scope is None:
        return name
    path = "/".join(map(str, module.path))
    return f"{name} at {path}" if path else f"{name} (the outermost module)"


def canonicalize_tuple(x: Sequence[int] | int) -> tuple[int, ...]:
    """Make a tuple of one integer or of several."""
    return tuple(x) if isinstance(x, Iterable) else (x,)


def check_padding_word(owner: str, padding: object, words: Iterable[str] = ()) -> None:
    """Raise where a padding is a word that is neither one of `jax.lax`, in any case, nor one of ``words``."""
    if isinstance(padding, str) and padding.upper() not in _PADDINGS and padding not in words:
        accepted = ", ".join(map(repr, (*_PADDINGS, *words)))
        raise PaddingWordError(owner, "padding", repr(padding), f"one of {accepted}, or numbers")


def normalize_axes(axes: Iterable[int], ndim: int) -> tuple[int, ...]:
    """Count axes from the front, and sort them."""
    return tuple(sorted(axis if axis >= 0 else ndim + axis for axis in axes))


def canonicalize_axes(rank: int, axes: Axes) -> tuple[int, ...]:
    """Count axes from the front, each once, in ascending order."""
    return tuple(sorted({rank + axis if axis < 0 else axis for axis in canonicalize_tuple(axes)}))
