"""`jit` and `fold_rngs` over modules."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import jax

from linen_core import traverse_util
from linen_core._context import context_var
from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.fingerprint import NoFingerprintError, fingerprint
from linen_core.module.base import Module
from linen_core.rng import LazyRng
from linen_core.scope.scope import Scope
from linen_core.transforms._modules import Target, is_module_class, lift_call, make_lifted
from linen_core.transforms._packing import Groups, Lifted, lifts_scopes
from linen_core.transforms._static import StaticArguments, as_names, as_numbers
from linen_core.typing import Methods, PyTree

__all__ = ["fold_rngs", "jit"]

_jitted_classes: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""The classes that `jit` returned and that are still in use: by target, then by arguments."""


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
    """Lift `jax.jit`: trace and compile a module once for all equal instances.

    The module is traced again if the shapes of arguments or variables change, or anything else that its behaviour may
    depend on: its fields, its RNG counters and automatic names, the mutable collections, and the context of the call.
    Fields are compared by `linen_core.fingerprint`, which compares functions and objects of other libraries by
    identity. Interceptors and `capture_intermediates` must see every call, so with them the module runs without
    `jax.jit`.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: the collections to bring inside.
      rngs: the RNG streams to bring inside.
      static_argnums: numbers of the arguments that are Python values instead of arrays, such as flags. The module
        is number 0, its first argument number 1. A static argument may be passed by keyword.
      static_argnames: names of static arguments that are passed by keyword.
      donate_argnums: numbers of the arguments whose memory may be reused for the results.
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
        "static_argnums": as_numbers(static_argnums),
        "static_argnames": as_names(static_argnames),
        "donate_argnums": as_numbers(donate_argnums),
        "device": device,
        "backend": backend,
    }
    return _jitted_once(target, methods, options)  # type: ignore[no-any-return]


def _jitted_once(
    target: Callable[..., Any], methods: Methods | None, options: dict[str, Any]
) -> Any:
    """Lift `jax.jit`, or return the class of an earlier call with the same arguments if it is still in use."""
    if isinstance(target, functools.partial):
        cls = _jitted_once(target.func, methods, options)
        return functools.partial(cls, *target.args, **target.keywords)
    if not is_module_class(target):
        return _lift_forked(lift_jit, target, methods, options)
    names = ("__call__",) if methods is None else tuple(methods)
    try:
        key = fingerprint((methods, options, [getattr(target, name, None) for name in names]))
    except NoFingerprintError:
        return _lift_forked(lift_jit, target, methods, options)
    classes = _jitted_classes.setdefault(target, weakref.WeakValueDictionary())
    cls = classes.get(key)
    if cls is None:
        cls = classes[key] = _lift_forked(lift_jit, target, methods, options)
    return cls


def fold_rngs(
    target: Target, variables: CollectionFilter = True, rngs: PRNGSequenceFilter = True
) -> Target:
    """Start each RNG stream of a module from a new key that is drawn at the call.

    Inside, keys depend on this key and on the names below the module, but not on the path of the module. `jit` does the
    same to the streams, so this transform gives the keys of `jit` without compiling.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: the collections to bring inside.
      rngs: the RNG streams to bring inside.

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


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _SideEffects:
    """Side effects of a trace. Static, because a jitted function can only return arrays and static data."""

    draws: tuple[tuple[tuple[Any, int], ...], ...]
    """For each scope the increment of each RNG counter, by path."""
    autonames: tuple[tuple[str, int], ...]
    """The number of automatically named submodules of each class, after the call."""


