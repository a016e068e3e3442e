"""Runs one program on linen_core and on flax.linen and compares what comes out.

Nothing here knows a particular layer: a test builds the same thing on both sides and hands over two callables.
How many cases hypothesis draws is set by the environment variable ``LINEN_EXAMPLES`` (default 6).
"""

from __future__ import annotations

import builtins
import contextlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

__all__ = [
    "EXAMPLES",
    "UNKNOWN_VALUES_ARE_ZEROS",
    "assert_same_error",
    "assert_same_outcome",
    "assert_same_run",
    "assert_same_tree",
    "needs_a_mesh",
    "optimizations",
    "parity_settings",
    "plain",
]

EXAMPLES = int(os.environ.get("LINEN_EXAMPLES", "6"))

needs_a_mesh = pytest.mark.skipif(jax.device_count() < 8, reason="needs a mesh of eight devices")

UNKNOWN_VALUES_ARE_ZEROS = tuple(map(int, flax.__version__.split(".")[:3])) > (0, 12, 8)
"""flax's releases after the one Linen follows make up what `lazy_init` was not told, and say nothing."""


def parity_settings(share: int = 1) -> hypothesis.settings:
    """Settings of one of `share` tests that draw `EXAMPLES` cases between them."""
    return hypothesis.settings(
        max_examples=-(-EXAMPLES // share),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.data_too_large,
        ],
    )


