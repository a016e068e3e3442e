"""Applies transforms of functions of scopes to module classes and to functions of a module.

The counterpart in `_packing` handles variables and keys. This file handles the modules: inside the transform a method
must run on a clone that is bound to the traced scopes, since a write through the original module would leak a tracer.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import jax

from linen_core import struct
from linen_core._context import context_var, replaced_context
from linen_core._jax_compat import named_scope
from linen_core.errors import TransformedMethodReturnValueError, TransformTargetError
from linen_core.module.base import Module
from linen_core.module.functional import resolve_method
from linen_core.module.wrapping import call_label, method_name, wrap_method_once
from linen_core.scope.scope import Scope, Variable
from linen_core.typing import Methods, PyTree

__all__ = [
    "Target",
    "holds_scopes",
    "is_module_class",
    "lift_call",
    "lift_direct",
    "lift_transform",
    "make_lifted",
]

TransformTarget: TypeAlias = type[Module] | Callable[..., Any]
Target = TypeVar("Target", bound=TransformTarget)


@struct.dataclass
class _Placeholder:
    """Replaces a module or a variable among the arguments of a transformed function. A pytree without leaves."""

    number: int = struct.field(pytree_node=False)


class _BoundArguments:
    """The bound modules and variables of one call: the module itself, and those in its fields and in the arguments.

    JAX transforms accept arrays only. The scopes enter the transform in place of the modules. Inside, `run` creates
    clones that are bound to the scopes there. A module that occurs twice has one number and one clone, which keeps it
    shared inside.

    Args:
      module: the module whose method is transformed.
      args: arguments of the method.
      kwargs: keyword arguments of the method.
      cls: class of the module's clone inside; the class of the module if None.

    Attributes:
      scopes: the scopes to pass to the transform.
      args: the arguments to pass to the transform, with placeholders for modules and variables.
      kwargs: the keyword arguments, likewise.
    """

    def __init__(
        self,
        module: Module,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        cls: type[Module] | None,
    ) -> None:
        self.scopes: list[Scope] = []
        self._module = module
        self._cls = cls or type(module)
        # Each trace starts from the state at the call. Otherwise a second trace of the same body would continue the
        # numbering of the first, and its submodules would get other names.
        self._state = module._state.export()
        self._numbers: dict[int, int] = {}
        self._originals: list[Any] = []
        self.args, self.kwargs = jax.tree.map(self._replace, (args, kwargs))
        self._replace(module)

    def _replace(self, leaf: object) -> Any:
        """Return the placeholder of a bound module or variable, and any other leaf as it is."""
        if not isinstance(leaf, Module | Variable) or not isinstance(leaf.scope, Scope):
            return leaf
        if id(leaf) not in self._numbers:
            self._numbers[id(leaf)] = len(self._originals)
            self._originals.append(leaf)
            self.scopes.append(leaf.scope)
            if isinstance(leaf, Module):
                leaf._try_setup(
                    shallow=True
                )  # an error of `setup` is raised outside of the transform
                jax.tree.map(self._replace, _fields(leaf))
        return _Placeholder(self._numbers[id(leaf)])

    def run(
        self,
        method: Callable[..., Any],
        scopes: Sequence[Scope],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        labelled: bool,
    ) -> Any:
        """Call a method on the clone of the module inside the transform.

        Args:
          method: the method.
          scopes: the scopes that were opened for `scopes`.
          args: the traced values of `args`.
          kwargs: the traced values of `kwargs`.
          labelled: whether the named scope of the module has begun outside.

        Raises:
          TransformedMethodReturnValueError: the method returned a module or a variable.
        """
        clone, args, kwargs = self._rebind(scopes, args, kwargs)
        clone.__dict__["_state"] = self._state.export()
        if labelled or context_var.get().labelled is self._module:
            with replaced_context(labelled=clone):
                result = method(clone, *args, **kwargs)
        else:
            result = method(clone, *args, **kwargs)
        self._module._state.reimport(clone._state)
        if any(isinstance(leaf, Module | Variable) for leaf in jax.tree.leaves(result)):
            name, scope = method_name(method), self._module.scope
            path = f" at {'/'.join(scope.path)}" if scope is not None and scope.path else ""
            raise TransformedMethodReturnValueError(name, f"{self._cls.__name__}{path}")
        return result

    def _rebind(
        self, scopes: Sequence[Scope], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        """Return the clone of the module, and the arguments with clones for the placeholders."""
        clones: dict[int, Any] = {}

        def clone(number: int) -> Any:
            if number not in clones:
                original, scope = self._originals[number], scopes[number]
                if isinstance(original, Variable):
                    clones[number] = Variable(
                        scope, original.collection, original.name, original.unbox
                    )
                else:
                    clones[number] = clone_module(original, scope)
            return clones[number]

        def clone_module(original: Module, scope: Scope | None) -> Module:
            cls = self._cls if original is self._module else type(original)
            return cls(parent=scope, **jax.tree.map(restore, _fields(original)))

        def restore(leaf: object) -> Any:
            if isinstance(leaf, _Placeholder):
                return clone(leaf.number)
            number = self._numbers.get(id(leaf)) if isinstance(leaf, Module | Variable) else None
            return leaf if number is None else clone(number)

        args, kwargs = jax.tree.map(
            restore, (args, kwargs), is_leaf=lambda x: isinstance(x, _Placeholder)
        )
        number = self._numbers.get(id(self._module))  # None for a module that is not bound
        module = clone_module(self._module, None) if number is None else clone(number)
        return module, args, kwargs


def _fields(module: Module) -> dict[str, Any]:
    values = {name: getattr(module, name) for name in module._field_names}
    return {**values, "name": module.name}


def lift_call(
    transform: Callable[..., Callable[..., Any]],
    methods: Sequence[Callable[..., Any]],
    module: Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    cls: type[Module] | None = None,
    multi_scope: bool = True,
    named: bool = False,
    alternative: str = "",
) -> Any:
    """Call methods of a module through a transform of functions of scopes.

    Args:
      transform: ``transform(*functions_of_scopes)`` returns a function of ``(scopes, *args, **kwargs)``.
      methods: functions of a module and the arguments.
      module: the module.
      args: arguments of the call.
      kwargs: keyword arguments of the call.
      cls: class of the module inside the transform; the class of the module if None.
      multi_scope: whether the transform takes a list of scopes instead of a single scope.
      named: whether to enter the module's named scope outside of the transform. The trace then does not contain the
        name of the module and can be reused for another one.
      alternative: further advice for the error of a module that needs several scopes.

    Raises:
      NotImplementedError: the module has modules as fields, but the transform takes a single scope.
      TransformedMethodReturnValueError: a method returned a module or a variable.
    """
    arguments = _BoundArguments(module, args, kwargs, cls)

    def inside(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(scopes: PyTree, /, *args: object, **kwargs: object) -> Any:
            opened = scopes if multi_scope else [scopes]
            return arguments.run(method, opened, args, kwargs, named)

        return run

    scopes: Any = arguments.scopes
    if not multi_scope:
        if len(scopes) != 1:
            msg = (
                f"Cannot transform a method of {type(module).__name__}, which has modules as fields or arguments: "
                "this transform takes one scope. Create the submodules in `setup` or in a compact method of the module"
                f"{alternative}."
            )
            raise NotImplementedError(msg)
        scopes = scopes[0]
    label = call_label(context_var.get(), module, method_name(methods[0]), cls) if named else ""
    with named_scope(label) if label else contextlib.nullcontext():
        return transform(*map(inside, methods))(scopes, *arguments.args, **arguments.kwargs)


def is_module_class(target: object) -> bool:
    """Return whether a target is a module class or a `functools.partial` of one."""
    if isinstance(target, functools.partial):
        return is_module_class(target.func)
    return inspect.isclass(target) and issubclass(target, Module)


def lift_transform(
    transform: Callable[..., Callable[..., Any]],
    target: Callable[..., Any],
    *trafo_args: object,
    methods: Methods | None = None,
    **trafo_kwargs: object,
) -> Any:
    """Apply a transform of functions of scopes to a module class or a function of a module.

    Args:
      transform: ``transform(function_of_scopes, *trafo_args, **trafo_kwargs)`` returns a function of scopes.
      target: a module class, a `functools.partial` of one, or a function whose first argument is a module.
      *trafo_args: arguments of the transform.
      methods: for a class, the methods to transform: names, or a dict from names to keyword arguments of the transform.
        `__call__` if None.
      **trafo_kwargs: keyword arguments of the transform.

    Returns:
      A subclass, or a function of a module.

    Raises:
      TransformTargetError: ``target`` is neither a module class nor a function with an argument.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> def doubled(fn):
      ...     return lambda scope, *args: 2 * fn(scope, *args)
      >>> Dense = lift_transform(doubled, nn.Dense)
      >>> Dense(1, kernel_init=nn.initializers.ones).init_with_output(jax.random.key(0), jnp.ones(3))[0]
      Array([6.], dtype=float32)
    """

    def transformed(
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        cls: type[Module] | None = None,
    ) -> Any:
        @functools.wraps(fn)
        def wrapped(self: Module, *call_args: object, **call_kwargs: object) -> Any:
            def run(core_fn: Callable[..., Any]) -> Callable[..., Any]:
                return transform(core_fn, *args, **kwargs)

            return lift_call(run, [fn], self, call_args, call_kwargs, cls)

        return wrapped

    return make_lifted(transform, transformed, target, methods, trafo_args, trafo_kwargs)


def make_lifted(
    transform: Callable[..., Any],
    transformed: Callable[..., Callable[..., Any]],
    target: Callable[..., Any],
    methods: Methods | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Return a subclass with transformed methods for a module class, and a transformed function for a function.

    Args:
      transform: the transform; its name is part of the name of the subclass.
      transformed: ``transformed(fn, args, kwargs, cls)`` returns the transformed method for a method of ``cls``.
      target: as for `lift_transform`.
      methods: as for `lift_transform`.
      args: arguments of the transform.
      kwargs: keyword arguments of the transform.
    """
    if is_module_class(target):
        return _make_subclass(transform, transformed, target, methods, args, kwargs)
    if callable(target) and not isinstance(target, Module):
        if not _takes_a_module(target):
            raise TransformTargetError(target)
        return transformed(wrap_method_once(target), args, kwargs)
    raise TransformTargetError(target)


