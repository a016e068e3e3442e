"""The methods of modules for variables and RNG streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import jax
import jax.numpy as jnp

from linen_core.errors import NameInUseError
from linen_core.module.state import ModuleBase
from linen_core.scope.scope import Scope, Variable
from linen_core.typing import PRNGKey, PyTree

__all__ = ["ModuleVariables"]

_T = TypeVar("_T")


def _append(values: tuple[Any, ...], value: PyTree) -> Any:
    return (*values, value)


def _no_values() -> Any:
    return ()


class ModuleVariables(ModuleBase):
    """The methods of `Module` that create, read and write variables, and draw keys."""

    @property
    def _initialization_allowed(self) -> bool:
        state = self._state
        return not state.is_initialized or state.in_setup or state.in_compact_method

    def _name_taken(
        self, name: str, reuse_scopes: bool = False, collection: str | None = None
    ) -> bool:
        return not reuse_scopes and self._bound("look up names").name_reserved(name, collection)

    def _bound(self, action: str) -> Scope:
        if self.scope is None:
            msg = (
                f"Cannot {action} of {type(self).__name__}: it is not bound to variables. "
                "Use `init`, `apply` or `bind`."
            )
            raise ValueError(msg)
        return self.scope

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the root to this module.

        Raises:
          ValueError: the module is not bound.

        Example:
          >>> import jax, linen_core as nn
          >>> class Model(nn.Module):
          ...     def setup(self):
          ...         self.head = nn.Dense(2)
          >>> Model().bind({}).head.path
          ('head',)
        """
        return self._bound("give the path").path

    @property
    def variables(self) -> dict[str, Any]:
        """A copy of the variables of this module and its submodules, by collection.

        Raises:
          ValueError: the module is not bound.

        Example:
          >>> import linen_core as nn
          >>> nn.Dense(2).bind({"params": {"bias": 0.0}}).variables
          {'params': {'bias': 0.0}}
        """
        return self._bound("give the variables").variables()

    def param(
        self,
        name: str,
        init_fn: Callable[..., Any],
        *init_args: object,
        unbox: bool = True,
        **init_kwargs: object,
    ) -> Any:
        """Create or look up a parameter: a read-only variable of the collection 'params'.

        Args:
          name: name of the parameter.
          init_fn: ``init_fn(key, *init_args, **init_kwargs)`` creates the initial value in `init`. The shape of an
            existing parameter is compared with that of its result.
          *init_args: arguments of ``init_fn``, usually the shape.
          unbox: whether to return the content of the value's boxes (`Partitioned`).
          **init_kwargs: keyword arguments of ``init_fn``.

        Returns:
          The parameter's value.

        Raises:
          NameInUseError: the name is already in use in the module.
          ScopeCollectionNotFound: the collection 'params' is missing or empty.
          ScopeParamNotFoundError: the parameter is missing.
          ScopeParamShapeError: the shape differs from that of the result of ``init_fn``.
          ValueError: the module is neither in `setup` nor in a compact method.

        Example:
          >>> import jax, linen_core as nn
          >>> class Scale(nn.Module):
          ...     @nn.compact
          ...     def __call__(self, x):
          ...         return x * self.param("scale", nn.initializers.ones, (x.shape[-1],))
          >>> Scale().init(jax.random.key(0), jax.numpy.ones((1, 2)))
          {'params': {'scale': Array([1., 1.], dtype=float32)}}
        """
        if not self._initialization_allowed:
            self._refuse_to_initialize("parameter", name)
        scope = self.scope or self._bound("make parameters")
        if name in scope.reservations and scope.name_reserved(name, "params"):
            raise NameInUseError("param", name, type(self).__name__)
        value = scope.param(name, init_fn, *init_args, unbox=unbox, **init_kwargs)
        self._state.children[name] = "params"
        return value

    def variable(
        self,
        col: str,
        name: str,
        init_fn: Callable[..., Any] | None = None,
        *init_args: object,
        unbox: bool = True,
        **init_kwargs: object,
    ) -> Variable[Any]:
        """Create or look up a variable.

        Args:
          col: name of the collection.
          name: name of the variable.
          init_fn: ``init_fn(*init_args, **init_kwargs)`` creates the initial value if the variable is missing and the
            collection is mutable.
          *init_args: arguments of ``init_fn``.
          unbox: whether the reference reads and writes the content of the value's boxes.
          **init_kwargs: keyword arguments of ``init_fn``.

        Returns:
          A reference, with the value as ``.value``.

        Raises:
          NameInUseError: the name is already in use in the module.
          ScopeCollectionNotFound: the whole collection is missing, and the variable cannot be created.
          ScopeVariableNotFoundError: the variable is missing and cannot be created.
          ValueError: the module is neither in `setup` nor in a compact method.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> class Counter(nn.Module):
          ...     @nn.compact
          ...     def __call__(self):
          ...         count = self.variable("state", "count", lambda: jnp.zeros((), jnp.int32))
          ...         count.value += 1
          ...         return count.value
          >>> _, state = Counter().apply({"state": {"count": 4}}, mutable=["state"])
          >>> state
          {'state': {'count': 5}}
        """
        if not self._initialization_allowed:
            self._refuse_to_initialize("variable", name)
        scope = self.scope or self._bound("make variables")
        if name in scope.reservations and scope.name_reserved(name, col):
            raise NameInUseError("variable", name, type(self).__name__)
        variable = scope.variable(col, name, init_fn, *init_args, unbox=unbox, **init_kwargs)
        self._state.children[name] = col
        return variable

    def _refuse_to_initialize(self, kind: str, name: str) -> NoReturn:
        msg = (
            f"Cannot make {kind} {name!r} of {type(self).__name__} here: variables are made in `setup` or in a method "
            "wrapped in `@nn.compact`."
        )
        raise ValueError(msg)

    def get_variable(self, col: str, name: str, default: object = None) -> Any:
        """Return a variable's value, or ``default`` if it is missing.

        Example:
          >>> import linen_core as nn
          >>> bound = nn.Dense(2).bind({"params": {"bias": 0.0}})
          >>> bound.get_variable("params", "bias"), bound.get_variable("params", "kernel", "none")
          (0.0, 'none')
        """
        return self._bound("read variables").get_variable(col, name, default)

    def put_variable(self, col: str, name: str, value: PyTree) -> None:
        """Write a variable.

        Raises:
          ModifyScopeVariableError: the collection is immutable.
          ValueError: the module is not bound.

        Example:
          >>> import linen_core as nn
          >>> bound = nn.Dense(2).bind({"params": {"bias": 0.0}}, mutable=["params"])
          >>> bound.put_variable("params", "bias", 1.0)
          >>> bound.variables
          {'params': {'bias': 1.0}}
        """
        self._bound("write variables").put_variable(col, name, value)

    def has_variable(self, col: str, name: str) -> bool:
        """Return whether the module has a variable.

        Example:
          >>> import linen_core as nn
          >>> bound = nn.Dense(2).bind({"params": {"bias": 0.0}})
          >>> bound.has_variable("params", "bias"), bound.has_variable("params", "kernel")
          (True, False)
        """
        return self._bound("look up variables").has_variable(col, name)

    def is_mutable_collection(self, col: str) -> bool:
        """Return whether a collection can be written.

        Example:
          >>> import linen_core as nn
          >>> nn.Dense(2).bind({}, mutable=["cache"]).is_mutable_collection("cache")
          True
        """
        return self._bound("tell the mutable collections").is_mutable_collection(col)

    def has_rng(self, name: str) -> bool:
        """Return whether an RNG stream exists.

        Example:
          >>> import jax, linen_core as nn
          >>> nn.Dense(2).bind({}, rngs={"dropout": jax.random.key(0)}).has_rng("dropout")
          True
        """
        return self._bound("look up RNG streams").has_rng(name)

    def make_rng(self, name: str = "params") -> PRNGKey:
        """Draw a new key from an RNG stream, or from 'params' if the stream does not exist.

        Raises:
          InvalidRngError: neither stream exists.
          ValueError: the module is not bound.

        Example:
          >>> import jax, linen_core as nn
          >>> class Noise(nn.Module):
          ...     def __call__(self, x):
          ...         return x + jax.random.normal(self.make_rng("noise"), x.shape)
          >>> Noise().apply({}, jax.numpy.zeros(3), rngs={"noise": jax.random.key(0)}).shape
          (3,)
        """
        return self._bound("draw keys").make_rng(name)

    def is_initializing(self) -> bool:
        """Return whether the current run is one of `init`.

        Example:
          >>> import jax, linen_core as nn
          >>> class Tells(nn.Module):
          ...     def __call__(self):
          ...         return self.is_initializing()
          >>> Tells().init_with_output(jax.random.key(0))[0], Tells().apply({})
          (True, False)
        """
        return bool(self._bound("tell the run").get_flag("initializing", False))

    def sow(
        self,
        col: str,
        name: str,
        value: PyTree,
        reduce_fn: Callable[[Any, Any], Any] = _append,
        init_fn: Callable[[], Any] = _no_values,
    ) -> bool:
        """Store a value in a mutable collection; by default append it to a tuple.

        Args:
          col: name of the collection, often 'intermediates'.
          name: name of the variable.
          value: the value.
          reduce_fn: ``reduce_fn(stored, value)`` returns the new stored value.
          init_fn: returns the stored value before the first call.

        Returns:
          Whether the value was stored.

        Example:
          >>> import jax.numpy as jnp, linen_core as nn
          >>> class Model(nn.Module):
          ...     @nn.compact
          ...     def __call__(self, x):
          ...         self.sow("intermediates", "twice", 2 * x)
          ...         return x
          >>> Model().apply({}, 3, mutable=["intermediates"])
          (3, {'intermediates': {'twice': (6,)}})
        """
        scope = self._bound("store values")
        if not scope.is_mutable_collection(col):
            return False
        if scope.has_variable(col, name):
            stored = scope.get_variable(col, name)
        else:
            scope.reserve(name, col)
            self._state.children[name] = col
            stored = init_fn()
        scope.put_variable(col, name, reduce_fn(stored, value))
        return True

    def perturb(self, name: str, value: _T, collection: str = "perturbations") -> _T:
        """Add a variable of zeros to a value; the gradient of the variable is then that of the value.

        Without the collection the value is returned unchanged.

        Args:
          name: name of the variable.
          value: an array or a tree of arrays.
          collection: name of the collection.

        Raises:
          ValueError: the collection exists, but lacks the variable.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> class Model(nn.Module):
          ...     @nn.compact
          ...     def __call__(self, x):
          ...         return 3 * self.perturb("input", x)
          >>> variables = Model().init(jax.random.key(0), jnp.ones(()))
          >>> jax.grad(lambda v: Model().apply({"perturbations": v}, 1.0))(variables["perturbations"])
          {'input': Array(3., dtype=float32)}
        """
        scope = self._bound("perturb values")
        if scope.is_mutable_collection(collection) and not scope.has_variable(collection, name):
            scope.reserve(name, collection)
            self._state.children[name] = collection
            scope.put_variable(collection, name, jax.tree.map(jnp.zeros_like, value))
        if collection not in scope.root._variables:
            return value
        if not scope.has_variable(collection, name):
            msg = (
                f"Cannot perturb {name!r} at {collection}{scope.path_text}: the collection has no such variable. "
                "Pass the collection that `init` returned."
            )
            raise ValueError(msg)
        return jax.tree.map(jnp.add, value, scope.get_variable(collection, name))  # type: ignore[no-any-return]
