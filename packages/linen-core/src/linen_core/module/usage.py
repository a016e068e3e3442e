"""What a call reads of its variables, found without reading a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jax

from linen_core.abstract import eval_shape
from linen_core.filters import CollectionFilter
from linen_core.module.functional import resolve_method, run_with
from linen_core.module.state import ModuleBase
from linen_core.scope.cursor import Cursor, RunObserver
from linen_core.scope.functional import as_streams
from linen_core.store.view import Variables, as_store
from linen_core.typing import Path, PRNGKey, PyTree, RNGSequences

__all__ = ["Touched", "touched"]

Address: TypeAlias = tuple[str, Path]
"""A collection and the path of a variable in it."""


@dataclasses.dataclass(frozen=True)
class Touched:
    """What a call does with the variables of a store, each by ``(collection, path)``.

    Example:
      >>> import jax, linen_core as nn
      >>> record = nn.touched(nn.Dense(2), {"params": {"old": 1.0}}, jax.numpy.ones((1, 3)))
      >>> record.unused
      {('params', ('old',)): ...}
    """

    read: dict[Address, Any]
    """What the call reads, as the store describes it: a `jax.ShapeDtypeStruct`, or a pytree of them."""

    missing: dict[Address, Any]
    """What the call asks for and does not find, as its initializer would make it."""

    unused: dict[Address, Any]
    """What the call leaves alone, as the store describes it."""


class _Recorder(RunObserver):
    """Notes what scopes are asked for."""

    makes_missing = True

    def __init__(self) -> None:
        self.read: set[Address] = set()
        self.missing: dict[Address, Any] = {}

    def on_read(self, scope: Cursor, col: str, name: str) -> None:
        address = (col, (*scope.path, name))
        if address not in self.missing:
            self.read.add(address)

    def on_missing(self, scope: Cursor, col: str, name: str, value: object) -> None:
        self.missing[col, (*scope.path, name)] = jax.tree.map(_described, value)


def _described(leaf: Any) -> Any:
    is_array = hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if is_array else leaf


def touched(
    module: ModuleBase,
    variables: Variables,
    *args: object,
    method: Callable[..., Any] | str | None = None,
    rngs: PRNGKey | RNGSequences | None = None,
    mutable: CollectionFilter = False,
    **kwargs: object,
) -> Touched:
    """Find what a call of `apply` reads, misses and leaves alone in a store.

    The call is only traced: no value is read from the store, and no FLOP runs.

    Args:
      module: the module.
      variables: a store, or a mapping of collections; of arrays or of `jax.ShapeDtypeStruct`.
      *args: arguments of the call; arrays or `jax.ShapeDtypeStruct`.
      method: as for `Module.apply`.
      rngs: as for `Module.apply`.
      mutable: as for `Module.apply`.
      **kwargs: keyword arguments of the call.

    Raises:
      ScopeParamShapeError: a parameter has another shape than the call expects.
      ScopeVariableNotFoundError: a variable is missing that the call has no initializer for.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> x = jax.ShapeDtypeStruct((1, 3), jnp.float32)
      >>> found = nn.touched(nn.Dense(2), {"params": {"kernel": jnp.ones((3, 2)), "old": jnp.ones(7)}}, x)
      >>> list(found.read), list(found.missing), list(found.unused)
      ([('params', ('kernel',))], [('params', ('bias',))], [('params', ('old',))])
    """
    store = as_store(variables)
    specs = {name: store.spec(name) for name in store.collections()}
    recorder = _Recorder()
    run = resolve_method(module, method)

    def call(
        values: Mapping[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        streams: Mapping[str, Any] | None,
    ) -> Any:
        run_with(run, module, values, args, kwargs, streams, mutable, observer=recorder)
        return ()

    streams = None if rngs is None else _streams(rngs)
    eval_shape(call, specs, args, kwargs, streams)
    return _sorted_out(specs, recorder)


def _streams(rngs: object) -> Mapping[str, Any]:
    if isinstance(rngs, jax.ShapeDtypeStruct):
        return {"params": rngs}
    if isinstance(rngs, Mapping) and any(
        isinstance(rng, jax.ShapeDtypeStruct) for rng in rngs.values()
    ):
        return rngs
    return as_streams(rngs, "touched")


def _sorted_out(specs: Mapping[str, Any], recorder: _Recorder) -> Touched:
    read: dict[Address, Any] = {}
    unused: dict[Address, Any] = {}
    for col, tree in specs.items():
        for path, spec in _leaves(tree, ()):
            asked = any((col, path[:length]) in recorder.read for length in range(1, len(path) + 1))
            (read if asked else unused)[col, path] = spec
    return Touched(read, recorder.missing, unused)


def _leaves(tree: PyTree, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, dict):
        for name, child in tree.items():
            yield from _leaves(child, (*path, name))
    else:
        yield path, tree
