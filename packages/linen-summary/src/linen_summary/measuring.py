"""What calls cost: FLOPs as XLA's cost analysis counts them, and what else their traces tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from linen_core.abstract import eval_shape
from linen_core.module import Module
from linen_summary._estimates import macs, peak_bytes
from linen_summary._fingerprint import fingerprint
from linen_summary._jax_compat import live_part
from linen_summary._jaxpr_costs import JaxprCosts
from linen_summary._recording import Call
from linen_summary._values import as_specs
from linen_summary.errors import UnknownCostError

__all__ = ["Measured", "Meter"]


@dataclasses.dataclass(frozen=True)
class Measured:
    """A number, or why it is unknown."""

    number: int | None
    """The number; None if it is unknown."""
    note: str = ""
    """Why it is unknown."""


class Meter:
    """Measures calls; equal calls once.

    A call is traced, not compiled: `Module.apply` on variables as `Module.init` makes them, and `jax.vjp` of that with
    the product with its result.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, _Standalone], Measured] = {}
        self._equal: dict[Any, _Standalone] = {}
        # calls are kept, for parts of a fingerprint are identities, which must not be used again
        self._calls: dict[int, tuple[Call, _Standalone]] = {}
        self._costs = JaxprCosts()

    def measure(self, call: Call, name: str) -> Measured:
        """Find a number of a call.

        Args:
          call: the call.
          name: ``flops``, ``vjp_flops``, ``macs``, ``activation_bytes`` or ``training_bytes``.
        """
        standalone = self._standalone(call)
        if (name, standalone) not in self._known:
            self._known[name, standalone] = _attempt(lambda: self._number(standalone, name))
        return self._known[name, standalone]

    def _number(self, standalone: _Standalone, name: str) -> int:
        traced = standalone.traced(backwards=name in ("vjp_flops", "training_bytes"))
        if name in ("flops", "vjp_flops"):
            return self._costs.of(traced)
        jaxpr = live_part(traced.jaxpr.jaxpr)
        if name == "macs":
            return macs(jaxpr)
        return peak_bytes(jaxpr, with_results=name == "activation_bytes")

    def _standalone(self, call: Call) -> _Standalone:
        if call.index not in self._calls:
            equal = self._equal.setdefault(fingerprint(call), _Standalone(call))
            self._calls[call.index] = call, equal
        return self._calls[call.index][1]


class _Standalone:
    """A call as a function of its arrays alone."""

    def __init__(self, call: Call) -> None:
        self._call = call
        leaves, self._structure = jax.tree.flatten(
            (call.args, call.kwargs), is_leaf=lambda leaf: leaf is None
        )
        self._leaves = leaves
        self._places = [
            i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.ShapeDtypeStruct)
        ]
        self._variables: Any = None
        self._traced: dict[bool, Any] = {}

    def _trace(self, function: Callable[..., Any]) -> Any:
        """Trace a function of variables, streams and arrays."""
        streams = dict(self._call.streams)
        arrays = [self._leaves[place] for place in self._places]
        if self._variables is None:
            self._variables = (
                eval_shape(self._init, streams, arrays)
                if self._call.variables is None or _holds_modules(self._call)
                else as_specs(self._call.variables)
            )
        return jax.jit(function).trace(self._variables, streams, arrays)

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

    def _apply(self, variables: Any, streams: Any, arrays: list[Any]) -> Any:
        args, kwargs = self._arguments(arrays)
        call = self._call
        return call.module.apply(
            variables, *args, rngs=streams, method=call.method, mutable=call.mutable, **kwargs
        )

    def traced(self, *, backwards: bool) -> Any:
        """Trace the call, or the call and its vector-Jacobian product with the call's own results."""
        if backwards not in self._traced:
            self._traced[backwards] = self._trace(self._pull_back if backwards else self._apply)
        return self._traced[backwards]

    def _pull_back(self, variables: Any, streams: Any, arrays: list[Any]) -> Any:
        outputs, vjp = jax.vjp(self._apply, variables, streams, arrays)
        return vjp(outputs)


def _holds_modules(call: Call) -> bool:
    """Tell whether a module was handed others, whose variables may lie elsewhere in the recorded run."""
    module = call.module
    fields = [getattr(module, f.name) for f in dataclasses.fields(module) if f.name != "parent"]
    leaves = jax.tree.leaves((fields, call.args, call.kwargs))
    return any(isinstance(leaf, Module) for leaf in leaves)


def _attempt(count: Callable[[], int]) -> Measured:
    """Count, and say why where that fails: a table with a gap is better than none."""
    try:
        return Measured(count())
    except UnknownCostError as error:
        return Measured(None, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a user's module raises outside of its place
        text = str(error).strip().split("\n")[0]
        return Measured(None, f"{type(error).__name__}: {text}")
