"""The wrappers around the methods and properties of modules."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from linen_core import _context
from linen_core._jax_compat import api_boundary, named_scope
from linen_core.errors import (
    CallCompactUnboundModuleError,
    CallSetupUnboundModuleError,
    DescriptorAttributeError,
    IncorrectPostInitOverrideError,
    InvalidInstanceModuleError,
)
from linen_core.module.interceptors import run_interceptors
from linen_core.module.state import ModuleBase, SetupState

__all__ = [
    "call_label",
    "checked_on_instance",
    "compact",
    "method_label",
    "method_name",
    "nowrap",
    "wrap_attributes",
    "wrap_method_once",
]

_F = TypeVar("_F", bound=Callable[..., Any])

_UNWRAPPED_METHODS = frozenset({"__eq__", "__repr__", "__init__", "__hash__", "__post_init__"})
_DONE = SetupState.DONE


def compact(fun: _F) -> _F:
    """Mark a method that creates submodules, parameters and variables where it uses them.

    Example:
      >>> import linen_core as nn
      >>> class MLP(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return nn.Dense(1)(nn.relu(nn.Dense(4)(x)))
    """
    fun.compact = True  # type: ignore[attr-defined]
    return fun


def nowrap(fun: _F) -> _F:
    """Mark a method or property that is not wrapped: without a named scope, and never intercepted.

    Use it for helpers that create submodules for the method that calls them.

    Example:
      >>> import linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.nowrap
      ...     def make_layer(self):
      ...         return nn.Dense(3)
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return self.make_layer()(x)
    """
    fun.nowrap = True  # type: ignore[attr-defined]
    return fun


def wrap_method_once(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function as a method of modules, unless it is wrapped already.

    A call of the method has this order of events:

    1. `enter` runs `setup` if it has not run, and marks a compact method as running. From here on the method may
       create submodules and parameters.
    2. The context changes: a module created now has this module as its parent.
    3. The named scope of the module begins. The interceptors run, outermost first, and then the method.
    4. The result is sown into 'intermediates' if the run captures it. The module must not be rewound yet.
    5. The old context returns, after an exception too. A compact method frees its names for the next call: its scope
       is rewound, and its counts of submodules restart, unless an outer call of the same method is still running.

    The inner function reads the context through its module `_context`, not through a global ContextVar: cloudpickle
    pickles a class of a script by value, with the globals of its methods, and a ContextVar cannot be pickled.
    """
    if hasattr(fun, "method_handler_wrapped"):
        return fun
    name = method_name(fun)
    is_compact = hasattr(fun, "compact")
    enter = _enter_setup if name == "setup" else _enter_compact if is_compact else _enter_plain
    resets = is_compact or name == "setup"

    @functools.wraps(fun)
    def wrapped_module_method(*args: object, **kwargs: object) -> Any:
        if not args or not isinstance(args[0], ModuleBase):
            return fun(*args, **kwargs)
        module: Any = args[0]
        recurrent = enter(module)
        outer = _context.context_var.get()
        token = _context.context_var.set(outer._replace(module=module))
        try:
            run = fun
            if outer.interceptors:
                run = functools.partial(run_interceptors, outer.interceptors, fun, name)
            label = call_label(outer, module, name)
            with named_scope(label) if label else contextlib.nullcontext():
                result = run(*args, **kwargs)
            if outer.capture is not None and outer.capture(module, name):
                module.sow("intermediates", name, result)
            return result
        finally:
            _context.context_var.reset(token)
            if is_compact:
                module.__dict__["scope"] = module.scope.rewound()
            if resets and not recurrent:
                module._state.reset()

    wrapped_module_method.method_handler_wrapped = True  # type: ignore[attr-defined]
    return wrapped_module_method


def method_name(fun: object) -> str:
    """Return a function's name, looking through `functools.partial`."""
    if isinstance(fun, functools.partial):
        return method_name(fun.func)
    return getattr(fun, "__name__", "unnamed_function")


def method_label(module: ModuleBase, name: str, cls: type | None = None) -> str:
    """Return the label of a method in named scopes, for example "encoder" or "encoder.decode".

    Args:
      module: the module.
      name: name of the method.
      cls: the class whose name labels a module without a name; the class of the module if None.
    """
    label = module.name or (cls or type(module)).__name__
    return label if name == "__call__" else f"{label}.{name}"


def call_label(
    context: _context.Context, module: ModuleBase, name: str, cls: type | None = None
) -> str:
    """Return the named scope of a call in a context, or "" for none; the arguments are those of `method_label`."""
    if not context.named_calls:
        return ""
    if module is context.labelled:
        return "" if name == "__call__" else name
    return method_label(module, name, cls)


def _enter_setup(module: ModuleBase) -> bool:
    if module.scope is None:
        raise CallSetupUnboundModuleError
    recurrent: bool = module._state.in_setup
    module._state.in_setup = True
    return recurrent


def _enter_plain(module: ModuleBase) -> bool:
    if module._state.setup_called is not _DONE:
        module._try_setup()
    return False


def _enter_compact(module: ModuleBase) -> bool:
    state = module._state
    if state.setup_called is not _DONE:
        module._try_setup()
    if module.scope is None:
        raise CallCompactUnboundModuleError(type(module).__name__)
    recurrent: bool = state.in_compact_method
    state.in_compact_method = True
    return recurrent


def checked_on_instance(method: _F) -> _F:
    """Decorate a public method to raise if it is called on a class or on a module whose `__init__` failed."""

    @functools.wraps(method)
    def checked(self: object = None, *args: object, **kwargs: object) -> Any:
        if not isinstance(self, ModuleBase):
            raise InvalidInstanceModuleError
        if "_id" not in self.__dict__:
            raise IncorrectPostInitOverrideError
        return method(self, *args, **kwargs)

    return cast("_F", api_boundary(checked))


class DescriptorWrapper:
    """Wraps a property of a module and reports an AttributeError in its code.

    Without the wrapper, Python would handle such an error by calling the class's `__getattr__`, which reports that
    the property itself does not exist.
    """

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped
        if hasattr(wrapped, "__isabstractmethod__"):
            self.__isabstractmethod__ = wrapped.__isabstractmethod__

    def __get__(self, module: object, owner: type | None = None) -> Any:
        try:
            return self.wrapped.__get__(module, owner)
        except AttributeError as error:
            name = getattr(self.wrapped, "attrname", None) or getattr(
                getattr(self.wrapped, "fget", None), "__name__", "a property"
            )
            where = f"{owner.__name__}.{name}" if owner is not None else name
            message = f"Cannot compute {where}: its code raised an AttributeError: {error}"
            raise DescriptorAttributeError(message) from error

    def __getattr__(self, name: str) -> Any:
        if "wrapped" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.wrapped, name)


