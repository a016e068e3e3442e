"""FLOPs of calls that hold other calls, each of which is traced once.

Were each row of a table traced with all that is below it, the time would grow with the square of the levels of
modules. So the rows are counted from the innermost outwards, and in the trace of a call a `StandIn` takes the place
of each call inside of it that was counted, at the cost that this had; the variables of such a call are left out of
the trace. That gives the same number only where the inner call does there what it does alone, and where XLA's
additions are exact. Whatever shows that it might not makes a call be traced as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.module import (
    InterceptorContext,
    Module,
    Variable,
    intercept_methods,
    place_of,
    surroundings,
    watch_place,
)
from linen_core.typing import Path
from linen_summary._fingerprint import fingerprint
from linen_summary._jax_compat import AbstractValue, live_part, trace_state
from linen_summary._jaxpr_costs import JaxprCosts, used_variables
from linen_summary._recording import Call
from linen_summary._rounded_sums import Cost
from linen_summary._stand_ins import Probes, StandIn, placeholder
from linen_summary._standalone import Hidden, Standalone, arrays_of

__all__ = ["Nesting"]

_PLAIN = bool | int | float | complex | str

_ANCHOR = jax.ShapeDtypeStruct((), jnp.float32)
"""Stands for the variables of inner calls, so that what depends on them alone is differentiated."""


class Nesting:
    """Counts the FLOPs of calls that hold others, and remembers them for the calls that hold these.

    Args:
      costs: counts what traces cost.
    """

    def __init__(self, costs: JaxprCosts) -> None:
        self._costs = costs
        self._known: dict[tuple[Standalone, bool], _InnerCall] = {}

    def knows(self, standalone: Standalone, *, backwards: bool) -> bool:
        """Tell whether a call can be stood for in others."""
        return (standalone, backwards) in self._known

    def count(
        self, standalone: Standalone, inner: Mapping[Path, Standalone], *, backwards: bool
    ) -> int | None:
        """Count the FLOPs of a call, or of the call and its vector-Jacobian product.

        Args:
          standalone: the call.
          inner: known calls inside of it, by the path from its module to theirs.
          backwards: whether to count the product too.

        Returns:
          The number; None if it has to be found without stand-ins.
        """
        known = {path: self._known[call, backwards] for path, call in inner.items()}
        run = _Run(standalone, known, backwards)
        try:
            with watch_place() as watch:
                traced = run.trace()
        except Exception:
            # it may have asked for more than stand-ins have; if not, it fails again without them
            if known:
                return None
            raise
        jaxpr = live_part(traced.jaxpr.jaxpr)
        if not run.is_whole(jaxpr):
            return None
        if run.inner is not None and not watch.place_was_read:
            stand_in = run.stand_in(jaxpr, *self._costs.inside(jaxpr, len(run.inner.types)))
            if stand_in is not None:
                self._known[standalone, backwards] = dataclasses.replace(run.inner, made=stand_in)
        return self._costs.exact(jaxpr) if known else self._costs.of(traced)


class _MisfitError(Exception):
    """A call cannot be stood for where it is made."""


class _Run:
    """One trace of a call, with stand-ins.

    Args:
      standalone: the call.
      known: the calls to stand for, by the path from the module to theirs.
      backwards: whether the call is differentiated.

    Attributes:
      inner: the call, as others may hold it; None if they cannot.
    """

    def __init__(
        self, standalone: Standalone, known: Mapping[Path, _InnerCall], backwards: bool
    ) -> None:
        self._standalone = standalone
        self._known = known
        self._equal = {call.fingerprint: call for call in known.values()}
        self._backwards = backwards
        self._probes = Probes()
        self._anchor: Any = None
        self._around: Any = None
        self._stand_ins = 0
        self._is_misfit = False
        self.inner: _InnerCall | None = None

    def trace(self) -> Any:
        """Trace the call, or the call and its vector-Jacobian product with the call's own results."""
        function = self._pulled_back if self._backwards else self._made
        _ = self._standalone.variables  # to find them the call may be made: that is not intercepted
        with intercept_methods(self._intercept):
            return self._standalone.trace_without(self._known, function, _ANCHOR)

    def is_whole(self, jaxpr: Any) -> bool:
        """Tell whether stand-ins cost what they stand for: of a real call only what is used is computed."""
        used = used_variables(jaxpr)
        found = [equation for equation in jaxpr.eqns if equation.primitive is placeholder]
        expected = self._stand_ins * (2 if self._backwards else 1)
        return (
            not self._is_misfit
            and len(found) == expected
            and all(variable in used for equation in found for variable in equation.outvars)
        )

    def stand_in(self, jaxpr: Any, cost: Cost, returns_constants: bool) -> StandIn | None:
        """Make what stands for the call in others; None if nothing can."""
        assert self.inner is not None  # noqa: S101 - see `Nesting.count`
        probes = self._probes if self._backwards else None
        is_plain = all(probes.is_differentiated) if probes is not None else not returns_constants
        if cost.folds or not is_plain:
            return None
        used = used_variables(jaxpr)
        # the last input is the anchor, those before it are keys and arrays
        first = len(jaxpr.invars) - 1 - self.inner.takes
        is_used = [variable in used for variable in jaxpr.invars[first:-1]]
        return StandIn(self.inner.types, is_used, cost, probes)

    def _pulled_back(
        self, shown: list[Any], filled: Callable[..., Any], streams: Any, arrays: Any, anchor: Any
    ) -> Any:
        def probed(shown: list[Any], streams: Any, arrays: list[Any], anchor: Any) -> Any:
            leaves, structure = jax.tree.flatten((streams, arrays))
            streams, arrays = jax.tree.unflatten(structure, self._probes.on_way_back(leaves))
            made, written = self._made(shown, filled, streams, arrays, anchor)
            return self._probes.on_way_there(made), written

        outputs, vjp = jax.vjp(probed, shown, streams, arrays, anchor)
        return vjp(outputs)

    def _made(
        self, shown: list[Any], filled: Callable[..., Any], streams: Any, arrays: Any, anchor: Any
    ) -> Any:
        """Make the call; return the arrays among its outputs, and what it has written."""
        self._anchor = anchor
        variables = filled(shown)
        outputs, written = self._standalone.apply(variables, streams, arrays)
        takes = len(jax.tree.leaves((streams, arrays)))
        self.inner = _inner_call(self._standalone, outputs, takes)
        before = {name: tree for name, tree in variables.items() if name in written}
        structures: list[Any] = [jax.tree.structure(tree) for tree in (before, written)]
        if structures[0] != structures[1]:
            self.inner = None  # others would miss what it has made
        leaves = jax.tree.leaves(written)
        return arrays_of(outputs), [leaf for leaf in leaves if not isinstance(leaf, Hidden)]

    def _intercept(
        self,
        next_fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: InterceptorContext,
    ) -> Any:
        path = place_of(context.module)
        if self._around is None:
            self._around = _around()
        elif path is not None and path in self._known:
            if context.method_name == "setup":
                return None  # whatever it would make, the call that follows is not made
            self._stand_ins += 1
            return self._stood_for(path, args, kwargs, context)
        return next_fun(*args, **kwargs)

    def _stood_for(self, path: Path, args: Any, kwargs: Any, context: InterceptorContext) -> Any:
        """Return what stands for the result of a call.

        Raises:
          _MisfitError: nothing can.
        """
        scope = context.module.scope
        leaves = jax.tree.leaves((args, kwargs))
        streams = {name: stream.rng for name, stream in scope.rngs.items()}
        inner = self._equal.get(fingerprint(Call.of(context, args, kwargs, streams)))
        if (
            inner is None
            or any(isinstance(leaf, Module | Variable) for leaf in leaves)
            or any(getattr(leaf, "weak_type", False) for leaf in leaves)
            or _around() != self._around  # inside of a loop, say
            or not self._standalone.has_below(path, inner.standalone)
        ):
            raise _MisfitError
        arrays = jax.tree.leaves((streams, inner.standalone.arrays(args, kwargs)))
        return inner.outputs_of(arrays, self._anchor, self._note_misfit)

    def _note_misfit(self) -> None:
        self._is_misfit = True