def plain(tree: Any) -> Any:
    """Turn every mapping of a tree into a dict, so that a FrozenDict equals the dict it holds."""
    if isinstance(tree, Mapping):
        return {name: plain(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    if type(tree) is tuple:
        return tuple(plain(value) for value in tree)
    return tree


def _bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def _assert_same_leaf(ours: Any, theirs: Any, where: str, rtol: float, atol: float) -> None:
    if jnp.issubdtype(getattr(theirs, "dtype", np.dtype(object)), jax.dtypes.prng_key):
        ours, theirs = jax.random.key_data(ours), jax.random.key_data(theirs)
    if not hasattr(theirs, "dtype"):
        assert ours == theirs, f"{where}: {ours!r} != {theirs!r}"
        return
    assert ours.dtype == theirs.dtype, f"{where}: dtype {ours.dtype} != {theirs.dtype}"
    assert ours.shape == theirs.shape, f"{where}: shape {ours.shape} != {theirs.shape}"
    left, right = np.asarray(ours), np.asarray(theirs)
    if rtol == 0.0 and atol == 0.0:
        same = np.array_equal(_bits(left), _bits(right))
        assert same, f"{where}: bits differ\n{left}\n{right}"
    else:
        wide = np.complex128 if np.iscomplexobj(right) else np.float64
        np.testing.assert_allclose(
            left.astype(wide), right.astype(wide), rtol=rtol, atol=atol, err_msg=where
        )


def assert_same_tree(
    ours: Any, theirs: Any, *, rtol: float = 0.0, atol: float = 0.0, where: str = ""
) -> None:
    """Assert equal structure, dtypes, shapes and values: every bit, or within the tolerances given."""
    left, left_def = jax.tree_util.tree_flatten_with_path(plain(ours))
    right, right_def = jax.tree_util.tree_flatten_with_path(plain(theirs))
    names = [[jax.tree_util.keystr(path) for path, _ in leaves] for leaves in (left, right)]
    assert names[0] == names[1], f"{where}: {names[0]} != {names[1]}"
    # Boxes of the two libraries are different classes, which print equally.
    assert str(left_def) == str(right_def), f"{where}: {left_def} != {right_def}"
    for name, (_, mine), (_, other) in zip(names[0], left, right, strict=True):
        _assert_same_leaf(mine, other, where + name, rtol, atol)


def _builtin_bases(error: BaseException) -> set[type]:
    general = {Exception, BaseException, object}
    return {c for c in type(error).__mro__ if c.__module__ == builtins.__name__} - general


def assert_same_error(ours: BaseException, theirs: BaseException) -> None:
    """Assert that whoever catches flax's error catches ours, by its builtin bases and by its name."""
    missing = {base for base in _builtin_bases(theirs) if not isinstance(ours, base)}
    assert not missing, f"{ours!r} is no {missing}; flax raised {theirs!r}"
    if type(theirs).__module__.startswith("flax"):
        names = {c.__name__ for c in type(ours).__mro__}
        assert type(theirs).__name__ in names, f"{ours!r} is no {type(theirs).__name__}"


def _attempt(program: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return program(), None
    except Exception as error:
        return None, error


def _assert_same_error_or_none(
    ours: Exception | None, theirs: Exception | None, where: str, may_work: str | None = None
) -> bool:
    """Assert that both raised alike, or none. Return whether they raised."""
    if theirs is not None:
        if ours is None and may_work is not None and re.search(may_work, str(theirs)):
            return True
        assert ours is not None, f"{where}: flax raised {theirs!r}, ours did not"
        assert_same_error(ours, theirs)
        return True
    if ours is not None:
        raise ours
    return False


def assert_same_outcome(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    where: str = "",
    may_work: str | None = None,
) -> Any:
    """Run both and assert equal results, or errors of the same class. Return our result, None if it raised.

    Ours may work where the error of flax matches `may_work`, a fault of flax that Linen does not have.
    """
    mine, my_error = _attempt(ours)
    other, other_error = _attempt(theirs)
    if _assert_same_error_or_none(my_error, other_error, where, may_work):
        return None
    assert_same_tree(mine, other, rtol=rtol, atol=atol, where=where)
    return mine


def _gradient(
    module: Any, variables: Any, args: tuple[Any, ...], kwargs: dict[str, Any], compiled: bool
) -> Any:
    params = variables.get("params", {})
    rest = {name: value for name, value in variables.items() if name != "params"}

    def loss(params: Any, args: Any) -> Any:
        out = module.apply({"params": params, **rest}, *args, **kwargs)
        out = out[0] if kwargs.get("mutable", False) is not False else out
        total = jnp.float32(0.0)
        for leaf in jax.tree_util.tree_leaves(out):
            if jnp.issubdtype(leaf.dtype, jnp.inexact):
                total += jnp.sum(jnp.sin(jnp.abs(leaf).astype(jnp.float32)))
        return total

    gradient = jax.grad(loss, argnums=(0, 1), allow_int=True)
    if not compiled:
        return gradient(params, args)
    with optimizations():
        return jax.jit(gradient)(params, args)


@contextlib.contextmanager
def optimizations() -> Iterator[None]:
    """Compile as programs of users are compiled, where the tests around do not."""
    quick = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", quick)


def assert_same_run(
    ours: Any,
    theirs: Any,
    *args: Any,
    key: Any = None,
    rngs: Any = None,
    mutable: Any = False,
    gradient: bool = True,
    init_kwargs: dict[str, Any] | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    grad_rtol: float | None = None,
    **kwargs: Any,
) -> Any:
    """Compare `init`, then `apply` on the same variables, then the gradient, of two modules.

    The variables that flax made are given to both. `mutable` also compares the mutated collections.
    Returns what our `apply` gave, or None where both sides raised the same error.
    """
    key = jax.random.key(3) if key is None else key
    init_kwargs = kwargs if init_kwargs is None else init_kwargs
    tolerance = {"rtol": rtol, "atol": atol}
    my_start, my_error = _attempt(lambda: ours.init(key, *args, **init_kwargs))
    start, error = _attempt(lambda: theirs.init(key, *args, **init_kwargs))
    if _assert_same_error_or_none(my_error, error, "init"):
        return None
    assert_same_tree(my_start, start, where="init")
    variables = plain(start)
    call = {"mutable": mutable, "rngs": rngs, **kwargs}
    result = assert_same_outcome(
        lambda: ours.apply(variables, *args, **call),
        lambda: theirs.apply(variables, *args, **call),
        where="apply",
        **tolerance,
    )
    # Compiling takes longer than all else: the gradient is taken in half of the draws, always the same, and
    # compiled as a whole in a third of these.
    chance = zlib.crc32(repr((ours, args, kwargs)).encode()) % 6
    if gradient and result is not None and chance < 3:
        compiled = chance == 0
        grads = [
            _gradient(module, variables, args, call, compiled=compiled) for module in (ours, theirs)
        ]
        loose = rtol if grad_rtol is None else grad_rtol
        grads = [
            jax.tree.map(lambda g: g if g.dtype != jax.dtypes.float0 else np.zeros(g.shape), side)
            for side in grads
        ]
        assert_same_tree(*grads, rtol=loose, atol=atol or loose, where="grad")
    return result