class SettableDescriptorWrapper(DescriptorWrapper):
    """A `DescriptorWrapper` of a descriptor that can be assigned to."""

    def __set__(self, module: object, value: object) -> None:
        self.wrapped.__set__(module, value)

    def __delete__(self, module: object) -> None:
        self.wrapped.__delete__(module)


def _wrap_descriptor(descriptor: object) -> DescriptorWrapper:
    settable = hasattr(descriptor, "__set__") or hasattr(descriptor, "__delete__")
    return SettableDescriptorWrapper(descriptor) if settable else DescriptorWrapper(descriptor)


def wrap_attributes(cls: type, fields: frozenset[str]) -> None:
    """Wrap the methods and descriptors that a module class itself defines, except its fields."""
    for name, attribute in list(cls.__dict__.items()):
        if (
            name in fields
            or isinstance(attribute, staticmethod | classmethod)
            or hasattr(attribute, "nowrap")
        ):
            continue
        if callable(attribute):
            if name not in _UNWRAPPED_METHODS and not inspect.isclass(attribute):
                setattr(cls, name, wrap_method_once(getattr(cls, name)))
        elif (
            name != "__dict__"
            and _is_descriptor(attribute)
            and not isinstance(attribute, DescriptorWrapper)
        ):
            setattr(cls, name, _wrap_descriptor(attribute))


def _is_descriptor(attribute: object) -> bool:
    return any(hasattr(attribute, method) for method in ("__get__", "__set__", "__delete__"))