class _CachedTrace:
    """One call of a function of scopes, which runs only if JAX has no trace of an equal call.

    If JAX has one, the module does not run, so it does not name its submodules and does not increment its RNG counters.
    A later draw would then repeat a key. The traced function therefore returns these side effects as static output, and
    `apply_side_effects` applies them.

    Args:
      fn: the function of scopes; it calls a method of the module.
      lifted: the scopes of the call.
      module: the module, or None for a function that calls none.
    """

    def __init__(self, fn: Callable[..., Any], lifted: Lifted, module: Module | None) -> None:
        self._fn = fn
        self._lifted = lifted
        self._module = module
        self._has_run = False

    def run(
        self, variable_groups: Groups, rng_groups: Groups, /, *args: object, **kwargs: object
    ) -> Any:
        """Call the function under the trace of JAX; return its result, the groups written and the side effects."""
        self._has_run = True
        scopes = self._lifted.scopes
        before = [_flat_counters(scope) for scope in scopes]
        result, groups = self._lifted.call(self._fn, variable_groups, rng_groups, *args, **kwargs)
        draws = tuple(
            _increments(old, _flat_counters(scope))
            for scope, old in zip(scopes, before, strict=True)
        )
        cursor = {} if self._module is None else self._module._state.autoname_cursor
        autonames = tuple(cursor.items())
        return result, groups, _SideEffects(draws, autonames)

    def apply_side_effects(self, effects: _SideEffects) -> None:
        """Update names and RNG counters after a cache hit; a call that was traced has updated them itself."""
        if self._has_run:
            return
        for scope, increments in zip(self._lifted.scopes, effects.draws, strict=True):
            for path, increment in increments:
                counters = scope.rng_counters
                for name in path[:-1]:
                    counters = counters.setdefault(name, {})
                counters[path[-1]] = counters.get(path[-1], 0) + increment
        if self._module is not None:
            self._module._state.autoname_cursor = dict(effects.autonames)


def _flat_counters(scope: Scope) -> dict[Any, int]:
    return traverse_util.flatten_dict(scope.rng_counters)


def _increments(old: dict[Any, int], new: dict[Any, int]) -> tuple[tuple[Any, int], ...]:
    changes = ((path, count - old.get(path, 0)) for path, count in new.items())
    return tuple((path, change) for path, change in changes if change)


class _StaticCall:
    """Static argument of the jitted function: the call to trace, compared by its cache key only.

    JAX traces the call only if the key is new. The call itself is not part of the comparison, because it refers to a
    module and scopes that differ each time.
    """

    def __init__(self, cache_key: Hashable, trace: _CachedTrace) -> None:
        self.cache_key = cache_key
        self.trace: _CachedTrace | None = trace

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _StaticCall) and self.cache_key == other.cache_key

    def __hash__(self) -> int:
        return hash(self.cache_key)


def lift_jit(
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    static_argnums: int | Iterable[int] = (),
    donate_argnums: int | Iterable[int] = (),
    **jit_kwargs: object,
) -> Callable[..., Callable[..., Any]]:
    """Lift `jax.jit` to functions of scopes; see `jit`.

    Returns:
      ``lift(fn, cache_key, module)`` returns the jitted function of scopes. ``fn`` calls a method of the module, if
      one is given; functions with equal keys must behave alike. With None as the key, ``fn`` runs without `jax.jit`.
    """

    @functools.partial(
        jax.jit,
        static_argnums=(0, *_shifted(static_argnums)),
        donate_argnums=_shifted(donate_argnums),
        **{name: value for name, value in jit_kwargs.items() if value is not None},
    )
    def jitted(
        _call: _StaticCall,
        _variable_groups: Groups,
        _rng_groups: Groups,
        /,
        *_args: object,
        **_kwargs: object,
    ) -> Any:
        # The underscores keep these names apart from keyword arguments of the method. JAX mixes them up, even though
        # these parameters are positional-only.
        assert _call.trace is not None  # noqa: S101 - a call is traced at most once
        return _call.trace.run(_variable_groups, _rng_groups, *_args, **_kwargs)

    def lift(
        fn: Callable[..., Any], cache_key: Hashable | None, module: Module | None
    ) -> Callable[..., Any]:
        @lifts_scopes((variables,), (variables,), (rngs,), "jit", takes_kwargs=True)
        def run(lifted: Lifted, /, *args: object, **kwargs: object) -> Any:
            rng_groups = _without_suffixes(lifted.rng_groups)
            if cache_key is None:
                return lifted.call(fn, lifted.variable_groups, rng_groups, *args, **kwargs)
            trace = _CachedTrace(fn, lifted, module)
            mutable = tuple(fingerprint(scope.mutable) for scope in lifted.scopes)
            call = _StaticCall((cache_key, mutable), trace)
            try:
                result, groups, effects = jitted(
                    call, lifted.variable_groups, rng_groups, *args, **kwargs
                )
            finally:
                call.trace = None  # JAX's cache keeps the static argument, but must not keep module and scopes
            trace.apply_side_effects(effects)
            return result, groups

        return run

    return lift


