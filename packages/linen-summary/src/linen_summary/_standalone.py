"""A recorded call as a function of its arrays alone, which can be traced by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from linen_core.abstract import eval_shape
from linen_core.typing import Path
from linen_summary._recording import Call
from linen_summary._values import as_specs

__all__ = ["Hidden", "Standalone", "arrays_of"]


class Hidden:
    """Stands for the variables of a module that a trace does without: whoever reads it finds no array."""


class Standalone:
    """A call as a function of variables, keys of RNG streams, and the arrays among its arguments.

    Args:
      call: the call.
      fingerprint: what an equal call is known by.
    """

    def __init__(self, call: Call, fingerprint: Any) -> None:
        self.fingerprint = fingerprint
        self._call = call
        leaves, self._structure = _flat(call.args, call.kwargs)
        self._leaves = leaves
        self._places = [
            i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.ShapeDtypeStruct)
        ]
        self._variables: Any = None

    @property
    def variables(self) -> Any:
        """What the variables are that the function takes."""
        if self._variables is None:
            call = self._call
            self._variables = (
                eval_shape(self._init, *self._inputs())
                if call.variables is None
                else as_specs(call.variables)
            )
        return self._variables

    def arrays(self, args: Any, kwargs: Any) -> list[Any]:
        """Pick the arrays that the function takes out of the arguments of an equal call."""
        leaves, _ = _flat(args, kwargs)
        return [leaves[place] for place in self._places]

    def apply(self, variables: Any, streams: Any, arrays: list[Any]) -> tuple[Any, Any]:
        """Make the call by `Module.apply`; return its outputs and the collections that it may write."""
        args, kwargs = self._arguments(arrays)
        call = self._call
        made = call.module.apply(
            variables, *args, rngs=streams, method=call.method, mutable=call.mutable, **kwargs
        )
        return made if call.mutable is not False else (made, {})

    def trace(self, *, backwards: bool) -> Any:
        """Trace the call, or the call and its vector-Jacobian product with the call's own results."""

        def run(*inputs: Any) -> Any:
            if not backwards:
                return self._results(*inputs)
            results, vjp = jax.vjp(self._results, *inputs)
            return vjp(results)

        return jax.jit(run).trace(self.variables, *self._inputs())

    def _results(self, *inputs: Any) -> Any:
        outputs, written = self.apply(*inputs)
        return arrays_of(outputs), written

    def trace_without(
        self, hidden: Iterable[Path], function: Callable[..., Any], *more: Any
    ) -> Any:
        """Trace a function without the variables of some modules.

        Args:
          hidden: the paths of the modules.
          function: takes a list of the other variables, a function that makes of it what `apply` takes, with a
            `Hidden` for each module, and what else `apply` takes.
          *more: specifications of further arguments of the function.
        """
        variables = self.variables
        for path in hidden:
            variables = {name: _without(tree, path) for name, tree in variables.items()}
        leaves, structure = jax.tree.flatten(variables)

        def filled(shown: list[Any]) -> Any:
            rest = iter(shown)
            return jax.tree.unflatten(
                structure, [leaf if isinstance(leaf, Hidden) else next(rest) for leaf in leaves]
            )

        shown = [leaf for leaf in leaves if not isinstance(leaf, Hidden)]
        traced = jax.jit(lambda shown, *inputs: function(shown, filled, *inputs))
        return traced.trace(shown, *self._inputs(), *more)

    def has_below(self, path: Path, inner: Standalone) -> bool:
        """Tell whether the variables of an inner call are those that it has alone."""
        found = {name: _at(tree, path) for name, tree in self.variables.items()}
        return {name: tree for name, tree in found.items() if tree} == {
            name: tree for name, tree in inner.variables.items() if tree
        }

    def _inputs(self) -> tuple[dict[str, Any], list[Any]]:
        return dict(self._call.streams), [self._leaves[place] for place in self._places]

    def _arguments(self, arrays: list[Any]) -> tuple[Any, Any]:
        leaves = list(self._leaves)
        for place, array in zip(self._places, arrays, strict=True):
            leaves[place] = array
        args, kwargs = jax.tree.unflatten(self._structure, leaves)
        return args, kwargs

    def _init(self, streams: Any, arrays: list[Any]) -> Any:
        args, kwargs = self._arguments(arrays)
        call = self._call
        return call.module.init(streams, *args, method=call.method, mutable=call.mutable, **kwargs)


def arrays_of(outputs: Any) -> list[Any]:
    """Return the arrays among what a call returned: of all else a compiled program knows nothing."""
    return [leaf for leaf in jax.tree.leaves(outputs) if isinstance(leaf, jax.Array | np.ndarray)]


def _without(tree: Any, path: Path) -> Any:
    """Put a `Hidden` in place of what lies at a path."""
    name, *rest = path
    if not isinstance(tree, Mapping) or name not in tree:
        return tree
    return {**tree, name: _without(tree[name], tuple(rest)) if rest else Hidden()}


def _at(tree: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    return tree


def _flat(args: Any, kwargs: Any) -> tuple[list[Any], Any]:
    leaves, structure = jax.tree.flatten((args, kwargs), is_leaf=lambda leaf: leaf is None)
    return leaves, structure
