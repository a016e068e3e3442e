"""One abstract run of a module, and the calls of methods that it consists of."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.abstract import eval_shape
from linen_core.filters import CollectionFilter
from linen_core.meta import Partitioned
from linen_core.module import InterceptorContext, Module, intercept_methods
from linen_core.typing import Path
from linen_summary.text.values import is_value

__all__ = ["Call", "as_specs", "record_calls"]

_NUMBERS = (bool, int, float, complex)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a method of a module. Arrays are replaced by their specifications."""

    module: Module
    """An unbound copy of the module."""
    method: str
    """Name of the method."""
    args: tuple[Any, ...]
    """The positional arguments."""
    kwargs: dict[str, Any]
    """The keyword arguments."""
    streams: Mapping[str, Any]
    """The keys of the RNG streams."""
    mutable: CollectionFilter
    """The collections that the call may write."""
    index: int
    """Number of calls that began before this one."""
    path: Path
    """Names from the root to the module."""
    outputs: Any
    """The result of the call."""
    variables: Any
    """Variables of the module's scope at the end of the call. None if earlier calls may have written some of them, or
    if the call may need variables outside its scope."""

    @property
    def is_method(self) -> bool:
        """True if the module's class has the method. A function that a transform calls is recorded without one."""
        return hasattr(self.module, self.method)


def record_calls(
    module: Module, rngs: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[Call], dict[str, Any]]:
    """Run ``module.init(rngs, *args, **kwargs)`` abstractly.

    Returns:
      The calls of methods in the order in which they began, and the specifications of the variables by collection.
    """
    calls: list[Call] = []
    indices = itertools.count()
    entered: set[Path] = set()

    def record(
        next_fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: InterceptorContext,
    ) -> Any:
        if context.method_name == "setup" or context.module.scope is None:
            return next_fun(*args, **kwargs)  # a detached module inside a method gets no row
        index = next(indices)
        path = context.module.path
        is_first = path not in entered
        entered.update(path[:length] for length in range(len(path) + 1))
        outputs = next_fun(*args, **kwargs)
        module = context.module
        is_self_contained = is_first and all(
            other.scope is None or other.path[: len(path)] == path
            for other in _modules_passed(module, args, kwargs)
        )
        call = Call(
            module=module.clone(),
            method=context.method_name,
            args=as_specs(args),
            kwargs=as_specs(kwargs),
            streams=as_specs({name: stream.rng for name, stream in module.scope.rngs.items()}),
            mutable=module.scope.mutable,
            index=index,
            path=path,
            outputs=as_specs(outputs),
            variables=module.variables if is_self_contained else None,
        )
        calls.append(call)
        return outputs

    variables: dict[str, Any] = {}

    def run(rngs: Any, *args: Any, **kwargs: Any) -> None:
        collections = module.init(rngs, *args, **kwargs)
        for name in sorted(collections):
            specs = as_specs(_as_dicts(collections[name]))
            variables[name] = jax.tree.map(_number_spec, specs, is_leaf=is_value)

    # Copies of modules may hold tracers in their fields until the table is garbage: not a leak.
    with jax.check_tracer_leaks(False), intercept_methods(record):
        eval_shape(run, rngs, *args, **kwargs)
    return sorted(calls, key=lambda call: call.index), variables


def _modules_passed(module: Module, *arguments: Any) -> Iterator[Module]:
    """Find the modules in the fields and arguments of a module, and in their fields."""
    seen = {id(module)}
    waiting: list[Any] = [module, *arguments]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Module):
            names = (field.name for field in dataclasses.fields(node) if field.name != "parent")
            node = [node.__dict__.get(name) for name in names]
        for leaf in jax.tree.leaves(node):
            if isinstance(leaf, Module) and id(leaf) not in seen:
                seen.add(id(leaf))
                waiting.append(leaf)
                yield leaf


def _as_dicts(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {name: _as_dicts(child) for name, child in node.items()}
    return node


def as_specs(tree: Any) -> Any:
    """Replace each array of a pytree by a `jax.ShapeDtypeStruct`, and keep the box around it.

    Python integers and floats, None, and other objects stay unchanged.

    Example:
      >>> as_specs({"x": jnp.ones(3), "scale": 2.0, "names": ("a", None)})
      {'names': ('a', None), 'scale': 2.0, 'x': ShapeDtypeStruct(shape=(3,), dtype=float32)}
    """
    return jax.tree.map(_as_spec, tree, is_leaf=is_value)


def _as_spec(leaf: Any) -> Any:
    if isinstance(leaf, Partitioned):
        return leaf.replace_boxed(as_specs(leaf.value))
    if isinstance(leaf, jax.ShapeDtypeStruct):
        # `result_type` below would narrow a store's 64-bit dtypes.
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    if isinstance(leaf, int | float | Module):  # includes np.float64, which flax shows as a float
        return leaf
    if isinstance(leaf, complex) or _is_dtype(leaf):  # flax shows these as scalars
        return jax.ShapeDtypeStruct((), jnp.result_type(leaf))
    if isinstance(leaf, type) or not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
        return leaf
    try:
        return jax.ShapeDtypeStruct(leaf.shape, jnp.result_type(leaf))
    except (TypeError, ValueError):  # JAX does not accept every object with a shape and a dtype
        return leaf


def _number_spec(leaf: Any) -> Any:
    """Replace a Python number by the scalar array that JAX converts it to."""
    is_number = isinstance(leaf, int | float)
    return jax.ShapeDtypeStruct((), jnp.result_type(leaf)) if is_number else leaf


def _is_dtype(leaf: Any) -> bool:
    if not isinstance(leaf, type):
        return isinstance(leaf, np.dtype)
    return leaf in _NUMBERS or isinstance(getattr(leaf, "dtype", None), np.dtype)
