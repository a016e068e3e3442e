"""FLOPs of calls, as XLA's cost analysis counts them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from linen_core.abstract import eval_shape
from linen_core.module import Module
from linen_summary._fingerprint import fingerprint
from linen_summary._jaxpr_costs import JaxprCosts
from linen_summary._recording import Call
from linen_summary._values import as_specs
from linen_summary.errors import UnknownCostError

__all__ = ["Flops", "FlopsCounter"]


@dataclasses.dataclass(frozen=True)
class Flops:
    """A number of FLOPs, or why it is unknown."""

    number: int | None
    """The number; None if it is unknown."""
    note: str = ""
    """Why it is unknown."""


class FlopsCounter:
    """Counts the FLOPs of calls; those of equal calls once.

    A call is lowered, not compiled, and XLA's cost analysis is asked for its FLOPs: those of `Module.apply` on
    variables as `Module.init` makes them, and those of `jax.vjp` of that and the product with its result.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, _Standalone], Flops] = {}
        self._equal: dict[Any, _Standalone] = {}
        # calls are kept, for parts of a fingerprint are identities, which must not be used again
        self._calls: dict[int, tuple[Call, _Standalone]] = {}
        self._costs = JaxprCosts()

    def forward(self, call: Call) -> Flops:
        """Count the FLOPs of a call."""
        return self._count(call, "forward")

    def vjp(self, call: Call) -> Flops:
        """Count the FLOPs of a call and of its vector-Jacobian product, for all its arrays and variables."""
        return self._count(call, "vjp")

    def _count(self, call: Call, what: str) -> Flops:
        standalone = self._standalone(call)
        if (what, standalone) not in self._known:
            trace = getattr(standalone, what)
            self._known[what, standalone] = _attempt(lambda: self._costs.of(trace()))
        return self._known[what, standalone]

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

    def forward(self) -> Any:
        """Trace the call."""
        return self._trace(self._apply)

    def vjp(self) -> Any:
        """Trace the call and its vector-Jacobian product with the call's own results."""

        def pull_back(variables: Any, streams: Any, arrays: list[Any]) -> Any:
            outputs, vjp = jax.vjp(self._apply, variables, streams, arrays)
            return vjp(outputs)

        return self._trace(pull_back)


def _holds_modules(call: Call) -> bool:
    """Tell whether a module was handed others, whose variables may lie elsewhere in the recorded run."""
    module = call.module
    fields = [getattr(module, f.name) for f in dataclasses.fields(module) if f.name != "parent"]
    leaves = jax.tree.leaves((fields, call.args, call.kwargs))
    return any(isinstance(leaf, Module) for leaf in leaves)


def _attempt(count: Callable[[], int]) -> Flops:
    """Count, and say why where that fails: a table with a gap is better than none."""
    try:
        return Flops(count())
    except UnknownCostError as error:
        return Flops(None, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a user's module raises outside of its place
        text = str(error).strip().split("\n")[0]
        return Flops(None, f"{type(error).__name__}: {text}")
