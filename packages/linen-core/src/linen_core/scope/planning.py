"""Finds the variables that a run uses, and reads them from a lazy store in one batch per collection.

One abstract run finds them: it gets tracers in place of the values, on the code path of a run that reads on demand. The
result is only a plan. A run reads on demand what its plan lacks, and computes the same without any plan.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from linen_core._context import replaced_context
from linen_core._jax_compat import tracing
from linen_core.abstract import eval_shape
from linen_core.errors import StorePathError
from linen_core.fingerprint import NoFingerprintError, fingerprint
from linen_core.store.base import VariableStore
from linen_core.store.memory import MemoryStore, value_spec
from linen_core.store.view import readable
from linen_core.typing import Path, PyTree

__all__ = ["read_ahead", "specs_of", "trace_run"]

Plan: TypeAlias = dict[str, dict[Path, None]]
"""The paths to read of each collection, in the order in which the run reads them."""

# Any entry can be dropped at any time. Keys refer weakly to stores, and hold shapes instead of arrays.
_plans: dict[Hashable, Plan] = {}
_MAX_PLANS = 256


def read_ahead(
    store: VariableStore, run: Callable[..., object], inputs: Sequence[PyTree], constants: PyTree
) -> Mapping[str, Any]:
    """Return the collections of a store as mappings, and read the values that a run uses if the store is lazy.

    Under a JAX trace nothing is read: the values would become constants of the program.

    Args:
      store: the store.
      run: function of the collections and ``inputs``.
      inputs: arguments of the run. Only the shapes and dtypes of their arrays decide what is read.
      constants: everything else that ``run`` depends on.

    Raises:
      StoreError: a read fails.
    """
    if not isinstance(store, VariableStore) or not store.capabilities.lazy or tracing():
        return readable(store)
    plan = _find_plan(store, run, inputs, constants)
    try:
        values = {
            collection: dict(zip(paths, store.read(collection, list(paths)), strict=True))
            for collection, paths in plan.items()
            if paths
        }
    except StorePathError:  # the store has changed since the plan was found
        values = {}
    return readable(store, values)


def specs_of(store: VariableStore) -> dict[str, Any]:
    """Describe all collections of a store as nested dicts, without reading a value."""
    return {name: store.spec(name) for name in store.collections()}


def trace_run(
    run: Callable[..., object], specs: Mapping[str, Any], inputs: Sequence[PyTree]
) -> None:
    """Run a function of collections and inputs abstractly: each `jax.ShapeDtypeStruct` in them is a tracer."""

    def traced(collections: Mapping[str, Any], inputs: Sequence[PyTree]) -> tuple[()]:
        with replaced_context(store_factory=None):
            run(collections, *inputs)
        return ()

    eval_shape(traced, specs, inputs)


class _TracedStore(MemoryStore):
    """Holds tracers in place of values, and records the paths that are read of each collection."""

    def __init__(self, variables: Mapping[str, Any], plan: Plan) -> None:
        super().__init__(variables)
        self._plan = plan

    def read(self, collection: str, paths: Sequence[Path]) -> list[Any]:
        self._plan.setdefault(collection, {}).update(dict.fromkeys(paths))
        return super().read(collection, paths)


def _find_plan(
    store: VariableStore, run: Callable[..., object], inputs: Sequence[PyTree], constants: PyTree
) -> Plan:
    """Return the paths that a run reads; fewer if the run decides by a value, or fails."""
    plan: Plan = {}

    def record(values: Mapping[str, Any], *inputs: PyTree) -> None:
        run(readable(_TracedStore(values, plan)), *inputs)

    # Planning never raises: the run itself then raises the error of the same variables in a dict, or none.
    with contextlib.suppress(Exception):
        shapes = jax.tree.map(_abstract, inputs)
        key = _plan_key(store, (shapes, constants))
        if key in _plans:
            return _plans[key]
        specs = specs_of(store)
        with contextlib.suppress(Exception):
            trace_run(record, specs, shapes)
        if key is not None:
            if len(_plans) >= _MAX_PLANS:
                _plans.clear()
            _plans[key] = plan
    return plan


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


def _abstract(leaf: PyTree) -> Any:
    is_numeric = isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "OSU"
    return value_spec(leaf) if is_numeric or isinstance(leaf, jax.Array) else leaf