lift_jit.__name__ = "jit"  # the returned class is named after it: JitDense


def lift_fold_rngs(
    variables: CollectionFilter = True, rngs: PRNGSequenceFilter = True
) -> Callable[..., Callable[..., Any]]:
    """Lift `fold_rngs` to functions of scopes."""

    def lift(fn: Callable[..., Any], *_: object) -> Callable[..., Any]:
        @lifts_scopes((variables,), (variables,), (rngs,), "fold_rngs", takes_kwargs=True)
        def run(lifted: Lifted, /, *args: object, **kwargs: object) -> Any:
            rng_groups = _without_suffixes(lifted.rng_groups)
            return lifted.call(fn, lifted.variable_groups, rng_groups, *args, **kwargs)

        return run

    return lift


lift_fold_rngs.__name__ = "fold_rngs"


def lift_jit_scopes(fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Lift `jax.jit` to a function of scopes and a key, by which calls are compared; see `linen_core.lift.jit`."""
    lift = lift_jit(**options)

    def jitted(scopes: PyTree, hash_key: Hashable, /, *args: object, **kwargs: object) -> Any:
        def body(scopes: PyTree, /, *args: object, **kwargs: object) -> Any:
            return fn(scopes, hash_key, *args, **kwargs)

        cache_key = None if _must_run(jax.tree.leaves(scopes)) else (hash_key,)
        return lift(body, cache_key, None)(scopes, *args, **kwargs)

    return jitted


def _must_run(scopes: Iterable[Scope]) -> bool:
    """Return whether something must see every call: interceptors, captured intermediates, the observer of a run."""
    context = context_var.get()
    observed = any(scope.run.observer is not None for scope in scopes)
    return bool(context.interceptors) or context.capture is not None or observed


def _cache_key(module: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return a fingerprint of everything, except arrays, that the result of a method depends on.

    Returns:
      The fingerprint, or None if the method must run.

    Raises:
      ValueError: a part of a module is unhashable.
    """
    if _must_run([] if module.scope is None else [module.scope]):
        return None
    context = context_var.get()
    modules = [leaf for leaf in jax.tree.leaves((args, kwargs)) if isinstance(leaf, Module)]
    # The calling module and its label change names in the profile, but no number.
    surroundings = context._replace(module=None, labelled=None)
    try:
        return fingerprint(module), fingerprint(modules), fingerprint(surroundings)
    except NoFingerprintError as error:
        path = "/".join(error.path)
        msg = (
            f"The value at {path!r} is unhashable ({error.reason}): nn.jit cannot detect whether it has changed. "
            "Use hashable values in the fields of a jitted module."
        )
        raise ValueError(msg) from error


def _lift_forked(
    transform: Callable[..., Any],
    target: Callable[..., Any],
    methods: Methods | None,
    options: dict[str, Any],
) -> Any:
    """Apply `lift_jit` or `lift_fold_rngs` to a module class or a function of a module.

    The transform is called once per method rather than once per call: `jax.jit` caches traces per jitted function.
    """

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
                return lift(core_fn, cache_key, self)  # type: ignore[no-any-return]

            with static.named_errors(self, args, kwargs), _forked_rngs(self):
                cache_key = _cache_key(self, args, kwargs)
                return lift_call(lift_one, [fn], self, args, kwargs, cls, named=True)

        return wrapped

    return make_lifted(transform, transformed, target, methods, (), options)


@contextlib.contextmanager
def _forked_rngs(module: Module) -> Iterator[None]:
    """Start each RNG stream of a module from a key drawn now, for the length of a `with` block."""
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
    """Clear the suffixes, which name the path of the module: as static data they would prevent a cache hit."""
    return jax.tree.map(
        lambda rng: rng.clear_suffix(), rng_groups, is_leaf=lambda leaf: isinstance(leaf, LazyRng)
    )


def _shifted(argnums: int | Iterable[int]) -> tuple[int, ...]:
    """Number the arguments of the jitted function: the call and two groups replace the module."""
    return tuple(number + 2 for number in as_numbers(argnums) if number > 0)
