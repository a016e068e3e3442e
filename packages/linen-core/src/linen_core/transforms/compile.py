"""`jit` and `fold_rngs` over modules."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import jax

from linen_core._context import current_context
from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.fingerprint import NoFingerprintError, fingerprint
from linen_core.module.base import Module
from linen_core.rng import LazyRng
from linen_core.transforms._modules import Target, is_module_class, lift_call, make_lifted
from linen_core.transforms._packing import Groups, Lifted, lifts_scopes
from linen_core.transforms._sharing import Trace
from linen_core.transforms._static import StaticArguments
from linen_core.typing import Methods

__all__ = ["fold_rngs", "jit"]

_jitted_classes: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""The classes that `jit` made, as long as they are in use: by target, then by arguments."""


def jit(
    target: Target,
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
    donate_argnums: int | Iterable[int] = (),
    device: jax.Device | None = None,
    backend: str | None = None,
    methods: Methods | None = None,
) -> Target:
    """Lift `jax.jit`: trace and compile a module once for all its instances that are equal.

    It is traced anew when the shapes of arguments or variables change, or anything that the module's behaviour may
    depend on: its fields, what it has counted and named so far, what is mutable, and what surrounds the call. Fields
    are compared as `linen_core.fingerprint` says; functions and objects of other libraries by identity. Under
    interceptors and with captured intermediates, which see every call, the module runs without `jax.jit`.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: which collections are there inside.
      rngs: which RNG streams are there inside.
      static_argnums: numbers of the arguments that are Python values instead of arrays, such as flags. The module
        is number 0, its first argument number 1. An argument of such a number may be passed by keyword.
      static_argnames: names of such arguments that are passed by keyword.
      donate_argnums: numbers of arguments whose memory may be used for the results.
      device: as for `jax.jit`.
      backend: as for `jax.jit`.
      methods: for a class the methods to transform; `__call__` if None.

    Returns:
      A module class, or a function of a module.

    Raises:
      ValueError: a field of the module is unhashable.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         for _ in range(12):
      ...             x = nn.jit(nn.Dense)(3)(x)  # traced once
      ...         return x
      >>> Model().init_with_output(jax.random.key(0), jnp.ones((1, 3)))[0].shape
      (1, 3)
    """
    options = {
        "variables": variables,
        "rngs": rngs,
        "static_argnums": _numbers(static_argnums),
        "static_argnames": _names(static_argnames),
        "donate_argnums": _numbers(donate_argnums),
        "device": device,
        "backend": backend,
    }
    return _jitted_once(target, methods, options)  # type: ignore[no-any-return]


def _jitted_once(
    target: Callable[..., Any], methods: Methods | None, options: dict[str, Any]
) -> Any:
    """Lift `jax.jit`, or return what an earlier call with the same arguments made, if it is still in use."""
    if isinstance(target, functools.partial):
        made = _jitted_once(target.func, methods, options)
        return functools.partial(made, *target.args, **target.keywords)
    if not is_module_class(target):
        return _lift_forked(lift_jit, target, methods, options)
    names = ("__call__",) if methods is None else tuple(methods)
    try:
        key = fingerprint((methods, options, [getattr(target, name, None) for name in names]))
    except NoFingerprintError:
        return _lift_forked(lift_jit, target, methods, options)
    known = _jitted_classes.setdefault(target, weakref.WeakValueDictionary())
    made = known.get(key)
    if made is None:
        made = known[key] = _lift_forked(lift_jit, target, methods, options)
    return made


def fold_rngs(
    target: Target, variables: CollectionFilter = True, rngs: PRNGSequenceFilter = True
) -> Target:
    """Give a module RNG streams that start from one key each, drawn when it is called.

    Inside, keys depend on nothing above the module. It is what `jit` does to the streams, without compiling.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: which collections are there inside.
      rngs: which RNG streams are there inside.

    Returns:
      A module class, or a function of a module.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> x = jnp.ones((1, 3))
      >>> variables = nn.fold_rngs(nn.Dense)(2).init(jax.random.key(0), x)
      >>> variables["params"]["kernel"].shape
      (3, 2)
    """
    return _lift_forked(  # type: ignore[no-any-return]
        lift_fold_rngs, target, None, {"variables": variables, "rngs": rngs}
    )


class _Key:
    """The static argument of a jitted function: what it depends on, and the call to trace if it was not yet."""

    def __init__(self, facts: Hashable | None, trace: Trace) -> None:
        self.facts = facts
        self.trace: Trace | None = trace

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.facts == other.facts

    def __hash__(self) -> int:
        return hash(self.facts)