def _takes_a_module(function: Callable[..., Any]) -> bool:
    """Return whether a function takes a positional argument; true if it has no signature to look at."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    keyword_only = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return any(parameter.kind not in keyword_only for parameter in parameters)


def _make_subclass(
    transform: Callable[..., Any],
    transformed: Callable[..., Callable[..., Any]],
    target: Any,
    methods: Methods | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Create a subclass of a module class with transformed methods."""
    if isinstance(target, functools.partial):
        cls = _make_subclass(transform, transformed, target.func, methods, args, kwargs)
        return functools.partial(cls, *target.args, **target.keywords)
    if methods is None:
        options = {"__call__": (args, kwargs)}
    elif isinstance(methods, list | tuple):
        options = dict.fromkeys(methods, (args, kwargs))
    elif isinstance(methods, dict):
        options = {name: ((), keywords) for name, keywords in methods.items()}
    else:
        msg = f"`methods` must be None, a list or tuple of names, or a dict by name; found {methods!r}."
        raise ValueError(msg)
    attributes = {
        name: transformed(getattr(target, name), *arguments, target)
        for name, arguments in options.items()
    }
    return type(f"{transform.__name__.capitalize()}{target.__name__}", (target,), attributes)


def holds_scopes(value: object) -> bool:
    """Return whether a value is a scope, or a tree of scopes, in place of a module."""
    leaves = jax.tree.leaves(value)
    return bool(leaves) and all(isinstance(leaf, Scope) for leaf in leaves)


def lift_direct(
    transform: Callable[..., Callable[..., Any]],
    targets: Sequence[Callable[..., Any]],
    module: Module,
    args: tuple[Any, ...],
    multi_scope: bool = True,
    alternative: str = "",
) -> Any:
    """Call functions of a module, or of scopes, through a transform immediately; see `lift_call`.

    Raises:
      ValueError: a target is a module class or is not callable.
    """
    if holds_scopes(module):
        return transform(*targets)(module, *args)
    for target in targets:
        if is_module_class(target) or not callable(target):
            msg = f"Cannot transform {target!r} here: expected a method, or another function of a module."
            raise ValueError(msg)
    methods = [wrap_method_once(resolve_method(module, target)) for target in targets]
    return lift_call(
        transform, methods, module, args, {}, multi_scope=multi_scope, alternative=alternative
    )
