"""All uses of JAX's private modules.

A new release of JAX may move or change them. Only this file then needs an update: the rest of Linen imports them from
here.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import pathlib
import sys
from collections.abc import Callable, Sequence
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
from jax.interpreters import partial_eval

from linen_core.typing import Array, PyTree

__all__ = [
    "INLINE",
    "ArrayImpl",
    "ExtendedDType",
    "Literal",
    "ShapedTracer",
    "Trace",
    "Tracer",
    "Var",
    "api_boundary",
    "bits_at",
    "call_again",
    "config_value",
    "empty",
    "fold_in",
    "get_mesh",
    "has_legacy_mesh",
    "hide_frames_of",
    "is_eager",
    "is_staging",
    "is_threefry_key",
    "is_traced_since",
    "is_value_demanded",
    "named_scope",
    "new_equation",
    "opaque_trace_state",
    "partial_evaluate",
    "remove_unused",
    "set_current_trace",
    "show_frames_of",
    "trace_context",
    "tracing",
    "unknown_like",
    "without_mesh",
    "wrap_physical_arrays",
]

prng: Any
threefry: Any
random_core: Any
try:
    prng = importlib.import_module("jax._src.random.prng")
    threefry = importlib.import_module("jax._src.random.threefry2x32")
    random_core = importlib.import_module("jax._src.random.core")
except ImportError:  # before JAX 0.10.1
    prng = threefry = importlib.import_module("jax._src.prng")
    random_core = importlib.import_module("jax._src.random")

Tracer = jax.core.Tracer


class _TracerWithShape(core.Tracer):  # type: ignore[type-arg]
    __slots__ = ("aval",)

    def __init__(self, trace: Any, aval: Any) -> None:
        super().__init__(trace)  # type: ignore[call-arg]
        self.aval = aval


# Before JAX 0.10, a subclass added the shape.
_HAS_SHAPE = "aval" in inspect.signature(core.Tracer.__init__).parameters
ShapedTracer: Any = core.Tracer if _HAS_SHAPE else _TracerWithShape
"""A tracer that is created with its trace and its shape."""

Trace: Any = core.Trace
"""Base of the objects that JAX calls for each operation."""

Var: Any = core.Var
"""A variable of an equation."""

Literal: Any = core.Literal
"""A constant in an equation."""

set_current_trace: Any = core.set_current_trace
"""Context manager: operations go to a trace."""

INLINE: Any = jax.Inline.JAX_EARLY if hasattr(jax, "Inline") else True
"""Value of `inline=` for `jax.jit` that inlines the operations into the caller. JAX 0.11 replaced True by an enum."""

empty: Callable[..., Any] = (
    jax.lax.empty if hasattr(jax.lax, "empty") else functools.partial(jax.lax.full, fill_value=0)
)
"""Function of `shape` and `dtype` that returns an array of any values. JAX 0.7.1 has zeros instead."""

trace_context: Any = core.trace_ctx
"""Its attribute `trace` is the current trace of this thread: the innermost JAX transform, or eager execution."""

opaque_trace_state = functools.partial(core.get_opaque_trace_state, convention="flax")
"""Function that returns a value which identifies the current trace, for comparison."""

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


def is_traced_since(outer: object, value: PyTree) -> bool:
    """Return whether a tree has a leaf of a trace that began after ``outer``."""
    inner = []
    trace: Any = core.trace_ctx.trace
    while trace is not None and trace is not outer:
        inner.append(trace)
        trace = getattr(trace, "parent_trace", None)
    leaves = jax.tree.leaves(value)
    return any(isinstance(leaf, Tracer) and leaf._trace in inner for leaf in leaves)


def is_value_demanded() -> bool:
    """Return, in a tracer's `to_concrete_value`, whether JAX raises an error if it gets no value."""
    return sys._getframe(2).f_code is core.concrete_or_error.__code__


def is_staging() -> bool:
    """Return whether operations are recorded into a jaxpr, as under `jax.jit`, instead of evaluated one by one."""
    trace: Any = core.trace_ctx.trace
    while trace is not None:
        if type(trace) is DynamicJaxprTrace:
            return True
        trace = getattr(trace, "parent_trace", None)
    return False


def new_equation(
    inputs: list[Any], outputs: list[Any], primitive: Any, params: dict[str, Any]
) -> Any:
    """Record an operation without side effects, and the configuration under which it was called."""
    return core.new_jaxpr_eqn(inputs, outputs, primitive, params, core.no_effects)


