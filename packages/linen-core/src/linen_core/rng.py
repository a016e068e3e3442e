"""RNG streams: a key together with the names and counters that are folded into it when a key is drawn.

Streams follow the rule of flax.linen. Each module adds its name to the suffix of the stream, each draw adds a counter,
and the whole suffix is folded in once. The key of a parameter therefore depends on its path, but not on the order in
which other modules were created.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core._context import context_var
from linen_core._jax_compat import fold_in
from linen_core.typing import PRNGKey

__all__ = ["LazyRng", "fold_in_static", "fold_number", "is_valid_rng", "is_valid_rngs"]


@jax.tree_util.register_pytree_with_keys_class
class LazyRng:
    """A key together with the names and counters that are not folded into it yet.

    Attributes:
      rng: the key.
      suffix: the names and counters, from the root scope downwards.

    Example:
      >>> stream = LazyRng.create(jax.random.key(0), "encoder", 1)
      >>> stream.suffix
      ('encoder', 1)
      >>> bool(stream.as_jax_rng() == fold_in_static(jax.random.key(0), ("encoder", 1)))
      True
    """

    __slots__ = ("rng", "suffix")

    def __init__(self, rng: PRNGKey, suffix: tuple[str | int, ...] = ()) -> None:
        self.rng = rng
        self.suffix = suffix

    @staticmethod
    def create(rng: LazyRng | PRNGKey, *suffix: str | int) -> LazyRng:
        """Extend the suffix of a stream, or create a stream from a key."""
        if isinstance(rng, LazyRng):
            return LazyRng(rng.rng, rng.suffix + suffix)
        return LazyRng(rng, suffix)

    def as_jax_rng(self) -> PRNGKey:
        """Fold the suffix into the key."""
        return fold_in_static(self.rng, self.suffix)

    def clear_suffix(self) -> LazyRng:
        """Return the stream with an empty suffix."""
        return LazyRng(self.rng)

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """Return the key as the only child, and the suffix as static data."""
        return ((jax.tree_util.GetAttrKey("rng"), self.rng),), self.suffix

    @classmethod
    def tree_unflatten(cls, suffix: tuple[str | int, ...], children: tuple[Any]) -> LazyRng:
        """Rebuild a stream from its suffix and its key."""
        return cls(children[0], suffix)

    def __repr__(self) -> str:
        return f"LazyRng(rng={self.rng!r}, suffix={self.suffix!r})"


def fold_in_static(rng: PRNGKey, data: tuple[str | int, ...]) -> PRNGKey:
    """Fold names and counters into a key.

    The UTF-8 names and the minimal-length big-endian counters go through SHA-1 in order; the first four bytes
    of the digest, read as a big-endian uint32, are folded in as by `jax.random.fold_in`. Empty ``data`` leaves the
    key unchanged.

    Raises:
      ValueError: ``data`` has an entry that is neither a string nor an integer.

    Example:
      >>> fold_in_static(jax.random.key(0), ("encoder", "Dense_0", 1)).shape
      ()
    """
    return fold_in(rng, fold_number(data)) if data else rng


def fold_number(data: tuple[str | int, ...]) -> int:
    """Return the 32-bit hash of names and counters that `fold_in_static` folds in.

    Example:
      >>> fold_number(("encoder", 1))
      3134051577
    """
    digest = hashlib.sha1(usedforsecurity=False)
    separator = b"\0" if context_var.get().separates_rng_names else b""
    for item in data:
        digest.update(separator)
        if isinstance(item, str):
            digest.update(item.encode("utf-8"))
        elif isinstance(item, int) and item >= 0:
            digest.update(item.to_bytes((item.bit_length() + 7) // 8, "big"))
        else:
            expected = "a str or an int of at least 0"
            msg = f"Cannot fold {item!r} into a key: expected {expected}, found {type(item).__name__}."
            raise ValueError(msg)
    return int.from_bytes(digest.digest()[:4], "big")


def is_valid_rng(rng: object) -> bool:
    """Return whether a value is a single key, typed (`jax.random.key`) or raw (`jax.random.PRNGKey`).

    Example:
      >>> is_valid_rng(jax.random.key(0)), is_valid_rng(jax.random.PRNGKey(0)), is_valid_rng(0)
      (True, True, False)
    """
    if isinstance(rng, LazyRng):
        return True
    if not isinstance(rng, jax.Array | np.ndarray):
        return False
    if jnp.issubdtype(rng.dtype, jax.dtypes.prng_key):
        return rng.shape == ()
    return rng.dtype == np.uint32 and rng.shape == _raw_key_shape(
        str(jax.config.jax_default_prng_impl)  # type: ignore[attr-defined]
    )


@functools.lru_cache(maxsize=8)
def _raw_key_shape(impl: str) -> tuple[int, ...]:
    return tuple(jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0, impl=impl))).shape)


def is_valid_rngs(rngs: object) -> bool:
    """Return whether a value is a mapping from names of streams to keys.

    Example:
      >>> is_valid_rngs({"params": jax.random.key(0)}), is_valid_rngs({"params": 0})
      (True, False)
    """
    return isinstance(rngs, Mapping) and all(
        isinstance(name, str) and is_valid_rng(rng) for name, rng in rngs.items()
    )
