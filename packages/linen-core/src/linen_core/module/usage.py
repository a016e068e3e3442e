"""`touched`: the variables a call uses, found without reading a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from linen_core.abstract import eval_shape
from linen_core.filters import CollectionFilter
from linen_core.module.functional import resolve_method, run_with
from linen_core.module.state import ModuleBase
from linen_core.scope.cursor import Cursor, RunObserver
from linen_core.scope.functional import as_streams
from linen_core.store.view import Variables, as_store
from linen_core.typing import Path, PRNGKey, PyTree, RNGSequences, VariablePath

__all__ = ["Touched", "touched"]


@dataclasses.dataclass(frozen=True)
class Touched:
    """The variables that a call uses, misses and leaves unused, by ``(collection, path)``.

    Example:
      >>> import jax, linen_core as nn
      >>> record = nn.touched(nn.Dense(2), {"params": {"old": 1.0}}, jax.numpy.ones((1, 3)))
      >>> record.unused
      {('params', ('old',)): ...}
    """

    read: dict[VariablePath, Any]
    """The variables that the call reads, as the store's specs: a `jax.ShapeDtypeStruct` each, or a pytree of them."""

    missing: dict[VariablePath, Any]
    """The variables that the call needs and the store lacks, as specs of their initial values."""

    unused: dict[VariablePath, Any]
    """The variables that the call does not use, as the store's specs."""


class _Recorder(RunObserver):
    """Records the reads and misses of a run."""

    makes_missing = True

    def __init__(self) -> None:
        self.read: set[VariablePath] = set()
        self.missing: dict[VariablePath, Any] = {}

    def on_read(self, scope: Cursor, col: str, name: str) -> None:
        variable = (col, (*scope.path, name))
        if variable not in self.missing:
            self.read.add(variable)

    def on_missing(self, scope: Cursor, col: str, name: str, value: object) -> None:
        self.missing[col, (*scope.path, name)] = jax.tree.map(_spec_of_value, value)


def _spec_of_value(leaf: Any) -> Any:
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
    """Return the variables a call uses, those it misses, and those it leaves unused.

    The call of `apply` is only traced: it reads no value from the store and runs no FLOP.

    Args:
      module: the module.
      variables: a store, or a mapping of collections; of arrays or of `jax.ShapeDtypeStruct`.
      *args: arguments of the call; arrays or `jax.ShapeDtypeStruct`.
      method: as for `Module.apply`.
      rngs: as for `Module.apply`.
      mutable: as for `Module.apply`.
      **kwargs: keyword arguments of the call.

    Raises:
      ScopeParamShapeError: the shape of a parameter differs from the expected one.
      ScopeVariableNotFoundError: a variable without initializer is missing.

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
    return _classified(specs, recorder)


def _streams(rngs: object) -> Mapping[str, Any]:
    if isinstance(rngs, jax.ShapeDtypeStruct):
        return {"params": rngs}
    if isinstance(rngs, Mapping) and any(
        isinstance(rng, jax.ShapeDtypeStruct) for rng in rngs.values()
    ):
        return rngs
    return as_streams(rngs, "touched")


def _classified(specs: Mapping[str, Any], recorder: _Recorder) -> Touched:
    read: dict[VariablePath, Any] = {}
    unused: dict[VariablePath, Any] = {}
    for col, tree in specs.items():
        for path, spec in _leaves(tree, ()):
            is_read = any((col, path[:end]) in recorder.read for end in range(1, len(path) + 1))
            (read if is_read else unused)[col, path] = spec
    return Touched(read, recorder.missing, unused)


def _leaves(tree: PyTree, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, dict):
        for name, child in tree.items():
            yield from _leaves(child, (*path, name))
    else:
        yield path, tree