@dataclasses.dataclass(frozen=True)
class _InnerCall:
    """A call as others hold it."""

    standalone: Standalone
    takes: int
    """How many keys and arrays it takes."""
    leaves: tuple[Any, ...]
    """What it returns; types in place of arrays."""
    structure: Any
    """The structure of what it returns."""
    made: StandIn | None = None
    """What stands for it."""

    @property
    def fingerprint(self) -> Any:
        """What an equal call is known by."""
        return self.standalone.fingerprint

    @property
    def types(self) -> list[Any]:
        """The types of the arrays that it returns."""
        return [leaf for leaf in self.leaves if isinstance(leaf, AbstractValue)]

    def outputs_of(
        self, arrays: Sequence[Any], anchor: Any, note_misfit: Callable[[], None]
    ) -> Any:
        """Return in place of a call with keys and arrays what it would."""
        assert self.made is not None  # noqa: S101 - only then it is known
        made = iter(self.made(arrays, anchor, note_misfit))
        leaves = [next(made) if isinstance(leaf, AbstractValue) else leaf for leaf in self.leaves]
        return jax.tree.unflatten(self.structure, leaves)


def _inner_call(standalone: Standalone, outputs: Any, takes: int) -> _InnerCall | None:
    """Describe a call by what it returned; None if it is more than arrays and plain values."""
    leaves, structure = jax.tree.flatten(outputs)
    if not all(isinstance(leaf, jax.Array | np.ndarray | _PLAIN) for leaf in leaves):
        return None
    types = tuple(
        jax.typeof(leaf) if isinstance(leaf, jax.Array | np.ndarray) else leaf for leaf in leaves
    )
    return _InnerCall(standalone, takes, types, structure)


def _around() -> Any:
    """Describe what surrounds a call: the trace that it is a part of, and what Linen's methods heed."""
    return trace_state(), surroundings()
