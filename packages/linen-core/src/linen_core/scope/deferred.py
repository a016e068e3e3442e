"""Initialisation whose cost grows with the number of different parameters, not with the number of all.

One run of `init` is only traced. Each parameter that a known pure initializer makes from the key of the stream
'params' is noted: initializer, arguments, and the number to fold into the key. Parameters that differ in that
number alone then come from one compiled program, each made where it is to lie. Everything else that `init` makes
is computed from the trace, without the forward pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from linen_core import meta
from linen_core._context import current_context, replaced_context
from linen_core._jax_compat import Tracer, closed_jaxpr_for, evaluate_apart
from linen_core.errors import LazyInitError
from linen_core.fingerprint import NoFingerprintError
from linen_core.rng import fold_number
from linen_core.scope.cursor import Cursor, RunObserver
from linen_core.scope.functional import lazily
from linen_core.scope.shapes import fingerprint_initializer
from linen_core.typing import Array, PRNGKey, PyTree, RNGSequences

__all__ = ["make_lazily"]

_MINUS_ZERO = np.float32(-0.0)


class _Recipe:
    """An initializer with its arguments, equal to every other that makes the same of a key."""

    def __init__(
        self, init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._facts = fingerprint_initializer(init_fn, args, kwargs)
        self._hash = hash(self._facts)
        self._make = functools.partial(_call_with_key, init_fn, args, kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Recipe) and self._facts == other._facts

    def __hash__(self) -> int:
        return self._hash

    def leaves(self, key: PRNGKey, number: Array, minus_zero: Array) -> list[Any]:
        """Make the arrays of the parameter whose key is ``key`` with ``number`` folded in."""
        folded = jax.random.fold_in(key, number)
        return jax.tree.leaves(evaluate_apart(self._make, folded, minus_zero=minus_zero))


def _call_with_key(
    init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: PRNGKey
) -> Any:
    return init_fn(key, *args, **kwargs)


class _Parameter(NamedTuple):
    """One parameter that was noted."""

    recipe: _Recipe
    number: int


class _Notes(RunObserver):
    """Notes the parameters that a traced run of `init` makes from one key."""

    runs_forward = False

    def __init__(self, key: PRNGKey | None) -> None:
        self._key = key
        self._made: dict[int, tuple[_Parameter, int, Any]] = {}

    def on_param(
        self,
        scope: Cursor,
        init_fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        value: PyTree,
    ) -> None:
        """Record a parameter that was created with the newest key of the scope."""
        rng = scope.rngs.get("params")
        leaves = jax.tree.leaves(value)
        if rng is None or rng.rng is not self._key or not all(map(_is_tracer, leaves)):
            return  # a transform has split the keys
        try:
            recipe = _Recipe(init_fn, args, kwargs)
        except NoFingerprintError:
            return
        parameter = _Parameter(recipe, fold_number((*rng.suffix, scope.rng_counters["params"])))
        for position, leaf in enumerate(leaves):
            # keeping the leaf alive keeps its id unique
            self._made[id(leaf)] = (parameter, position, leaf)

    def find(self, leaf: object) -> tuple[_Parameter, int] | None:
        """Find the parameter that a traced value is, and which of its arrays; None if it is none."""
        parameter, position, _ = self._made.get(id(leaf), (None, 0, None))
        return None if parameter is None else (parameter, position)


def _is_tracer(value: object) -> bool:
    return isinstance(value, Tracer)


def make_lazily(
    run: Callable[[RunObserver | None, Mapping[str, Any], Any, Any], Any],
    streams: Mapping[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Make the variables of a run of `init` without its forward pass.

    Args:
      run: ``run(observer, streams, args, kwargs)`` gives the variables.
      streams: keys by stream.
      args: arguments of the forward pass; those that are a `jax.ShapeDtypeStruct` have no value.
      kwargs: its keyword arguments, likewise.

    Returns:
      The variables, in what `default_store` chose.

    Raises:
      LazyInitError: a variable depends on an argument without a value.
    """
    factory = current_context().store_factory
    with replaced_context(store_factory=None):
        made = _make(run, streams, args, kwargs)
    return made if factory is None else factory(made)


class _TracedInit:
    """One run of `init` that is only traced.

    Args:
      run: as for `make_lazily`.
      args: the arguments and keyword arguments of the forward pass, flattened.
      structure: their structure.

    Attributes:
      values: the leaves of the variables.
      structure: the structure of the variables.
      places: where each leaf is to lie.
      known: the parameters among the leaves that were noted, by number.
    """

    def __init__(
        self, run: Callable[..., Any], args: list[Any], structure: jax.tree_util.PyTreeDef
    ) -> None:
        self._run = run
        self._args = args
        self._structure = structure
        self.values: list[Any] = []
        self.structure: Any = None
        self.places: list[_Place] = []
        self.known: dict[int, tuple[_Parameter, int]] = {}

    def trace(self, keys: RNGSequences, absent: Sequence[Array]) -> list[Any]:
        """Run `init` under a trace, and return the leaves that remain to be computed."""
        given = iter(absent)
        filled = [
            next(given) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf for leaf in self._args
        ]
        notes = _Notes(keys.get("params"))
        args, kwargs = jax.tree.unflatten(self._structure, filled)
        variables = self._run(notes, keys, args, kwargs)
        self.values, self.structure = jax.tree.flatten(variables)
        self.places = jax.tree.leaves(_placements(variables))
        found = ((i, notes.find(value)) for i, value in enumerate(self.values))
        self.known = {i: parameter for i, parameter in found if parameter is not None}
        return [self.values[i] for i in self.remaining]

    @property
    def remaining(self) -> list[int]:
        """Numbers of the leaves that were neither noted nor computed while tracing."""
        return [
            i for i, value in enumerate(self.values) if _is_tracer(value) and i not in self.known
        ]