def call_again(equation: Any, inputs: Sequence[Any]) -> Any:
    """Run the operation of an equation on other inputs."""
    params = equation.primitive.get_bind_params(equation.params)
    if isinstance(params, dict):
        return equation.primitive.bind(*inputs, **params)
    functions, params = params  # before JAX 0.10
    return equation.primitive.bind(*functions, *inputs, **params)


# JAX 0.12 also tells a rule which references among the inputs are read later.
_RULES_TAKE_LIVE_INPUTS = (
    "live_inputs" in inspect.signature(internal_partial_eval.dce_jaxpr).parameters
)


def remove_unused(used_outputs: list[bool], equation: Any) -> tuple[list[bool], Any]:
    """Return which inputs the used outputs of an equation need, and the equation without the unused outputs."""
    everything = [True] * len(equation.invars), equation
    rule: Any = internal_partial_eval.dce_rules.get(equation.primitive)
    if rule is None:
        return everything
    live_inputs = [[True] * len(equation.invars)] if _RULES_TAKE_LIVE_INPUTS else []
    try:
        return rule(used_outputs, *live_inputs, equation)  # type: ignore[no-any-return]
    except AssertionError:  # JAX's rule for `jax.checkpoint` fails for keyword arguments
        return everything


def config_value(name: str) -> Any:
    """Return a setting of `jax.config`, as it is in this thread and context."""
    return getattr(jax.config, name)


def is_threefry_key(dtype: Any) -> bool:
    """Return whether a dtype is that of JAX's default keys, with bits that depend on the key and the index only."""
    is_default = dtype == prng.KeyTy(threefry.threefry_prng_impl)
    return bool(is_default and config_value("jax_threefry_partitionable"))


def bits_at(key: jax.Array, bit_width: int, high: Array, low: Array) -> Array:
    """Compute the random bits of some elements, as `jax.random.bits` does for all elements of an array.

    Args:
      key: one threefry key.
      bit_width: 8, 16, 32 or 64.
      high: upper 32 bits of the elements' flat indices.
      low: lower 32 bits of the flat indices.
    """
    words = prng.random_unwrap(key)
    first, second = threefry.threefry2x32_p.bind(words[0], words[1], high, low)
    dtype = prng.UINT_DTYPES[bit_width]
    if bit_width == 64:
        return jax.lax.shift_left(first.astype(dtype), np.asarray(32, dtype)) | second.astype(dtype)
    return (first ^ second).astype(dtype)


def is_eager(trace: object) -> bool:
    """Return whether a trace runs operations immediately, outside JAX transforms."""
    return isinstance(trace, core.EvalTrace)


get_mesh: Callable[[], Any] = getattr(jax.sharding, "get_mesh", mesh_lib.get_concrete_mesh)
"""Function that returns the mesh of the surrounding `jax.set_mesh`, or an empty one. JAX 0.8.1 made it public."""


def without_mesh() -> contextlib.AbstractContextManager[object]:
    """Return a context in which no mesh is set."""
    # Before JAX 0.10, `jax.set_mesh` did not take None.
    return jax.set_mesh(jax.sharding.Mesh(np.empty((), object), ()))


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


def partial_evaluate(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Evaluate the part of a function that does not depend on arguments without values.

    An argument without a value is a `jax.ShapeDtypeStruct` or a result of `unknown_like`. Operations on the other
    arguments are computed, operations on these are only traced. A forward pass over an input without a value therefore
    costs no FLOP. A result that depends on an argument without a value is a `jax.core.ShapedArray`.
    """

    @functools.wraps(fun)
    def wrapper(*args: PyTree, **kwargs: PyTree) -> Any:
        leaves, in_tree = jax.tree.flatten((args, kwargs))
        debug_info = jax.api_util.debug_info("partial_evaluate", fun, (in_tree,), {})
        wrapped = linear_util.wrap_init(fun, debug_info=debug_info)
        flat_fun, out_tree = jax.api_util.flatten_fun(wrapped, in_tree)
        partials = [_partial_value(leaf) for leaf in leaves]
        _, results, _ = partial_eval.trace_to_jaxpr_nounits(flat_fun, partials)
        values = [value if aval is None else aval for aval, value in results]
        return jax.tree.unflatten(out_tree(), values)

    return wrapper


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
