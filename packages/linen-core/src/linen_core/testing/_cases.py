"""The variables that the suite fills stores with. Each set targets one kind of mistake."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from linen_core.typing import Dtype

__all__ = ["CASES", "KERNEL", "MODEL", "Variables"]

Variables: TypeAlias = dict[str, Any]

_DTYPES = (
    jnp.bfloat16,
    jnp.float8_e4m3fn,
    np.float16,
    np.float32,
    np.complex64,
    np.bool_,
    np.int8,
    np.int16,
    np.int32,
    np.uint8,
    np.uint16,
    np.uint32,
)
_NAMES = (
    "with.dot",
    "with/slash",
    "with\\backslash",
    "with space",
    "..",
    "__private__",
    "100%",
    "Größe",
    "重み",
    "Name",
    "name",
    "10",
    "9",
    "-1",
    "a:b",
    "x" * 120,
)


def _array(*shape: int, dtype: Dtype = np.float32, seed: int = 0) -> np.ndarray[Any, Any]:
    numbers = np.random.default_rng(seed).integers(0, 100, shape)
    return np.asarray(numbers).astype(dtype)


def _nested(depth: int) -> Variables:
    tree: Variables = {"kernel": _array(2, 3)}
    for level in reversed(range(depth)):
        tree = {f"block_{level}": tree}
    return tree


MODEL: Variables = {
    "params": {
        "encoder": {
            "Dense_0": {"kernel": _array(3, 4, seed=1), "bias": _array(4, seed=2)},
            "BatchNorm_0": {"scale": _array(4, seed=3), "bias": _array(4, seed=4)},
        },
        "head": {"kernel": _array(4, 2, seed=5)},
    },
    "batch_stats": {"encoder": {"BatchNorm_0": {"mean": _array(4, seed=6)}}},
}
"""Variables of a small model, for tests of a single behaviour."""

KERNEL = ("encoder", "Dense_0", "kernel")
"""Path of a parameter of the model."""

CASES: dict[str, Variables] = {
    "a model": MODEL,
    "no collection": {},
    "an empty collection": {"params": {}},
    "empty nodes": {
        "params": {"empty": {}, "dense": {"bias": _array(2)}, "deep": {"er": {}}},
        "cache": {},
    },
    "every dtype": {
        "params": {np.dtype(dtype).name: _array(2, 3, dtype=dtype) for dtype in _DTYPES}
    },
    "special numbers": {
        "params": {"bits": np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32)}
    },
    "scalars": {"state": {"step": np.array(7, np.int32), "loss": np.array(0.5, np.float32)}},
    "arrays of size zero": {"params": {"none": _array(0), "wide": _array(3, 0, 2)}},
    "odd names": {"params": {name: {"kernel": _array(2, seed=n)} for n, name in enumerate(_NAMES)}},
    "odd names of collections": {name: {"x": _array(1, seed=n)} for n, name in enumerate(_NAMES)},
    "names that join alike": {
        "params": {
            "a": {"b": {"c": _array(1, seed=1)}, "b.e": {"f": _array(1, seed=2)}},
            "a/b": {"c": _array(1, seed=3)},
            "a.b": {"d": _array(1, seed=4)},
        }
    },
    "names out of order": {
        "zebra": {"b": _array(1, seed=1), "a": {"z": _array(1), "y": _array(2)}, "10": _array(3)},
        "ant": {"9": _array(4), "10": _array(5), "0": _array(6)},
    },
    "one name everywhere": {"a": {"a": {"a": _array(2)}}},
    "a deep tree": {"params": _nested(40)},
    "many leaves": {"params": {f"layer_{n}": {"kernel": _array(2, 2, seed=n)} for n in range(200)}},
    "axes of one": {"params": {"kernel": _array(1, 1, 5, 1)}},
}
"""All sets of variables, by their subject."""
