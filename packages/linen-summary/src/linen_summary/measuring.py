"""The numbers of a call: FLOPs as XLA's cost analysis counts them, and other costs that its trace tells."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from linen_core.abstract import eval_shape
from linen_summary._estimates import macs, peak_bytes
from linen_summary._flops import FlopCounter
from linen_summary._jax_compat import live_part
from linen_summary._recording import Call
from linen_summary._sameness import Programs
from linen_summary._values import as_specs
from linen_summary.errors import UnknownCostError

__all__ = ["Meter"]


class Meter:
    """Measures calls.

    Every call is traced by itself, not compiled: `Module.apply` on variables as `Module.init` makes them. Calls whose
    traces are equal are measured once, and the vector-Jacobian product is traced once for them.

    Args:
      every_turn: whether FLOPs count the body of a scan once for each turn.
    """

    def __init__(self, *, every_turn: bool) -> None:
        self._flops = FlopCounter(every_turn=every_turn)
        self._programs = Programs()
        self._known: dict[tuple[int, str], int | str] = {}

    def measure(self, call: Call, names: Sequence[str]) -> dict[str, int | str]:
        """Find numbers of a call.

        Args:
          call: the call.
          names: any of ``flops``, ``vjp_flops``, ``macs``, ``activation_bytes`` and ``training_bytes``.

        Returns:
          Each number, or why it is unknown.
        """
        if not names:
            return {}
        function = _CallFunction(call)
        try:
            program = self._programs.number(function.forward.jaxpr)
        except Exception as error:  # noqa: BLE001 - whatever a user's module raises outside of its place
            return dict.fromkeys(names, _unknown(error))
        for name in names:
            if (program, name) not in self._known:
                self._known[program, name] = self._measured(function, name)
        return {name: self._known[program, name] for name in names}

    def _measured(self, function: _CallFunction, name: str) -> int | str:
        """Find one number, or say why it is unknown: a table with a gap is better than none."""
        try:
            backwards = name in ("vjp_flops", "training_bytes")
            traced = function.backward if backwards else function.forward
            if name in ("flops", "vjp_flops"):
                return self._flops.count(traced)
            jaxpr = live_part(traced.jaxpr.jaxpr)
            if name == "macs":
                return macs(jaxpr)
            return peak_bytes(jaxpr, with_results=not backwards)
        except Exception as error:  # noqa: BLE001 - as above, for derivatives
            return _unknown(error)


def _unknown(error: Exception) -> str:
    if isinstance(error, UnknownCostError):
        return str(error)
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}"


class _CallFunction:
    """A call as a function of variables, keys of RNG streams, and the arrays among its arguments."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._leaves, self._structure = jax.tree.flatten(
            (call.args, call.kwargs), is_leaf=lambda leaf: leaf is None
        )
        self._places = [
            place
            for place, leaf in enumerate(self._leaves)
            if isinstance(leaf, jax.ShapeDtypeStruct)
        ]

    @functools.cached_property
    def forward(self) -> Any:
        """The trace of the call."""
        return jax.jit(self._apply).trace(*self._inputs)

    @functools.cached_property
    def backward(self) -> Any:
        """The trace of the call and its vector-Jacobian product with its own results."""

        def run(*inputs: Any) -> Any:
            results, vjp = jax.vjp(self._apply, *inputs)
            return vjp(results)

        return jax.jit(run).trace(*self._inputs)

    @functools.cached_property
    def _inputs(self) -> tuple[Any, ...]:
        arrays = [self._leaves[place] for place in self._places]
        rest = dict(self._call.streams), arrays
        held = self._call.variables
        return eval_shape(self._init, *rest) if held is None else as_specs(held), *rest

    def _init(self, streams: Any, arrays: list[Any]) -> Any:
        call = self._call
        args, kwargs = self._arguments(arrays)
        return call.module.init(streams, *args, method=call.method, mutable=call.mutable, **kwargs)

    def _apply(self, variables: Any, streams: Any, arrays: list[Any]) -> tuple[list[Any], Any]:
        """Return the arrays among the results, the only ones that a program returns, and the written collections."""
        call = self._call
        args, kwargs = self._arguments(arrays)
        options = {"rngs": streams, "method": call.method, "mutable": call.mutable}
        made = call.module.apply(variables, *args, **options, **kwargs)
        outputs, written = made if call.mutable is not False else (made, {})
        leaves = jax.tree.leaves(outputs)
        return [leaf for leaf in leaves if isinstance(leaf, jax.Array | np.ndarray)], written

    def _arguments(self, arrays: list[Any]) -> tuple[Any, Any]:
        leaves = list(self._leaves)
        for place, array in zip(self._places, arrays, strict=True):
            leaves[place] = array
        args, kwargs = jax.tree.unflatten(self._structure, leaves)
        return args, kwargs
