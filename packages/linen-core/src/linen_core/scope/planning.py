"""Finds the variables that a run uses, and reads them from a lazy store in one batch per collection.

One abstract run finds them. It takes the path of a run that reads on demand, with tracers in place of the values. The
result is only a plan: a run reads on demand what its plan lacks, and computes the same without any plan.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from linen_core._context import replaced_context
from linen_core._jax_compat import empty, set_current_trace, trace_context, tracing
from linen_core.abstract import eval_shape
from linen_core.errors import StorePathError
from linen_core.fingerprint import NoFingerprintError, fingerprint
from linen_core.store.base import VariableStore
from linen_core.store.memory import value_spec
from linen_core.store.view import readable
from linen_core.typing import Path, PyTree

__all__ = ["read_ahead"]

Plan: TypeAlias = dict[str, list[Path]]
"""The paths to read of each collection, in the order in which the run reads them."""

# Any entry can be dropped at any time. Keys refer weakly to stores, and hold shapes in place of arrays.
_plans: dict[Hashable, Plan] = {}
_MAX_PLANS = 256


def read_ahead(
    store: VariableStore, run: Callable[..., object], inputs: Sequence[PyTree], constants: PyTree
) -> Mapping[str, Any]:
    """Return the collections of a store as mappings; of a lazy store the values that a run uses are read.

    Under a JAX trace nothing is read: the values would become constants of the program.

    Args:
      store: the store.
      run: function of the collections and ``inputs``.
      inputs: arguments of the run. Only the shapes and dtypes of their arrays decide what is read.
      constants: everything else that decides what ``run`` reads.

    Raises:
      StoreError: a read fails.
    """
    if not isinstance(store, VariableStore) or not store.capabilities.lazy or tracing():
        return readable(store)
    plan = _find_plan(store, run, inputs, constants)
    try:
        values = {
            collection: dict(zip(paths, store.read(collection, paths), strict=True))
            for collection, paths in plan.items()
        }
    except StorePathError:  # the store has changed since the plan was found
        values = {}
    return readable(store, values, trace_context.trace)


def _find_plan(
    store: VariableStore, run: Callable[..., object], inputs: Sequence[PyTree], constants: PyTree
) -> Plan:
    """Return the paths that a run reads; fewer if the run decides by a value, or fails."""
    tracers: dict[str, _Tracers] = {}

    def record(*inputs: PyTree) -> tuple[()]:
        for name in store.collections():
            tracers[name] = _Tracers(store, name)
        with replaced_context(store_factory=None):
            run(readable(store, tracers), *inputs)
        return ()

    # Planning never raises: the run itself then raises the error of the same variables in a dict, or none.
    with contextlib.suppress(Exception):
        shapes = jax.tree.map(_shape, inputs)
        key = _plan_key(store, (shapes, constants))
        if key in _plans:
            return _plans[key]
        with contextlib.suppress(Exception):
            eval_shape(record, *shapes)
        plan = {name: list(read) for name, read in tracers.items() if read}
        if key is not None:
            if len(_plans) >= _MAX_PLANS:
                _plans.clear()
            _plans[key] = plan
        return plan
    return {}


class _Tracers(dict[Path, Any]):
    """The values of a collection as tracers of the current trace. Each is created when it is read."""

    def __init__(self, store: VariableStore, collection: str) -> None:
        super().__init__()
        self._store = store
        self._collection = collection
        self._trace = trace_context.trace

    def __contains__(self, path: object) -> bool:
        return isinstance(path, tuple) and self._store.is_leaf(self._collection, path)

    def __missing__(self, path: Path) -> Any:
        spec = self._store.spec(self._collection, path)
        with set_current_trace(
            self._trace
        ):  # a function that is traced inside the run may be the first to read it
            value = self[path] = jax.tree.map(_tracer, spec)
        return value


def _tracer(spec: Any) -> Any:
    if not isinstance(spec, jax.ShapeDtypeStruct):
        return spec
    where = spec.sharding
    is_explicit = (
        isinstance(where, jax.sharding.NamedSharding)
        and jax.sharding.AxisType.Explicit in where.mesh.axis_types
    )
    dtype = jax.dtypes.canonicalize_dtype(spec.dtype, allow_extended_dtype=True)
    value = empty(shape=spec.shape, dtype=dtype)
    return jax.sharding.reshard(value, where) if is_explicit else value


def _plan_key(store: VariableStore, determinants: PyTree) -> Hashable:
    """Return a key that is equal only for runs with the same plan; None if the plan must not be remembered."""
    if store.capabilities.writable:  # names and shapes may change
        return None
    try:
        key = (weakref.ref(store), fingerprint(determinants))
        hash(key)
    except (NoFingerprintError, TypeError):
        return None
    return key


def _shape(leaf: PyTree) -> Any:
    is_numeric = isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "OSU"
    return value_spec(leaf) if is_numeric or isinstance(leaf, jax.Array) else leaf
