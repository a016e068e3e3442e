"""What calls cost: FLOPs as XLA's cost analysis counts them, and what else their traces tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from linen_core.typing import Path
from linen_summary._estimates import macs, peak_bytes
from linen_summary._fingerprint import fingerprint
from linen_summary._jax_compat import live_part
from linen_summary._jaxpr_costs import JaxprCosts
from linen_summary._nesting import Nesting
from linen_summary._recording import Call
from linen_summary._standalone import Standalone
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
        self._known: dict[tuple[str, Standalone], Measured] = {}
        self._equal: dict[Any, Standalone] = {}
        # calls are kept, for parts of a fingerprint are identities, which must not be used again
        self._nodes: dict[int, _Node] = {}
        self._outermost: list[_Node] = []
        self._costs = JaxprCosts()
        self._nesting = Nesting(self._costs)
        self._traced: dict[tuple[Standalone, bool], Any] = {}

    def measure(self, call: Call, name: str) -> Measured:
        """Find a number of a call.

        Args:
          call: the call. Those inside of it that are to be measured have been, the last first.
          name: ``flops``, ``vjp_flops``, ``macs``, ``activation_bytes`` or ``training_bytes``.
        """
        node = self._node(call)
        key = name, node.standalone
        if key not in self._known:
            self._known[key] = _attempt(lambda: self._number(node, name))
        return self._known[key]

    def _node(self, call: Call) -> _Node:
        if call.index not in self._nodes:
            key = fingerprint(call)
            standalone = self._equal.setdefault(key, Standalone(call, key))
            inside = []
            while self._outermost and _is_below(self._outermost[-1].call, call):
                inside.append(self._outermost.pop())
            self._nodes[call.index] = _Node(call, standalone, inside)
            self._outermost.append(self._nodes[call.index])
        return self._nodes[call.index]

    def _number(self, node: _Node, name: str) -> int:
        if name in ("flops", "vjp_flops"):
            return self._flops(node, backwards=name == "vjp_flops")
        traced = self._trace(node.standalone, backwards=name == "training_bytes")
        jaxpr = live_part(traced.jaxpr.jaxpr)
        if name == "macs":
            return macs(jaxpr)
        return peak_bytes(jaxpr, with_results=name == "activation_bytes")

    def _flops(self, node: _Node, *, backwards: bool) -> int:
        if node.inside:
            inner = dict(self._known_inside(node, backwards))
            counted = self._nesting.count(node.standalone, inner, backwards=backwards)
            if counted is not None:
                return counted
        return self._costs.of(self._trace(node.standalone, backwards=backwards))

    def _known_inside(self, node: _Node, backwards: bool) -> Iterator[tuple[Path, Standalone]]:
        """Find the outermost calls inside of a call that can be stood for."""
        above = len(node.call.path)
        waiting = list(node.inside)
        while waiting:
            inner = waiting.pop()
            if self._nesting.knows(inner.standalone, backwards=backwards):
                yield inner.call.path[above:], inner.standalone
            else:
                waiting += inner.inside

    def _trace(self, standalone: Standalone, *, backwards: bool) -> Any:
        key = standalone, backwards
        if key not in self._traced:
            self._traced[key] = standalone.trace(backwards=backwards)
        return self._traced[key]


@dataclasses.dataclass(frozen=True)
class _Node:
    """A call and the measured calls inside of it."""

    call: Call
    standalone: Standalone
    inside: list[_Node]


def _is_below(inner: Call, outer: Call) -> bool:
    length = len(outer.path)
    return len(inner.path) > length and inner.path[:length] == outer.path


def _attempt(count: Callable[[], int]) -> Measured:
    """Count, and say why where that fails: a table with a gap is better than none."""
    try:
        return Measured(count())
    except UnknownCostError as error:
        return Measured(None, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a user's module raises outside of its place
        text = str(error).strip().split("\n")[0]
        return Measured(None, f"{type(error).__name__}: {text}")
