"""`nn.apply` and `nn.init`: pure functions of variables from functions of a module."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from linen_core._context import context_var, replaced_context
from linen_core._jax_compat import api_boundary
from linen_core.errors import ApplyModuleInvalidMethodError
from linen_core.filters import CollectionFilter, DenyList, union_filters
from linen_core.module.state import ModuleBase
from linen_core.scope.cursor import RunObserver
from linen_core.scope.deferred import can_defer, run_deferred
from linen_core.scope.functional import INITIALIZING, as_streams, run_in_scope
from linen_core.scope.scope import Scope
from linen_core.store.view import Variables
from linen_core.typing import PRNGKey, RNGSequences

__all__ = ["apply", "init", "init_with_output", "initialize", "resolve_method", "run_with"]

CaptureFilter = bool | Callable[[Any, str], bool]
ALL_BUT_INTERMEDIATES = DenyList("intermediates")


def apply(
    fn: Callable[..., Any],
    module: ModuleBase,
    mutable: CollectionFilter = False,
    capture_intermediates: CaptureFilter = False,
) -> Callable[..., Any]:
    """Turn a function of a module into a pure function of variables.

    Args:
      fn: a function whose first argument is the module.
      module: the module; it is not changed.
      mutable: the collections that can be written: True for all, False for none, a name, several names, or a
        `DenyList`.
      capture_intermediates: whether outputs of methods are stored in the collection 'intermediates'. True stores those
        of `__call__`; a function of the submodule and the method's name selects others.

    Returns:
      A function of ``(variables, *args, rngs=None, **kwargs)``. It returns the result of ``fn``, paired with the
      mutable collections unless ``mutable`` is False. It reads a store as `Module.apply` does.

    Example:
      >>> import jax, linen_core as nn
      >>> model, x = nn.Dense(2), jax.numpy.ones((1, 3))
      >>> variables = model.init(jax.random.key(0), x)
      >>> nn.apply(lambda module, x: module(x) - module(x), model)(variables, x)
      Array([[0., 0.]], dtype=float32)
    """

    @api_boundary
    @functools.wraps(fn)
    def apply_fn(
        variables: Variables,
        *args: object,
        rngs: PRNGKey | RNGSequences | None = None,
        **kwargs: object,
    ) -> Any:
        streams = None if rngs is None else as_streams(rngs, "apply")
        return run_with(
            fn, module, variables, args, kwargs, streams, mutable, capture_intermediates
        )

    return apply_fn


def init_with_output(
    fn: Callable[..., Any],
    module: ModuleBase,
    mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
    capture_intermediates: CaptureFilter = False,
) -> Callable[..., Any]:
    """Turn a function of a module into one that creates the module's variables.

    Args:
      fn: a function whose first argument is the module.
      module: the module; it is not changed.
      mutable: the collections that are created.
      capture_intermediates: as for `apply`.

    Returns:
      A function of ``(rngs, *args, **kwargs)`` that returns the result of ``fn``, and the variables.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> run = nn.init_with_output(lambda dense, x: 2 * dense(x), nn.Dense(2))
      >>> y, variables = run(jax.random.key(0), jnp.ones((1, 3)))
      >>> y.shape, sorted(variables["params"])
      ((1, 2), ['bias', 'kernel'])
    """

    @api_boundary
    @functools.wraps(fn)
    def init_fn(rngs: PRNGKey | RNGSequences, *args: object, **kwargs: object) -> Any:
        streams = as_streams(rngs, "init")
        return initialize(fn, module, args, kwargs, streams, mutable, capture_intermediates)

    return init_fn


def init(
    fn: Callable[..., Any],
    module: ModuleBase,
    mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
    capture_intermediates: CaptureFilter = False,
) -> Callable[..., Any]:
    """Turn a function of a module into one that returns only the module's variables.

    The arguments and errors are those of `init_with_output`.

    Returns:
      A function of ``(rngs, *args, **kwargs)`` that returns the variables.

    Example:
      >>> import jax, linen_core as nn
      >>> init_fn = nn.init(lambda module, x: module(x), nn.Dense(2))
      >>> jax.tree.map(jax.numpy.shape, init_fn(jax.random.key(0), jax.numpy.ones((1, 3))))
      {'params': {'bias': (2,), 'kernel': (3, 2)}}
    """

    @api_boundary
    @functools.wraps(fn)
    def init_wrapper(rngs: PRNGKey | RNGSequences, *args: object, **kwargs: object) -> Any:
        streams = as_streams(rngs, "init")
        run = functools.partial(initialize, fn, module, args, kwargs, streams)
        return run(mutable, capture_intermediates, with_output=False)

    return init_wrapper


def initialize(
    fn: Callable[..., Any],
    module: ModuleBase,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    streams: Mapping[str, Any],
    mutable: CollectionFilter,
    capture_intermediates: CaptureFilter = False,
    *,
    with_output: bool = True,
    is_lazy: bool = False,
) -> Any:
    """Run ``fn`` with a module that creates its variables, and compute only what is returned.

    Args:
      fn: a function whose first argument is the module.
      module: the module.
      args: its arguments.
      kwargs: its keyword arguments.
      streams: a key for each RNG stream.
      mutable: the collections that are created.
      capture_intermediates: as for `apply`.
      with_output: whether to return the output of ``fn`` too, before the variables.
      is_lazy: whether arguments may be `jax.ShapeDtypeStruct`, and variables are created in their shardings.
    """

    def run(*args: object, **kwargs: object) -> Any:
        result = run_with(
            fn, module, {}, args, kwargs, streams, mutable, capture_intermediates, INITIALIZING
        )
        if with_output:
            return result
        _, variables = result
        return variables

    if not (is_lazy or can_defer()):
        return run(*args, **kwargs)
    factory = context_var.get().store_factory
    with replaced_context(store_factory=None):
        if is_lazy:
            result = run_deferred(run, args, kwargs, is_placed=True)
        else:
            result = run_deferred(lambda: run(*args, **kwargs), (), {})
    if factory is None or mutable is False:
        return result
    return (result[0], factory(result[1])) if with_output else factory(result)


def run_with(
    fn: Callable[..., Any],
    module: ModuleBase,
    variables: Variables,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    rngs: Mapping[str, Any] | None = None,
    mutable: CollectionFilter = False,
    capture_intermediates: CaptureFilter = False,
    flags: Mapping[str, Any] | None = None,
    observer: RunObserver | None = None,
) -> Any:
    """Call ``fn`` with a copy of the module that is bound to variables, and the arguments."""
    capture: Callable[[Any, str], bool] | None = None
    if capture_intermediates:
        mutable = union_filters(mutable, "intermediates")
        capture = _is_call if capture_intermediates is True else capture_intermediates

    bound = functools.partial(_call_bound, fn, module, capture)
    return run_in_scope(bound, variables, args, kwargs, rngs, mutable, flags, observer)


def _call_bound(
    fn: Callable[..., Any],
    module: ModuleBase,
    capture: Callable[[Any, str], bool] | None,
    scope: Scope,
    /,
    *args: object,
    **kwargs: object,
) -> Any:
    outer = context_var.get()
    token = context_var.set(outer if outer.capture is capture else outer._replace(capture=capture))
    try:
        return fn(module.clone(parent=scope, _deep_clone=True), *args, **kwargs)
    finally:
        context_var.reset(token)


def _is_call(_module: object, method_name: str) -> bool:
    return method_name == "__call__"


def resolve_method(
    module: ModuleBase, method: Callable[..., Any] | str | None
) -> Callable[..., Any]:
    """Return the argument ``method`` of `apply` and `init` as a function whose first argument is the module.

    Raises:
      ApplyModuleInvalidMethodError: it is not a function with an argument.
      AttributeError: the module has no attribute of this name.
      TypeError: the attribute is not callable.
    """
    if method is None:
        method = module.__call__
    elif isinstance(method, str):
        name = method
        method = getattr(module, name)
        if not callable(method):
            msg = (
                f"'{type(module).__name__}.{name}' must be a callable: found {type(method).__name__}. "
                "Pass the name of a method, or a function whose first argument is the module."
            )
            raise TypeError(msg)
        if isinstance(method, ModuleBase):
            return lambda module, *args, **kwargs: getattr(module, name)(*args, **kwargs)
    if inspect.ismethod(method) and isinstance(method.__self__, ModuleBase):
        method = method.__func__
    if not callable(method) or not _takes_an_argument(method):
        raise ApplyModuleInvalidMethodError(method)
    return method


def _takes_an_argument(fun: Callable[..., Any]) -> bool:
    code = getattr(fun, "__code__", None)
    if (
        code is not None
        and (code.co_argcount or code.co_kwonlyargcount)
        and not hasattr(fun, "__wrapped__")
    ):
        return True
    if hasattr(fun, "method_handler_wrapped"):
        return _takes_an_argument(inspect.unwrap(fun))
    return len(inspect.signature(fun).parameters) > 0
