"""What hypothesis draws for layers: dtypes, arrays, and how a pair of layers is built and compared."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as flax_nn
import hypothesis.strategies as st
import jax
import jax.numpy as jnp

import linen_core as nn
from parity._compare import EXAMPLES, assert_same_run

__all__ = ["REAL", "array", "compare", "dtypes", "integers", "ones_of", "typed"]

REAL = ("float32", "bfloat16", "float16")

# Of the input, the parameters and the layer. Each new combination compiles its operations anew, so that
# a short run draws from a few.
FEW = (
    ("float32", "float32", None),
    ("bfloat16", "float32", None),
    ("float32", "float32", "bfloat16"),
    ("float16", "float16", None),
    ("bfloat16", "bfloat16", "float32"),
)
ALL = tuple(itertools.product(REAL, REAL, (None, *REAL)))

dtypes = st.sampled_from(FEW if EXAMPLES <= 100 else ALL)


def ones_of(**choices: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a dict of options, each from a list of choices."""
    return st.fixed_dictionaries({k: st.sampled_from(list(v)) for k, v in choices.items()})


@functools.lru_cache(maxsize=256)
def array(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> jax.Array:
    key = jax.random.key(seed)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        real, imaginary = jax.random.normal(key, (2, *shape))
        return jax.lax.complex(real, imaginary).astype(dtype)
    return jax.random.normal(key, shape).astype(dtype)


def integers(shape: tuple[int, ...], maximum: int, seed: int = 0) -> jax.Array:
    return jax.random.randint(jax.random.key(seed), shape, 0, maximum)


def typed(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Replace the drawn `dtypes` by the layer's options; give the input's dtype beside."""
    of_input, of_params, of_layer = options["dtypes"]
    rest = {name: value for name, value in options.items() if name != "dtypes"}
    return of_input, {"param_dtype": of_params, "dtype": of_layer, **rest}


def compare(
    name: str | Callable[[Any], Any],
    *args: Any,
    options: dict[str, Any] | None = None,
    positional: tuple[Any, ...] = (),
    **run: Any,
) -> Any:
    """Build one layer of both libraries, by name or by a function of the library, and compare all they do."""

    def build(library: Any) -> Any:
        if callable(name):
            return name(library)
        return getattr(library, name)(*positional, **(options or {}))

    return assert_same_run(build(nn), build(flax_nn), *args, **run)
