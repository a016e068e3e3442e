"""All uses of JAX's private modules.

A new release of JAX may move or change them. Only this file then needs an update: the rest of Linen imports them from
here.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import core, dtypes, earray, linear_util, source_info_util, traceback_util
from jax._src import mesh as mesh_lib
from jax._src.array import ArrayImpl
from jax._src.interpreters import partial_eval as internal_partial_eval
from jax._src.interpreters import pxla
from jax._src.interpreters.partial_eval import DynamicJaxprTrace
from jax._src.random import core as random_core
from jax._src.random import prng
from jax.interpreters import partial_eval

from linen_core.typing import Array, PyTree

__all__ = [
    "INLINE",
    "ArrayImpl",
    "ExtendedDType",
    "Tracer",
    "UnknownValueError",
    "api_boundary",
    "closed_jaxpr_for",
    "current_trace",
    "evaluate_apart",
    "fold_in",
    "has_legacy_mesh",
    "hide_frames_of",
    "is_staging",
    "is_traced_since",
    "named_scope",
    "partial_evaluate",
    "show_frames_of",
    "tracing",
    "unknown_like",
    "wrap_physical_arrays",
]

Tracer = jax.core.Tracer

INLINE: Any = jax.Inline.JAX_EARLY if hasattr(jax, "Inline") else True
"""Value of `inline=` for `jax.jit` that inlines the operations into the caller. JAX 0.11 replaced True by an enum."""

named_scope = source_info_util.extend_name_stack
"""Context manager that adds one name to the name stack: `jax.named_scope` without its argument check."""

api_boundary = traceback_util.api_boundary
"""Decorator: removes the frames of hidden folders from the traceback of an exception that leaves the function."""


def fold_in(key: jax.Array, data: int) -> jax.Array:
    """Fold a 32-bit integer into a key: `jax.random.fold_in` at less than half of its tracing time."""
    number: Any = np.uint32(data)
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return prng.random_fold_in(key, number)  # type: ignore[no-any-return]
    typed = prng.random_wrap(key, impl=random_core.default_prng_impl())
    return prng.random_unwrap(prng.random_fold_in(typed, number))  # type: ignore[no-any-return]


ExtendedDType = dtypes.ExtendedDType
"""Base class of dtypes that numpy does not have."""


def wrap_physical_arrays(
    aval: core.AbstractValue, sharding: jax.sharding.Sharding, committed: bool
) -> Callable[[Any], Any]:
    """Return the function that wraps physical buffers into an array of an extended dtype."""
    handler = pxla.global_result_handlers[core.ShapedArray]
    physical = handler(core.physical_aval(aval), sharding, committed)
    return lambda buffers: earray.EArray(aval, physical(buffers))


def tracing() -> bool:
    """Return whether a JAX transform is tracing now."""
    return not core.trace_state_clean()


def current_trace() -> Any:
    """Return the current trace; outside of JAX transforms it is the one that evaluates operations eagerly."""
    return core.trace_ctx.trace


def is_traced_since(outer: object, value: PyTree) -> bool:
    """Return whether a tree has a leaf of a trace that began after ``outer``."""
    inner = []
    trace: Any = core.trace_ctx.trace
    while trace is not None and trace is not outer:
        inner.append(trace)
        trace = getattr(trace, "parent_trace", None)
    leaves = jax.tree.leaves(value)
    return any(isinstance(leaf, Tracer) and leaf._trace in inner for leaf in leaves)


def is_staging() -> bool:
    """Return whether operations are recorded into a jaxpr, as under `jax.jit`, instead of evaluated one by one."""
    trace: Any = core.trace_ctx.trace
    while trace is not None:
        if type(trace) is DynamicJaxprTrace:
            return True
        trace = getattr(trace, "parent_trace", None)
    return False


def has_legacy_mesh() -> bool:
    """Return whether a mesh was entered as ``with mesh:``, which JAX replaced by `jax.set_mesh`."""
    return not mesh_lib.thread_resources.env.physical_mesh.empty


def hide_frames_of(folder: pathlib.Path) -> None:
    """Leave the frames of a folder's files out of filtered tracebacks and of HLO source locations."""
    path = str(folder)
    if path not in traceback_util._exclude_paths:
        traceback_util.register_exclusion(path)
        source_info_util.register_exclusion(path)


def show_frames_of(folder: pathlib.Path) -> None:
    """Undo `hide_frames_of` for tracebacks."""
    path = str(folder)
    if path in traceback_util._exclude_paths:
        traceback_util._exclude_paths.remove(path)


class UnknownValueError(ValueError):
    """A result of `partial_evaluate` depends on an argument that has no value.

    Attributes:
      aval: the abstract value of the result.
      path: the keys that lead to the result.
    """

    def __init__(self, aval: object, path: tuple[Any, ...] = ()) -> None:
        self.aval = aval
        self.path = path
        super().__init__(
            f"The value of {aval} depends on an argument that is only a ShapeDtypeStruct."
        )