def lift_jit(
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    static_argnums: int | Iterable[int] = (),
    donate_argnums: int | Iterable[int] = (),
    **jit_kwargs: object,
) -> Callable[..., Callable[..., Any]]:
    """Lift `jax.jit` to functions of scopes; see `jit`.

    Returns:
      ``lift(fn, facts, module)`` gives the jitted function of scopes for a function that calls a method of the module
      and depends on nothing but ``facts``.
    """

    @functools.partial(
        jax.jit,
        static_argnums=(0, *_shifted(static_argnums)),
        donate_argnums=_shifted(donate_argnums),
        **{name: value for name, value in jit_kwargs.items() if value is not None},
    )
    def jitted(
        _key: _Key,
        _variable_groups: Groups,
        _rng_groups: Groups,
        /,
        *_args: object,
        **_kwargs: object,
    ) -> Any:
        # JAX confuses keyword arguments with parameters of these names, positional or not
        assert _key.trace is not None  # noqa: S101 - a key that was traced is never traced again
        return _key.trace.run(_variable_groups, _rng_groups, *_args, **_kwargs)

    def lift(fn: Callable[..., Any], facts: Hashable | None, module: Module) -> Callable[..., Any]:
        @lifts_scopes((variables,), (variables,), (rngs,), "jit", takes_kwargs=True)
        def run(lifted: Lifted, /, *args: object, **kwargs: object) -> Any:
            if facts is None:
                return _run_inline(fn, lifted, args, kwargs)
            trace = Trace(fn, lifted, module)
            writable = tuple(fingerprint(scope.mutable) for scope in lifted.scopes)
            key = _Key((facts, writable), trace)
            rng_groups = _without_suffixes(lifted.rng_groups)
            try:
                result, groups, effects = jitted(
                    key, lifted.variable_groups, rng_groups, *args, **kwargs
                )
            finally:
                key.trace = None  # JAX keeps the key; module and scopes must not live as long
            trace.apply_effects(effects)
            return result, groups

        return run

    return lift


lift_jit.__name__ = "jit"  # the class that a transform makes is named after it: JitDense


def lift_fold_rngs(
    variables: CollectionFilter = True, rngs: PRNGSequenceFilter = True
) -> Callable[..., Callable[..., Any]]:
    """Lift `fold_rngs` to functions of scopes."""

    def lift(fn: Callable[..., Any], facts: Hashable | None, module: Module) -> Callable[..., Any]:
        del facts, module

        @lifts_scopes((variables,), (variables,), (rngs,), "fold_rngs", takes_kwargs=True)
        def run(lifted: Lifted, /, *args: object, **kwargs: object) -> Any:
            return _run_inline(fn, lifted, args, kwargs)

        return run

    return lift


lift_fold_rngs.__name__ = "fold_rngs"


def _run_inline(
    fn: Callable[..., Any], lifted: Lifted, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    scopes = lifted.open(lifted.variable_groups, _without_suffixes(lifted.rng_groups))
    result = fn(scopes, *args, **kwargs)
    return result, lifted.close(scopes)


def _facts_of(module: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return what a method of a module depends on besides the values of arrays.

    Returns:
      A fingerprint; None where the method must really run: interceptors, captured intermediates and what records a
      run see every call.

    Raises:
      ValueError: something in a module is unhashable.
    """
    context = current_context()
    observed = module.scope is not None and module.scope.run.observer is not None
    if context.interceptors or context.capture is not None or observed:
        return None
    modules = [leaf for leaf in jax.tree.leaves((args, kwargs)) if isinstance(leaf, Module)]
    surroundings = context._replace(module=None, labelled=None)
    try:
        return fingerprint(module), fingerprint(modules), fingerprint(surroundings)
    except NoFingerprintError as error:
        path = "/".join(error.path)
        msg = (
            f"The value at {path!r} is unhashable ({error.reason}), so that nn.jit cannot tell whether it has "
            "changed. Use hashable values in the fields of a jitted module."
        )
        raise ValueError(msg) from error


def _lift_forked(
    transform: Callable[..., Any],
    target: Callable[..., Any],
    methods: Methods | None,
    options: dict[str, Any],
) -> Any:
    """Apply a transform that is set up once, to a module class or a function of a module."""

    def transformed(
        fn: Callable[..., Any], _: object, options: dict[str, Any], cls: type[Module] | None = None
    ) -> Any:
        static = StaticArguments(
            transform.__name__,
            fn,
            [number - 1 for number in options.get("static_argnums", ()) if number > 0],
            options.get("static_argnames", ()),
        )
        if static.names:
            options = {**options, "static_argnames": tuple(sorted(static.names))}
        lift = transform(**options)

        @functools.wraps(fn)
        def wrapped(self: Module, *args: object, **kwargs: object) -> Any:
            def lift_one(core_fn: Callable[..., Any]) -> Callable[..., Any]:
                return lift(core_fn, facts, self)  # type: ignore[no-any-return]

            with static.named_errors(self, args, kwargs), _forked_rngs(self):
                facts = _facts_of(self, args, kwargs)
                return lift_call(lift_one, [fn], self, args, kwargs, cls, named=True)

        return wrapped

    return make_lifted(transform, transformed, target, methods, (), options)


@contextlib.contextmanager
def _forked_rngs(module: Module) -> Iterator[None]:
    """Let each RNG stream of a module start from a key drawn now."""
    scope = module.scope
    if scope is None:
        yield
        return
    streams = scope.rngs
    scope.rngs = {name: LazyRng.create(module.make_rng(name)) for name in streams}
    try:
        yield
    finally:
        scope.rngs = streams


def _without_suffixes(rng_groups: Groups) -> Any:
    return jax.tree.map(
        lambda rng: rng.clear_suffix(), rng_groups, is_leaf=lambda leaf: isinstance(leaf, LazyRng)
    )


def _numbers(argnums: int | Iterable[int]) -> tuple[int, ...]:
    return tuple(argnums) if isinstance(argnums, Iterable) else (argnums,)


def _names(argnames: str | Iterable[str]) -> tuple[str, ...]:
    return (argnames,) if isinstance(argnames, str) else tuple(argnames)


def _shifted(argnums: int | Iterable[int]) -> tuple[int, ...]:
    """Number arguments as the jitted function has them: a key and two groups stand in place of the module."""
    return tuple(number + 2 for number in _numbers(argnums) if number > 0)
