"""One abstract run of a module, and the calls that it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from linen_core.abstract import eval_shape
from linen_core.filters import CollectionFilter
from linen_core.module import InterceptorContext, Module, intercept_methods
from linen_core.typing import Path
from linen_summary._values import as_specs, is_value, number_spec

__all__ = ["Call", "record_calls"]


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a method of a module."""

    module: Module
    """An unbound copy of the module."""
    method: str
    """Name of the method."""
    args: tuple[Any, ...]
    """The arguments, with specifications for arrays."""
    kwargs: dict[str, Any]
    """The keyword arguments, likewise."""
    streams: Mapping[str, Any]
    """The keys of the RNG streams, likewise."""
    mutable: CollectionFilter
    """Which collections could be written."""
    index: int
    """How many calls began before."""
    path: Path
    """Names from the root to the module."""
    outputs: Any
    """What the call returned, with specifications for arrays."""
    variables: Any
    """What the module's scope held at the end of the call; None if earlier calls may have put something there, or
    something that the call needs may lie elsewhere."""

    @property
    def is_method(self) -> bool:
        """Whether the module itself has the method: a function that is transformed is called, but is none."""
        return hasattr(self.module, self.method)


def record_calls(
    module: Module, rngs: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[Call], dict[str, Any]]:
    """Run ``module.init(rngs, *args, **kwargs)`` abstractly.

    Returns:
      The calls of methods, in the order in which they began, and the specifications of the variables by collection.
    """
    calls: dict[int, Call] = {}
    begun = 0
    entered: set[Path] = set()

    def record(
        next_fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: InterceptorContext,
    ) -> Any:
        nonlocal begun
        if context.method_name == "setup" or context.module.scope is None:
            return next_fun(*args, **kwargs)  # a module by itself, outside of the model, has no row
        index, begun = begun, begun + 1
        path = context.module.path
        fresh = path not in entered
        entered.update(path[:length] for length in range(len(path) + 1))
        outputs = next_fun(*args, **kwargs)
        module = context.module
        is_alone = fresh and all(
            handed.scope is None or handed.path[: len(path)] == path
            for handed in _handed(module, args, kwargs)
        )
        calls[index] = Call(
            module=module.clone(),
            method=context.method_name,
            args=as_specs(args),
            kwargs=as_specs(kwargs),
            streams=as_specs({name: stream.rng for name, stream in module.scope.rngs.items()}),
            mutable=module.scope.mutable,
            index=index,
            path=path,
            outputs=as_specs(outputs),
            variables=module.variables if is_alone else None,
        )
        return outputs

    variables: dict[str, Any] = {}

    def run(rngs: Any, *args: Any, **kwargs: Any) -> None:
        made = module.init(rngs, *args, **kwargs)
        variables.update((name, _variable_specs(_as_dicts(made[name]))) for name in sorted(made))

    # copies of modules may hold tracers in their fields; they are let go of with the table
    with jax.check_tracer_leaks(False), intercept_methods(record):
        eval_shape(run, rngs, *args, **kwargs)
    return [calls[index] for index in sorted(calls)], variables


def _handed(module: Module, *arguments: Any) -> Iterator[Module]:
    """Find the modules that a module was handed, in its fields and arguments and in the fields of those."""
    found = {id(module)}
    waiting: list[Any] = [module, *arguments]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Module):
            names = (field.name for field in dataclasses.fields(node) if field.name != "parent")
            node = [node.__dict__.get(name) for name in names]
        for leaf in jax.tree.leaves(node):
            if isinstance(leaf, Module) and id(leaf) not in found:
                found.add(id(leaf))
                waiting.append(leaf)
                yield leaf


def _as_dicts(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {name: _as_dicts(child) for name, child in node.items()}
    return node


def _variable_specs(collection: Any) -> Any:
    return jax.tree.map(number_spec, as_specs(collection), is_leaf=is_value)
