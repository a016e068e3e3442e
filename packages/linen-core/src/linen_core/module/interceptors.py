"""Interceptors: functions around the methods of modules; and the switch for named scopes."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from linen_core._context import context_var, replaced_context
from linen_core.module.state import ModuleBase

__all__ = [
    "Interceptor",
    "InterceptorContext",
    "disable_named_call",
    "enable_named_call",
    "intercept_methods",
    "override_named_call",
    "run_interceptors",
]


@dataclasses.dataclass(frozen=True)
class InterceptorContext:
    """The call that an interceptor surrounds.

    Example:
      >>> import linen_core as nn
      >>> class Model(nn.Module):
      ...     def __call__(self, x):
      ...         return x
      >>> def note(next_fun, args, kwargs, context):
      ...     print(type(context.module).__name__, context.method_name)
      ...     return next_fun(*args, **kwargs)
      >>> with nn.intercept_methods(note):
      ...     y = Model().apply({}, 1)
      Model __call__
    """

    module: Any
    """The module whose method is called."""
    method_name: str
    """Name of the method."""
    orig_method: Callable[..., Any]
    """The method, bound to the module. Calling it bypasses all interceptors of this call."""


Interceptor: TypeAlias = Callable[
    [Callable[..., Any], tuple[Any, ...], dict[str, Any], InterceptorContext], Any
]
"""``interceptor(next_fun, args, kwargs, context)`` returns the result of the method."""


@contextlib.contextmanager
def intercept_methods(interceptor: Interceptor) -> Iterator[None]:
    """Run a function around every method of every module inside a `with` block.

    The interceptor registered first is outermost. Methods marked `nowrap` are not intercepted.

    Args:
      interceptor: receives the next function to call, the arguments of the call and an `InterceptorContext`.

    Example:
      >>> import jax, linen_core as nn
      >>> def double(next_fun, args, kwargs, context):
      ...     return 2 * next_fun(*args, **kwargs) if context.method_name == "__call__" else next_fun(*args, **kwargs)
      >>> model, x = nn.Dense(1, kernel_init=nn.initializers.ones), jax.numpy.ones((1, 3))
      >>> variables = model.init(jax.random.key(0), x)
      >>> with nn.intercept_methods(double):
      ...     float(model.apply(variables, x)[0, 0])
      6.0
    """
    with replaced_context(interceptors=(*context_var.get().interceptors, interceptor)):
        yield


def run_interceptors(
    interceptors: tuple[Interceptor, ...],
    fun: Callable[..., Any],
    method_name: str,
    module: ModuleBase,
    /,
    *args: object,
    **kwargs: object,
) -> Any:
    """Call a method with interceptors around it."""
    bound = functools.partial(fun, module)
    context = InterceptorContext(module, method_name, bound)
    run: Callable[..., Any] = bound
    for interceptor in reversed(interceptors):
        run = _around(interceptor, run, context)
    return run(*args, **kwargs)


def _around(
    interceptor: Interceptor, fun: Callable[..., Any], context: InterceptorContext
) -> Callable[..., Any]:
    @functools.wraps(fun)
    def wrapped(*args: object, **kwargs: object) -> Any:
        return interceptor(fun, args, kwargs, context)

    return wrapped


def enable_named_call() -> None:
    """Run methods under a `jax.named_scope` of their module's name, from now on in this thread (the default).

    Example:
      >>> import linen_core as nn
      >>> nn.enable_named_call()
    """
    context_var.set(context_var.get()._replace(named_calls=True))


def disable_named_call() -> None:
    """Run methods without named scopes, from now on in this thread.

    Example:
      >>> import linen_core as nn
      >>> nn.disable_named_call()
      >>> nn.enable_named_call()
    """
    context_var.set(context_var.get()._replace(named_calls=False))


@contextlib.contextmanager
def override_named_call(enable: bool = True) -> Iterator[None]:
    """Switch the named scopes of methods on or off inside a `with` block.

    Example:
      >>> import jax, linen_core as nn
      >>> with nn.override_named_call(False):
      ...     y = nn.Dense(2).init_with_output(jax.random.key(0), jax.numpy.ones(3))[0]
    """
    with replaced_context(named_calls=enable):
        yield
