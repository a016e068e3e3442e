"""Module: the base class of networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from linen_core.errors import (
    CallUnbindOnUnboundModuleError,
    SetAttributeFrozenModuleError,
    SetAttributeInModuleSetupError,
)
from linen_core.filters import CollectionFilter
from linen_core.module.fields import make_dataclass
from linen_core.module.functional import (
    ALL_BUT_INTERMEDIATES,
    CaptureFilter,
    initialize,
    resolve_method,
    run_with,
)
from linen_core.module.inspection import ModuleInspection
from linen_core.module.state import (
    UNSPECIFIED_PARENT,
    ModuleState,
    ParentDescriptor,
    UnspecifiedParent,
    attach,
    clone_deeply,
    register_attribute,
    run_setup,
)
from linen_core.module.wrapping import checked_on_instance, wrap_attributes
from linen_core.scope.functional import as_streams, bind
from linen_core.scope.scope import Scope
from linen_core.store.view import Variables
from linen_core.typing import PRNGKey, RNGSequences

__all__ = ["Module"]

# copy and pickle look these up on instances; the lookup must not run `setup`
_COPY_AND_PICKLE_HOOKS = frozenset(
    {
        "__copy__",
        "__deepcopy__",
        "__getnewargs_ex__",
        "__getstate__",
        "__reduce__",
        "__reduce_ex__",
        "__setstate__",
    }
)


_STATE_PARTS = (
    "in_compact_method",
    "in_setup",
    "setup_called",
    "is_initialized",
    "autoname_cursor",
)
_SCOPE_PARTS = ("mutable", "flags", "rng_counters", "reservations")


class Module(ModuleInspection):
    """Base class of all neural network modules.

    A subclass is a dataclass: its annotated attributes are its configuration. Every module also has the
    keyword-only fields ``name`` and ``parent``. Submodules and variables are created in `setup`, or in methods
    decorated with `nn.compact`. A module does not hold variables: `init` returns them, and `apply` takes them.

    Attributes:
      name: name in the parent. If None, it follows from the class and the order of creation, or from the attribute in
        `setup`.
      parent: the parent module, a scope, or None for a module on its own.
      scope: the scope that this module is bound to, or None.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> class MLP(nn.Module):
      ...     features: int
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return nn.Dense(self.features)(nn.relu(nn.Dense(4)(x)))
      >>> model = MLP(features=2)
      >>> variables = model.init(jax.random.key(0), jnp.ones((1, 3)))
      >>> model.apply(variables, jnp.ones((5, 3))).shape
      (5, 2)
    """

    if TYPE_CHECKING:
        name: str | None = dataclasses.field(default=None, kw_only=True)
        parent: Module | Scope | Any | None = dataclasses.field(default=None, kw_only=True)

    _state = ModuleState()
    scope = None

    def __init_subclass__(cls, kw_only: bool = False, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        make_dataclass(cls, kw_only)
        fields = dataclasses.fields(cls)
        cls._field_names = tuple(
            f.name for f in fields if f.init and f.name not in ("parent", "name")
        )
        named = {*cls._compact_name_scope_methods, *cls.__dict__}
        cls._compact_name_scope_methods = tuple(
            sorted(
                name for name in named if hasattr(getattr(cls, name, None), "compact_name_scope")
            )
        )
        wrap_attributes(cls, frozenset({f.name for f in fields} | {"parent"}))
        cls._has_setup = cls.setup is not Module.setup
        cls._needs_setup = cls._has_setup or bool(cls._compact_name_scope_methods)
        cls._state = ModuleState()
        cls.scope = None
        cls._parent_ref = None
        cls.parent = ParentDescriptor()
        cls.name = None  # a module whose `__init__` failed still has one

    def __post_init__(self) -> None:
        attach(self)

    def setup(self) -> None:
        """Create submodules and variables. Subclasses override it.

        It runs once, automatically, when the bound module is first used. A module assigned to an attribute gets the
        attribute's name; in a list or a dict, the index or key follows after "_".

        Example:
          >>> import linen_core as nn
          >>> class MLP(nn.Module):
          ...     def setup(self):
          ...         self.layers = [nn.Dense(4), nn.Dense(2)]  # layers_0, layers_1
          ...     def __call__(self, x):
          ...         return self.layers[1](nn.relu(self.layers[0](x)))
        """

    # Attributes

    def __setattr__(self, name: str, val: object) -> None:
        if not self._state.in_setup:
            if self._state.is_initialized and not name.startswith("__"):
                raise SetAttributeFrozenModuleError(type(self).__name__, name, val)
            object.__setattr__(self, name, val)
            return
        field = self.__dataclass_fields__.get(name)
        if field is not None and field.init:
            raise SetAttributeInModuleSetupError
        register_attribute(self, name, val)

    if not TYPE_CHECKING:  # otherwise a type checker would accept every misspelt attribute

        def __getattr__(self, name: str) -> Any:
            if name in _COPY_AND_PICKLE_HOOKS:
                raise AttributeError(name)
            self._try_setup()
            if name in self.__dict__:
                return self.__dict__[name]
            message = f"{type(self).__name__!r} object has no attribute {name!r}."
            if self.scope is None:
                message += f" If `setup` creates {name!r}, it exists only in `init` and `apply`, or after `bind`."
            raise AttributeError(message, name=name, obj=self)

    def __dir__(self) -> list[str]:
        self._try_setup()
        return list(object.__dir__(self))

    def _try_setup(self, shallow: bool = False) -> None:
        run_setup(self, shallow)

    def __fingerprint_parts__(self) -> list[tuple[str, Any]]:
        """Return the state that decides the behaviour of the module, for `fingerprint`: all but its path."""
        fields = (f.name for f in dataclasses.fields(self) if f.name not in ("parent", "name"))
        parts = [(name, self.__dict__[name]) for name in fields if name in self.__dict__]
        parts += [(name, getattr(self._state, name)) for name in _STATE_PARTS]
        if self.scope is not None:
            parts += [(name, getattr(self.scope, name)) for name in _SCOPE_PARTS]
        return parts

    # Copies

    def clone(
        self,
        *,
        parent: Scope | Module | Any | None = None,
        _deep_clone: bool | Any = False,
        _reset_names: bool = False,
        **updates: object,
    ) -> Self:
        """Create a module with the same fields.

        Args:
          parent: the parent of the copy.
          _deep_clone: whether modules in the fields are cloned too; or the existing clones, by id.
          _reset_names: whether deep clones lose their names.
          **updates: new values of fields.

        Example:
          >>> import linen_core as nn
          >>> nn.Dense(3).clone(features=4).features
          4
        """
        attributes = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        attributes.update(parent=parent, **updates)
        if _deep_clone is not False:
            clones = {} if isinstance(_deep_clone, bool) else _deep_clone
            names = {"name": None} if _reset_names else {}

            def clone_one(module: Module) -> Any:
                return module.clone(_deep_clone=clones, _reset_names=_reset_names, **names)

            clone_deeply(attributes, clones, clone_one)
        return type(self)(**attributes)

    def copy(
        self,
        *,
        parent: Module | Scope | UnspecifiedParent | None = UNSPECIFIED_PARENT,
        name: str | None = None,
        **updates: object,
    ) -> Self:
        """Create a module with the same fields, as a new child of the surrounding module.

        Args:
          parent: the parent of the copy; the surrounding module by default.
          name: name of the copy; chosen as for any submodule if None.
          **updates: new values of fields.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> class Twice(nn.Module):
          ...     layer: nn.Module
          ...     @nn.compact
          ...     def __call__(self, x):
          ...         return self.layer.copy(name="second")(self.layer.copy(name="first")(x))
          >>> sorted(Twice(nn.Dense(3)).init(jax.random.key(0), jnp.ones(3))["params"])
          ['first', 'second']
        """
        return self.clone(parent=parent, name=name, _deep_clone=True, _reset_names=False, **updates)

    # Runs

    @checked_on_instance
    def bind(
        self,
        variables: Variables,
        *args: object,
        rngs: RNGSequences | None = None,
        mutable: CollectionFilter = False,
    ) -> Self:
        """Return a copy of the module that is bound to variables, for interactive use.

        Args:
          variables: a mapping of collections, or a store, from which each variable is read when it is used.
          *args: ignored.
          rngs: a key for each RNG stream.
          mutable: the collections that the copy can write.

        Returns:
          The bound copy.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> model = nn.Dense(2)
          >>> bound = model.bind(model.init(jax.random.key(0), jnp.ones((1, 3))))
          >>> bound(jnp.ones((4, 3))).shape
          (4, 2)
        """
        del args
        return self.clone(parent=bind(variables, rngs=rngs, mutable=mutable), _deep_clone=True)

    @checked_on_instance
    def unbind(self) -> tuple[Any, dict[str, Any]]:
        """Separate a bound module from its variables.

        Returns:
          An unbound copy, and a copy of the variables at and below this module.

        Raises:
          CallUnbindOnUnboundModuleError: the module is not bound.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> class Model(nn.Module):
          ...     def setup(self):
          ...         self.encoder = nn.Dense(2)
          ...     def __call__(self, x):
          ...         return self.encoder(x)
          >>> bound = Model().bind(Model().init(jax.random.key(0), jnp.ones((1, 3))))
          >>> encoder, variables = bound.encoder.unbind()
          >>> encoder.apply(variables, jnp.ones((4, 3))).shape
          (4, 2)
        """
        if self.scope is None:
            raise CallUnbindOnUnboundModuleError
        return self.clone(_deep_clone=True, _reset_names=True, name=None), self.variables

    @checked_on_instance
    def apply(
        self,
        variables: Variables,
        *args: object,
        rngs: PRNGKey | RNGSequences | None = None,
        method: Callable[..., Any] | str | None = None,
        mutable: CollectionFilter = False,
        capture_intermediates: CaptureFilter = False,
        **kwargs: object,
    ) -> Any:
        """Run a method of the module with variables, as a pure function.

        The variables of a store that does I/O, such as a checkpoint, are read in one batch per collection before the
        method runs. An abstract run, like that of `jax.eval_shape`, finds the variables that the call uses. The body
        therefore runs once more for each store and each new combination of module, method, static arguments and shapes;
        later calls remember what to read. Reads that depend on a value happen on demand. A mutable collection is read
        whole, because it is returned whole; the others only as far as they are used. `bind` reads on demand, without an
        abstract run.

        Args:
          variables: a mapping of collections, or a store; it never changes.
          *args: arguments of the method.
          rngs: a key for each RNG stream; a single key belongs to 'params'.
          method: a method, its name, or any function whose first argument is the module; `__call__` if None.
          mutable: the collections that can be written: True for all, False for none, a name, several names, or a
            `DenyList`.
          capture_intermediates: whether outputs of methods are stored in the collection 'intermediates'. True stores
            those of `__call__`; a function of the submodule and the method's name selects others.
          **kwargs: keyword arguments of the method.

        Returns:
          The result of the method; unless ``mutable`` is False a pair of the result and the mutable collections.

        Raises:
          ApplyModuleInvalidMethodError: ``method`` is not a function of a module.
          ApplyScopeInvalidVariablesStructureError: ``variables`` has a second 'params' inside 'params'.
          ApplyScopeInvalidVariablesTypeError: ``variables`` is neither a mapping of collections nor a store.
          InvalidRngError: ``rngs`` is neither a key nor a mapping of keys.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> model, x = nn.BatchNorm(use_running_average=False), jnp.ones((2, 3))
          >>> variables = model.init(jax.random.key(0), x)
          >>> y, updated = model.apply(variables, x, mutable=["batch_stats"])
          >>> y.shape, sorted(updated["batch_stats"])
          ((2, 3), ['mean', 'var'])
        """
        return run_with(
            resolve_method(self, method),
            self,
            variables,
            args,
            kwargs,
            rngs=self._streams(rngs),
            mutable=mutable,
            capture_intermediates=capture_intermediates,
        )

    @checked_on_instance
    def init_with_output(
        self,
        rngs: PRNGKey | RNGSequences,
        *args: object,
        method: Callable[..., Any] | str | None = None,
        mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
        capture_intermediates: CaptureFilter = False,
        **kwargs: object,
    ) -> tuple[Any, Any]:
        """Create the module's variables and run the forward pass.

        Args:
          rngs: a key for each RNG stream; a single key belongs to 'params'.
          *args: arguments of the method.
          method: as for `apply`.
          mutable: the collections that are created.
          capture_intermediates: as for `apply`.
          **kwargs: keyword arguments of the method.

        Returns:
          The result of the method, and the variables.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> y, variables = nn.Dense(2).init_with_output(jax.random.key(0), jnp.ones((1, 3)))
          >>> y.shape, variables["params"]["kernel"].shape
          ((1, 2), (3, 2))
        """
        return initialize(  # type: ignore[no-any-return]
            resolve_method(self, method),
            self,
            args,
            kwargs,
            as_streams(rngs, type(self).__name__),
            mutable,
            capture_intermediates,
        )

    @checked_on_instance
    def init(
        self,
        rngs: PRNGKey | RNGSequences,
        *args: object,
        method: Callable[..., Any] | str | None = None,
        mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
        capture_intermediates: CaptureFilter = False,
        **kwargs: object,
    ) -> Any:
        """Create the module's variables, like `init_with_output`, and return only them.

        The body runs once; its operations are recorded, and only those that lead to a variable are executed. A few
        compiled programs draw the parameters of any number of layers and shapes. A body that looks at a value, as
        `float(x)` or `print(x)` do, computes what the value needs. Bits, printed output and errors are those of eager
        execution.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> variables = nn.Dense(2).init({"params": jax.random.key(0)}, jnp.ones((1, 3)))
          >>> jax.tree.map(jnp.shape, variables)
          {'params': {'bias': (2,), 'kernel': (3, 2)}}
        """
        return initialize(
            resolve_method(self, method),
            self,
            args,
            kwargs,
            as_streams(rngs, type(self).__name__),
            mutable,
            capture_intermediates,
            with_output=False,
        )

    @checked_on_instance
    def lazy_init(
        self,
        rngs: PRNGKey | RNGSequences,
        *args: object,
        method: Callable[..., Any] | None = None,
        mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
        **kwargs: object,
    ) -> Any:
        """Create the module's variables without running the forward pass.

        Like `init`, but an argument may be a `jax.ShapeDtypeStruct` if no variable depends on its value. Under
        `jax.set_mesh` each parameter is created in its sharding: that of its names and the rules, or replicated if it
        has no names. Each device draws only its own part. The bits equal those of `init`.

        Raises:
          LazyInitError: a variable's initial value depends on an argument without a value.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> x = jax.ShapeDtypeStruct((1, 3), jnp.float32)
          >>> nn.Dense(2).lazy_init(jax.random.key(0), x)["params"]["kernel"].shape
          (3, 2)
        """
        return initialize(
            resolve_method(self, method),
            self,
            args,
            kwargs,
            as_streams(rngs, type(self).__name__),
            mutable,
            with_output=False,
            is_lazy=True,
        )

    def _streams(self, rngs: PRNGKey | RNGSequences | None) -> Mapping[str, Any] | None:
        return None if rngs is None else as_streams(rngs, type(self).__name__)