def partial_evaluate(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Evaluate the part of a function that does not depend on arguments without values.

    An argument without a value is a `jax.ShapeDtypeStruct` or a result of `unknown_like`. Operations on the other
    arguments are computed, operations on these are only traced. A forward pass over an input without a value therefore
    costs no FLOP.

    Raises:
      UnknownValueError: from the returned function, if a result depends on an argument without a value.
    """

    @functools.wraps(fun)
    def wrapper(*args: PyTree, **kwargs: PyTree) -> Any:
        leaves, in_tree = jax.tree.flatten((args, kwargs))
        debug_info = jax.api_util.debug_info("partial_evaluate", fun, (in_tree,), {})
        wrapped = linear_util.wrap_init(fun, debug_info=debug_info)
        flat_fun, out_tree = jax.api_util.flatten_fun(wrapped, in_tree)
        partials = [_partial_value(leaf) for leaf in leaves]
        _, results, _ = partial_eval.trace_to_jaxpr_nounits(flat_fun, partials)
        values = [value for _, value in results]
        for number, (aval, _) in enumerate(results):
            if aval is not None:
                numbered = jax.tree.unflatten(out_tree(), range(len(results)))
                path, _ = jax.tree_util.tree_leaves_with_path(numbered)[number]
                raise UnknownValueError(aval, path)
        return jax.tree.unflatten(out_tree(), values)

    return wrapper


def closed_jaxpr_for(
    fun: Callable[..., list[Any]], *args: PyTree
) -> tuple[Callable[[list[Any]], list[Any]], list[bool]]:
    """Trace a function and keep only the operations that its results need.

    Args:
      fun: a function that returns a list of arrays.
      *args: its arguments; arrays or `jax.ShapeDtypeStruct`, or pytrees of them.

    Returns:
      A function of the leaves of the first argument that computes the results, and a list that says for each leaf of
      all arguments whether the results depend on it.
    """
    closed = jax.make_jaxpr(fun)(*args)
    jaxpr = internal_partial_eval.convert_constvars_jaxpr(closed.jaxpr)
    pruned, used = internal_partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    count = len(closed.consts)

    def compute(leaves: list[Any]) -> list[Any]:
        given = [*closed.consts, *leaves, *[None] * len(used)]
        needed = [value for value, is_used in zip(given, used, strict=False) if is_used]
        return core.eval_jaxpr(pruned, (), *needed)

    return compute, list(used[count:])


def evaluate_apart(fun: Callable[..., Any], *args: PyTree, minus_zero: Array) -> Any:
    """Call a function with a rounding after each operation, as in eager mode.

    XLA fuses operations and may keep more precision between them. Under `jax.jit` the result would then differ from the
    eager one in the last bit. A nested `jax.jit` inside the function counts as one operation.

    Args:
      fun: the function.
      *args: its arguments.
      minus_zero: -0.0 in float32, as an argument of the compiled program: a constant would be folded away.
    """
    closed, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
    values: dict[Any, Any] = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(closed.jaxpr.invars, jax.tree.leaves(args), strict=True))

    def read(atom: core.Atom) -> Any:
        if not isinstance(atom, core.Literal):
            return values[atom]
        aval: Any = atom.aval
        value = jnp.asarray(atom.val, aval.dtype)
        # Without the barrier XLA specialises on the constant, and a division by it becomes a multiplication.
        return jax.lax.optimization_barrier(value)

    for equation in closed.jaxpr.eqns:
        params = equation.primitive.get_bind_params(equation.params)
        with equation.ctx.manager:
            outputs = equation.primitive.bind(*map(read, equation.invars), **params)
        results = outputs if equation.primitive.multiple_results else [outputs]
        for variable, value in zip(equation.outvars, results, strict=True):
            values[variable] = _rounded(value, minus_zero)
    return jax.tree.unflatten(jax.tree.structure(shapes), map(read, closed.jaxpr.outvars))


def _rounded(value: Array, minus_zero: Array) -> Any:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    if value.dtype in (jnp.float32, jnp.float64):
        # A barrier does not prevent a fused multiply-add, which skips the rounding of the product. Adding -0.0 changes
        # no number, and it is then the product and -0.0 that are fused.
        value = value + minus_zero.astype(value.dtype)
    return jax.lax.optimization_barrier(value)


def unknown_like(value: Array, drop_leading_axis: bool = False) -> Any:
    """Return an argument without a value for `partial_evaluate`: like an array, or like a slice of its first axis."""
    aval = jax.typeof(value)
    if not drop_leading_axis:
        return aval
    sharding = aval.sharding
    if sharding.spec and sharding.spec[0] is not None:
        msg = f"Cannot scan over an axis that is sharded: found {sharding.spec}."
        raise ValueError(msg)
    spec = jax.sharding.PartitionSpec(*sharding.spec[1:])
    return aval.update(shape=aval.shape[1:], sharding=sharding.update(spec=spec))


def _partial_value(leaf: object) -> Any:
    if isinstance(leaf, core.ShapedArray):
        return partial_eval.PartialVal.unknown(leaf)
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return partial_eval.PartialVal.unknown(jax.core.ShapedArray(leaf.shape, leaf.dtype))
    return partial_eval.PartialVal.known(leaf)
