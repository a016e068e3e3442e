"""FLOPs of calls, as XLA's cost analysis counts them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from linen_core.abstract import eval_shape
from linen_summary._fingerprint import fingerprint
from linen_summary._recording import Call

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
        self._known: dict[Any, Flops] = {}
        self._calls: dict[Any, _Standalone] = {}
        self._kept: list[Any] = []

    def forward(self, call: Call) -> Flops:
        """Count the FLOPs of a call."""
        return self._count(call, "forward")

    def vjp(self, call: Call) -> Flops:
        """Count the FLOPs of a call and of its vector-Jacobian product, for all its arrays and variables."""
        return self._count(call, "vjp")

    def _count(self, call: Call, what: str) -> Flops:
        key = fingerprint(call)
        self._kept.append(call)  # parts of the key are identities, which must not be used again
        if (what, key) not in self._known:
            if key not in self._calls:
                self._calls[key] = _Standalone(call)
            self._known[what, key] = _attempt(getattr(self._calls[key], what))
        return self._known[what, key]


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

    def _inputs(self) -> tuple[Any, ...]:
        arrays = [self._leaves[i] for i in self._places]
        if self._variables is None:
            self._variables = eval_shape(self._init, dict(self._call.streams), arrays)
        return self._variables, dict(self._call.streams), arrays

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

    def forward(self) -> Flops:
        return _analyse(self._apply, *self._inputs())

    def vjp(self) -> Flops:
        def pull_back(variables: Any, streams: Any, arrays: list[Any]) -> Any:
            outputs, vjp = jax.vjp(self._apply, variables, streams, arrays)
            return vjp(outputs)

        return _analyse(pull_back, *self._inputs())


def _analyse(function: Callable[..., Any], *specs: Any) -> Flops:
    cost = jax.jit(function).lower(*specs).cost_analysis()
    if cost is None:
        return Flops(None, "the backend has no cost analysis")
    return Flops(int(cost.get("flops", 0)))


def _attempt(count: Callable[[], Flops]) -> Flops:
    """Count, and say why where that fails: a table with a gap is better than none."""
    try:
        return count()
    except Exception as error:  # noqa: BLE001 - whatever a user's module raises outside of its place
        text = str(error).strip().split("\n")[0]
        return Flops(None, f"{type(error).__name__}: {text}")
