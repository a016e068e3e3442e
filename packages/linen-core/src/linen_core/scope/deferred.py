"""Initialization that runs only what the variables need.

The body of `init` runs once, under a `DeferredTrace`: its operations are recorded. Almost all initializers are
elementwise functions of random bits; their variables are drawn by a few compiled programs that serve every shape. Other
variables are computed by the operations that lead to them. The forward pass is dropped.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from linen_core import meta
from linen_core._context import context_var
from linen_core._jax_compat import (
    config_value,
    get_mesh,
    is_eager,
    is_staging,
    trace_context,
    without_mesh,
)
from linen_core.deferred.arrays import DeferredArray
from linen_core.deferred.drawing import EagerDrawing
from linen_core.deferred.elementwise import elementwise_program
from linen_core.deferred.program import Elementwise
from linen_core.deferred.recording import AbsentValueError, Recording
from linen_core.deferred.trace import DeferredTrace
from linen_core.deferred.traced_drawing import MAX_INDEXED, fill_by_shape, fill_traced
from linen_core.errors import LazyInitError
from linen_core.typing import PyTree

__all__ = ["can_defer", "run_deferred"]


def run_deferred(
    run: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    is_placed: bool = False,
) -> Any:
    """Run a function, and compute only what its result needs.

    Args:
      run: ``run(*args, **kwargs)`` returns a tree, for example the variables.
      args: its arguments; a `jax.ShapeDtypeStruct` among them is an array without a value.
      kwargs: its keyword arguments, likewise.
      is_placed: whether arrays are created in the sharding of their boxes and the mesh.

    Returns:
      The result with all values computed.

    Raises:
      LazyInitError: the result, or a decision of the function, depends on an argument without a value.
      MemoryError: the memory does not suffice for a variable.
    """
    trace = DeferredTrace()
    leaves, structure = jax.tree.flatten((args, kwargs))
    filled = [_absent(trace, leaf) for leaf in leaves]
    args, kwargs = jax.tree.unflatten(structure, filled)
    try:
        with trace.recorded() as recording:
            result = run(*args, **kwargs)
        return _computed(recording, result, _placements(result) if is_placed else None)
    except AbsentValueError as error:
        raise LazyInitError(error.aval) from None


def _absent(trace: DeferredTrace, leaf: Any) -> Any:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return trace.absent(leaf.shape, leaf.dtype)
    return leaf


def can_defer() -> bool:
    """Return whether `init` may defer now.

    It may not inside another deferred run, if only shapes are needed, or if the user asks JAX for eager execution.
    """
    if context_var.get().only_shapes:
        return False
    is_nested = isinstance(trace_context.trace, DeferredTrace)
    return not (is_nested or config_value("jax_disable_jit") or config_value("jax_debug_nans"))


def _computed(recording: Recording, result: PyTree, places: PyTree | None) -> Any:
    """Replace the deferred arrays of a tree by their values."""
    paths, _ = jax.tree.flatten_with_path(result)
    shardings = [None] * len(paths) if places is None else jax.tree.leaves(places)
    producers = recording.producers()
    drawn: dict[Any, _Drawn] = {}
    others: dict[Any, Any] = {}
    for (path, leaf), place in zip(paths, shardings, strict=True):
        is_ours = isinstance(leaf, DeferredArray) and leaf.recording is recording
        if not is_ours or leaf.variable in recording.values:
            continue
        array = elementwise_program(leaf.variable, producers, recording.values)
        sharding = None if place is None else place.sharding
        if array is None:
            others[leaf.variable] = sharding
        else:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            sharding = array.sharding if sharding is None else sharding
            drawn[leaf.variable] = _Drawn(name, array, sharding)
    # Computed values go back into the recording: an array that the body kept then shares the variable's value.
    is_outermost = is_eager(recording.parent)
    values = _draw_all_eagerly(drawn) if is_outermost else _draw_traced(recording, drawn)
    recording.values.update(values)
    _compute_others(recording, others)
    return _with_values(result)


def _with_values(tree: PyTree) -> Any:
    """Replace the deferred arrays of a tree. Unlike `jax.tree.map`, it keeps the order of names in a dict."""
    if type(tree) is dict:
        return {name: _with_values(child) for name, child in tree.items()}
    if type(tree) is tuple:
        return tuple(map(_with_values, tree))
    return jax.tree.map(lambda leaf: leaf.value if isinstance(leaf, DeferredArray) else leaf, tree)


class _Drawn(NamedTuple):
    """A variable that is an elementwise function of random bits."""

    name: str
    array: Elementwise
    sharding: Any


def _draw_traced(recording: Recording, drawn: Mapping[Any, _Drawn]) -> dict[Any, Any]:
    """Draw variables inside an outer trace, those with equal programs in one loop."""
    groups: dict[Any, list[Any]] = {}
    is_one_device = jax.device_count() == 1
    for variable, one in drawn.items():
        program = one.array.program
        is_indexed = is_one_device or math.prod(one.array.shape) < MAX_INDEXED
        # Where 16 bits become 32, compilers skip the rounding to 16 bits in some places, which differ inside a loop.
        if is_staging() and is_indexed and program.is_random and not program.widens():
            groups.setdefault(one.array.compiled_key(), []).append(variable)
    # With several devices the compiler may have to partition the parameters. The workspace of one loop for all shapes
    # would be whole on each device.
    fill = fill_traced if is_one_device else fill_by_shape
    values: dict[Any, Any] = {}
    for variables in groups.values():
        arrays = [drawn[variable].array for variable in variables]
        values.update(zip(variables, fill(arrays), strict=True))
    rest = [variable for variable in drawn if variable not in values]
    values.update(zip(rest, recording.compute(rest, keep=False), strict=True))
    return {
        variable: value
        if drawn[variable].sharding is None
        else jax.lax.with_sharding_constraint(value, drawn[variable].sharding)
        for variable, value in values.items()
    }


def _draw_all_eagerly(drawn: Mapping[Any, _Drawn]) -> dict[Any, Any]:
    mesh = get_mesh()
    # Where a mesh is set, eager JAX puts whole arrays on each of its devices.
    default = None if mesh.empty else jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    placed = {
        variable: one._replace(sharding=_on_devices(one.sharding) or default)
        for variable, one in drawn.items()
    }
    drawing = EagerDrawing()
    with without_mesh():  # each device of a mesh would draw each block
        return {variable: _draw_eagerly(drawing, one) for variable, one in placed.items()}


def _draw_eagerly(drawing: EagerDrawing, one: _Drawn) -> Any:
    name, array, sharding = one
    try:
        return drawing.draw(array, sharding)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            msg = (
                f"Cannot create {name} of shape {array.shape} and dtype {array.dtype}: the memory of the device or the "
                "host is exhausted. Create the variables on a mesh of several devices, or in a smaller dtype."
            )
            raise MemoryError(msg) from error
        raise


def _compute_others(recording: Recording, shardings: Mapping[Any, Any]) -> None:
    variables = list(shardings)
    if any(sharding is not None for sharding in shardings.values()):
        # On a mesh no array may be whole on one device in between, so the operations are compiled together.
        compute = jax.jit(
            functools.partial(recording.replay, variables, dict(recording.values)),
            out_shardings=[_on_devices(sharding) for sharding in shardings.values()],
        )
        recording.values.update(zip(variables, compute(), strict=True))
    else:
        recording.values.update(
            zip(variables, recording.compute(variables, keep=False), strict=True)
        )


def _on_devices(sharding: Any) -> Any:
    """Return a sharding of a constraint with the devices of the current mesh in place of an abstract mesh."""
    if isinstance(getattr(sharding, "mesh", None), jax.sharding.AbstractMesh):
        return jax.sharding.NamedSharding(get_mesh(), sharding.spec)
    return sharding


class _Place:
    """The sharding of an array, as a leaf of a tree; None for the default device."""

    __slots__ = ("sharding",)

    def __init__(self, sharding: jax.sharding.Sharding | None) -> None:
        self.sharding = sharding


def _placements(variables: PyTree) -> Any:
    """Return the tree of variables with a `_Place` for each array."""

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
