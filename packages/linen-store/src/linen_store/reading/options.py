"""Options that say which part of a file is opened and how its arrays are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import jax

from linen_store.errors import UnknownOptionError

__all__ = [
    "CACHE_BYTES",
    "FlatOptions",
    "KeyMap",
    "Layout",
    "OpenOptions",
    "ReadOptions",
    "Root",
    "ShardingLike",
    "VariableSharding",
    "Verify",
    "check_choice",
]

CACHE_BYTES = 1 << 30
"""The default size of a store's cache."""

Root: TypeAlias = str | Sequence[str] | Mapping[str, str | Sequence[str]] | None
"""The part of a file that holds the collections (see `linen_store.CheckpointStore`)."""

VariableSharding: TypeAlias = Callable[
    [tuple[str, ...], jax.ShapeDtypeStruct], jax.sharding.Sharding | None
]
"""From the names of a variable, and its spec, to its sharding; None for the default device."""

ShardingLike: TypeAlias = jax.sharding.Sharding | VariableSharding | None
"""One sharding for every array, or a function of a leaf's names in the file and its spec."""

KeyMap: TypeAlias = (
    Mapping[str, str | Sequence[str] | None] | Callable[[str], str | Sequence[str] | None] | None
)
"""From a name in the file to the names of the variable, or one joined name; None leaves the array out."""

Layout: TypeAlias = Literal["model"] | None
"""``"model"`` if the arrays have the layout of the model, whichever program wrote them."""

Verify: TypeAlias = bool | Literal["files"]
"""False to check nothing, True to check each leaf as it is read, "files" every file at opening."""


class ReadOptions(TypedDict, total=False):
    """Options of every store over a file."""

    dtype: Any
    """A floating-point dtype that every floating-point array is cast to."""

    sharding: ShardingLike
    """The devices of the arrays. Each process reads the parts that its devices need."""

    unbox: bool
    """If true, a node with nothing but an array named ``value`` is that array (see `CheckpointStore`)."""

    cache_bytes: int
    """The most memory that the cache of the store holds."""


class FlatOptions(ReadOptions, total=False):
    """Options of the formats whose names are flat strings."""

    key_map: KeyMap
    """From each name in the file to that of the variable, as a mapping or a function.

    The name of a variable is a tuple, or a string joined by "/" or the format's own separator. None leaves the array
    out.
    """

    layout: Layout
    """``"model"`` if the arrays have the layout of the model, whichever program wrote them."""


class OpenOptions(TypedDict, total=False):
    """The arguments of `open_store` that choose a part of a checkpoint, for functions that also take a store."""

    root: Root
    item: str | None
    step: float | None
    key_map: KeyMap
    layout: Layout
    verify: Verify
    unbox: bool
    cache_bytes: int
    map: Any


def check_choice(argument: str, found: Any, choices: Sequence[Any]) -> None:
    """Raise if the value of an argument is not one of its choices.

    Raises:
      UnknownOptionError: it is not.
    """
    if found not in choices:
        shown = [choice for choice in choices if choice is not None]
        raise UnknownOptionError(argument, found, shown)