def _make(
    run: Callable[..., Any],
    streams: Mapping[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    leaves, structure = jax.tree.flatten((args, kwargs))
    absent = [leaf for leaf in leaves if isinstance(leaf, jax.ShapeDtypeStruct)]
    traced = _TracedInit(run, leaves, structure)
    try:
        rest, used = closed_jaxpr_for(traced.trace, streams, absent)
    except (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
        jax.errors.TracerIntegerConversionError,
    ):  # the run decides by values, so these must be there while it runs
        return lazily(lambda *given: run(None, *given))(streams, args, kwargs)
    for is_used, leaf in zip(used[len(jax.tree.leaves(streams)) :], absent, strict=True):
        if is_used:
            raise LazyInitError(jax.core.ShapedArray(leaf.shape, leaf.dtype))
    drawn = _draw_all(streams.get("params"), traced.known, traced.places)
    results = {**dict(enumerate(traced.values)), **drawn}
    if traced.remaining:
        shardings = [traced.places[i].sharding for i in traced.remaining]
        on_mesh = any(sharding is not None for sharding in shardings)
        # one operation after the other gives the bits of `init`; on a mesh nothing may be whole in between
        compute = jax.jit(rest, out_shardings=shardings) if on_mesh else rest
        results.update(zip(traced.remaining, compute(jax.tree.leaves(streams)), strict=True))
    return jax.tree.unflatten(traced.structure, [results[i] for i in range(len(results))])


def _draw_all(
    key: PRNGKey | None, known: Mapping[int, tuple[_Parameter, int]], places: Sequence[_Place]
) -> dict[int, Any]:
    """Make all noted parameters; the arrays by their numbers among all values."""
    arrays: dict[_Parameter, dict[int, int]] = {}
    for number, (parameter, position) in known.items():
        arrays.setdefault(parameter, {})[position] = number
    groups: dict[Any, list[tuple[int, dict[int, int]]]] = {}
    for parameter, numbers in arrays.items():
        shardings = tuple((position, places[i].sharding) for position, i in sorted(numbers.items()))
        groups.setdefault((parameter.recipe, shardings), []).append((parameter.number, numbers))
    drawn = {}
    for (recipe, shardings), members in groups.items():
        folds = np.array([fold for fold, _ in members], np.uint32)
        if isinstance(key, Tracer):
            made = _drawer(recipe, shardings, batched=True)(key, folds, _MINUS_ZERO)
        else:
            draw = _drawer(recipe, shardings, batched=False)
            made = [draw(key, fold, _MINUS_ZERO) for fold in folds]
        for (_, numbers), values in zip(members, made, strict=True):
            drawn.update({numbers[p]: v for (p, _), v in zip(shardings, values, strict=True)})
    return drawn


@functools.lru_cache(maxsize=1024)
def _drawer(recipe: _Recipe, shardings: tuple[tuple[int, Any], ...], *, batched: bool) -> Any:
    """Give the compiled function of a key and a number, or of several numbers, that makes arrays.

    Several at once serve a run that is itself being traced; where it is not, one after the other needs no memory
    for more than is asked for.
    """

    def draw(key: PRNGKey, number: Array, minus_zero: Array) -> list[Any]:
        leaves = recipe.leaves(key, number, minus_zero)
        return [leaves[position] for position, _ in shardings]

    def draw_several(key: PRNGKey, numbers: Array, minus_zero: Array) -> list[list[Any]]:
        _, used = closed_jaxpr_for(lambda given: draw(key, given, minus_zero), numbers[0])
        if not any(used):  # zeros and ones: copies need no compiling
            return [draw(key, numbers[0], minus_zero)] * len(numbers)
        # a loop is compiled once
        stacked = jax.lax.map(lambda number: draw(key, number, minus_zero), numbers)
        return [[leaf[i] for leaf in stacked] for i in range(len(numbers))]

    places = [sharding for _, sharding in shardings]
    if not batched:
        return jax.jit(draw, out_shardings=places)
    return jax.jit(
        lambda key, numbers, minus_zero: [
            list(map(_constrained, values, places))
            for values in draw_several(key, numbers, minus_zero)
        ]
    )


def _constrained(value: Array, sharding: jax.sharding.Sharding | None) -> Any:
    return value if sharding is None else jax.lax.with_sharding_constraint(value, sharding)


class _Place:
    """Where an array is to lie, as a leaf of a tree; `sharding` is None for wherever JAX puts it."""

    __slots__ = ("sharding",)

    def __init__(self, sharding: jax.sharding.Sharding | None) -> None:
        self.sharding = sharding


def _placements(variables: PyTree) -> Any:
    """Give the tree of variables with a `_Place` for each array."""

    def place(node: PyTree) -> Any:
        mesh = getattr(node, "mesh", None)
        mesh = meta.get_global_mesh() if mesh is None else mesh
        if mesh is None:
            sharding = None
        elif isinstance(node, meta.Partitioned):
            sharding = node._placement(mesh)
        else:
            sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        return jax.tree.map(lambda _: _Place(sharding), node)

    return jax.tree.map(place, variables, is_leaf=meta.is_axis_metadata)
