"""Every failure that linen_core reports, one class each.

An error's first line says where it happened, what was found and what was expected, then what to do. The
data behind the text is on the error as attributes, and every error survives pickling as its own class.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "ApplyModuleInvalidMethodError",
    "ApplyScopeInvalidVariablesStructureError",
    "ApplyScopeInvalidVariablesTypeError",
    "AssignSubModuleError",
    "CallCompactUnboundModuleError",
    "CallSetupUnboundModuleError",
    "CallShareScopeOnUnboundModuleError",
    "CallUnbindOnUnboundModuleError",
    "DescriptorAttributeError",
    "DropoutRateError",
    "FlaxError",
    "ImmutableVariableError",
    "IncorrectPostInitOverrideError",
    "InexactDtypeError",
    "InvalidFilterError",
    "InvalidInstanceModuleError",
    "InvalidRngError",
    "InvalidScopeError",
    "JaxTransformError",
    "LayerArgumentError",
    "LayerRankError",
    "LayerShapeError",
    "LazyInitError",
    "LazyStoreTracedError",
    "LinenError",
    "ModifyScopeVariableError",
    "MultipleMethodsCompactError",
    "NameInUseError",
    "PartitioningUnspecifiedError",
    "ReservedModuleAttributeError",
    "ScopeCollectionNotFound",
    "ScopeParamNotFoundError",
    "ScopeParamShapeError",
    "ScopeVariableNotFoundError",
    "SetAttributeFrozenModuleError",
    "SetAttributeInModuleSetupError",
    "StoreClosedError",
    "StoreError",
    "StorePathError",
    "StoreReadOnlyError",
    "TraceContextError",
    "TransformTargetError",
    "TransformedMethodReturnValueError",
    "UnknownStoreError",
    "UnsupportedArgumentError",
]


def _rebuild(cls: type[LinenError], args: tuple[Any, ...], state: dict[str, Any]) -> LinenError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class LinenError(Exception):
    """Base of every error of Linen.

    Subclasses take the facts as arguments, keep them as attributes and hand the finished text to this class.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


FlaxError = LinenError


def render_path(collection: str, path: Sequence[str]) -> str:
    """Render a variable's address as ``collection/module/.../name``."""
    return "/".join((collection, *path))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Render a hint at the closest known name, or nothing where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _listing(names: Iterable[str]) -> str:
    listed = sorted(names)
    shown = ", ".join(repr(name) for name in listed[:8])
    return f"{shown}, ... ({len(listed)} in all)" if len(listed) > 8 else shown or "nothing"


# Variables and scopes


class InvalidFilterError(LinenError, TypeError):
    """A filter of collections or RNG streams is neither a bool, a name, a collection of names nor a DenyList.

    Attributes:
      filter_like: what was given.
    """

    def __init__(self, filter_like: Any) -> None:
        self.filter_like = filter_like
        super().__init__(
            f"Invalid filter {filter_like!r}: expected a bool, a name, a collection of names or a DenyList."
        )


class InvalidRngError(LinenError, ValueError):
    """An RNG stream is missing, or what was given as a key is none."""


class TraceContextError(LinenError):
    """Something was done at another level of JAX transforms than it must be."""


class JaxTransformError(LinenError):
    """A JAX transform was used on a module's method; the lifted ones of Linen carry variables along."""

    def __init__(self) -> None:
        super().__init__(
            "A JAX transform was applied to a function that uses a module. Use the transform of the same name of "
            "linen_core (nn.vmap, nn.scan, ...), which carries the variables along."
        )


class LazyInitError(LinenError, ValueError):
    """A variable's initial value depends on an argument that `lazy_init` got only the shape of.

    Attributes:
      aval: the abstract value of the variable.
    """

    def __init__(self, aval: Any) -> None:
        self.aval = aval
        super().__init__(
            f"Cannot initialise a variable of {aval}: its initial value depends on an argument of which only the "
            "shape was given. Pass that argument as an array."
        )


class ApplyScopeInvalidVariablesTypeError(LinenError, TypeError):
    """What was given as variables is no mapping of collections.

    Attributes:
      found: what was found, in words.
    """

    def __init__(self, found: str = "something else") -> None:
        self.found = found
        super().__init__(
            "Invalid variables: expected a dict of collections, each a dict with string keys, such as "
            f"{{'params': {{...}}}}, found {found}."
        )


class ApplyScopeInvalidVariablesStructureError(LinenError, ValueError):
    """The variables have a collection 'params' that holds nothing but another 'params'."""

    def __init__(self, variables: Any = None) -> None:
        del variables  # not kept: an error must not keep arrays alive
        super().__init__(
            "Invalid variables: found {'params': {'params': ...}}, expected {'params': ...}. "
            "Pass what lies under the outer 'params'."
        )


class ScopeParamNotFoundError(LinenError, KeyError):
    """A module asks for a parameter that its scope does not have.

    Attributes:
      param_name: name of the parameter.
      scope_path: path of the module, for example ``"/encoder/Dense_0"``.
      known: the names that are there instead.
    """

    def __init__(self, param_name: str, scope_path: str, known: Iterable[str] = ()) -> None:
        self.param_name = param_name
        self.scope_path = scope_path
        self.known = tuple(known)
        super().__init__(
            f"Cannot find parameter {param_name!r} at params{_below(scope_path)}: found {_listing(self.known)} "
            f"there.{did_you_mean(param_name, self.known)} Parameters are created by `init`, or by `apply` with "
            "mutable=['params']."
        )


class ScopeVariableNotFoundError(LinenError, KeyError):
    """A module asks for a variable that its scope does not have, and may not create it.

    Attributes:
      name: name of the variable.
      col: name of the collection.
      scope_path: path of the module.
      known: the names that are there instead.
    """

    def __init__(self, name: str, col: str, scope_path: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.col = col
        self.scope_path = scope_path
        self.known = tuple(known)
        super().__init__(
            f"Cannot find variable {name!r} at {col}{_below(scope_path)}: found {_listing(self.known)} there."
            f"{did_you_mean(name, self.known)} To create it in `apply`, give it an initializer and pass "
            f"mutable=[{col!r}]."
        )


class ScopeCollectionNotFound(LinenError, KeyError):  # noqa: N818 - flax's name
    """A module reads from a collection that is missing or empty.

    The text tells apart a collection that was left out, one whose name was mistyped, one that is empty, and
    parameters that were passed without ``{"params": ...}`` around them.

    Attributes:
      col_name: name of the collection.
      var_name: name of the variable that was asked for.
      scope_path: path of the module.
      found: the names at the top of the variables.
      unwrapped: the variables look like the collection's content itself.
    """

    def __init__(
        self,
        col_name: str,
        var_name: str,
        scope_path: str,
        found: Iterable[str] = (),
        unwrapped: bool = False,
    ) -> None:
        self.col_name = col_name
        self.var_name = var_name
        self.scope_path = scope_path
        self.found = tuple(found)
        self.unwrapped = unwrapped
        super().__init__(f"Cannot read {var_name!r} at {col_name}{_below(scope_path)}: {self._reason()}")

    def _reason(self) -> str:
        if self.unwrapped:
            return (
                f"the variables hold {_listing(self.found)} at the top, which belongs into a collection. "
                f"Pass {{{self.col_name!r}: variables}}."
            )
        if self.col_name in self.found:
            return f"the collection {self.col_name!r} is empty. Pass the variables that `init` returned."
        hint = did_you_mean(self.col_name, self.found)
        if hint:
            return f"there is no collection {self.col_name!r}, only {_listing(self.found)}.{hint}"
        return (
            f"there is no collection {self.col_name!r} in the variables (found {_listing(self.found)}). "
            f"Pass it, or let `apply` create it with mutable=[{self.col_name!r}]."
        )


class ScopeParamShapeError(LinenError, ValueError):
    """A parameter has another shape than its initializer would make.

    Attributes:
      param_name: name of the parameter.
      scope_path: path of the module.
      value_shape: the shape found.
      init_shape: the shape expected.
    """

    def __init__(
        self, param_name: str, scope_path: str, value_shape: Sequence[int], init_shape: Sequence[int]
    ) -> None:
        self.param_name = param_name
        self.scope_path = scope_path
        self.value_shape = tuple(value_shape)
        self.init_shape = tuple(init_shape)
        super().__init__(
            f"Cannot use {param_name!r} at params{_below(scope_path)}: expected shape {self.init_shape}, found "
            f"{self.value_shape} in the variables. Check the shape of the input and the module's features "
            "against those that the variables were made with."
        )


class InvalidScopeError(LinenError, RuntimeError):
    """A scope was used after the `init` or `apply` that made it had ended.

    Attributes:
      scope_name: name of the scope.
    """

    def __init__(self, scope_name: str | None) -> None:
        self.scope_name = scope_name
        super().__init__(
            f"The scope {scope_name!r} is no longer valid: its `init` or `apply` has ended. "
            "Use `module.bind(variables)` for a module that lives on."
        )


class ModifyScopeVariableError(LinenError, ValueError):
    """A variable of an immutable collection was written.

    Attributes:
      col: name of the collection.
      variable_name: name of the variable.
      scope_path: path of the module.
    """

    def __init__(self, col: str, variable_name: str, scope_path: str) -> None:
        self.col = col
        self.variable_name = variable_name
        self.scope_path = scope_path
        super().__init__(
            f"Cannot write {variable_name!r} at {col}{_below(scope_path)}: the collection {col!r} is immutable. "
            f"Pass mutable=[{col!r}] to `apply` and take the updated variables from what it returns."
        )


class ImmutableVariableError(LinenError):
    """A variable in immutable mode was changed."""


class PartitioningUnspecifiedError(LinenError, ValueError):
    """A transform adds an axis to a `Partitioned` variable, but does not name it.

    Attributes:
      target: the boxed variable, rendered.
    """

    def __init__(self, target: Any) -> None:
        self.target = f"{type(target).__name__}(names={getattr(target, 'names', None)})"
        super().__init__(
            f"Cannot add an axis to {self.target}: the transform does not name it. Pass "
            "metadata_params={nn.PARTITION_NAME: <mesh axis or None>} to the transform."
        )


def _below(scope_path: str) -> str:
    return "" if scope_path in ("", "/") else scope_path


# Modules


class NameInUseError(LinenError, ValueError):
    """A submodule, parameter or variable got a name that something else in its module has.

    Attributes:
      key_type: ``"param"``, ``"variable"`` or ``"submodule"``.
      value: the name.
      module_name: class name of the module.
    """

    def __init__(self, key_type: str, value: str, module_name: str) -> None:
        self.key_type = key_type
        self.value = value
        self.module_name = module_name
        super().__init__(
            f"Cannot create {key_type} {value!r} in {module_name}: the name is in use there. Choose another; "
            "attributes of `setup` and names given by `name=...` share one space with parameters."
        )


class AssignSubModuleError(LinenError, RuntimeError):
    """A submodule was made outside of `setup` and of `@compact` methods.

    Attributes:
      cls: class name of the submodule.
    """

    def __init__(self, cls: str) -> None:
        self.cls = cls
        super().__init__(
            f"Cannot make submodule {cls} here: submodules are made in `setup` or in a method wrapped in "
            "`@nn.compact`. Wrap this method, or move the submodule to `setup`."
        )


class SetAttributeInModuleSetupError(LinenError, AttributeError):
    """`setup` assigned to a dataclass field of the module."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot assign to a dataclass field in `setup`: fields are the module's configuration. "
            "Assign to an attribute of another name."
        )


class SetAttributeFrozenModuleError(LinenError, AttributeError):
    """An attribute was set on a module outside of `setup`.

    Attributes:
      module_cls: class name of the module.
      attr_name: name of the attribute.
    """

    def __init__(self, module_cls: str, attr_name: str, attr_val: Any) -> None:
        self.module_cls = module_cls
        self.attr_name = attr_name
        super().__init__(
            f"Cannot set {attr_name}={attr_val!r} on {module_cls}: a module is frozen outside of `setup`. "
            f"Assign it in `setup`, or make a changed copy with `module.clone({attr_name}=...)` if it is a field."
        )


class MultipleMethodsCompactError(LinenError):
    """More than one method of a class is compact, where only one may be."""

    def __init__(self) -> None:
        super().__init__("Only one method of this class may be wrapped in `@nn.compact`.")


class ReservedModuleAttributeError(LinenError, TypeError):
    """A module class annotates ``parent`` or ``name`` as something else than they are.

    Attributes:
      annotations: the annotations of the class, rendered.
    """

    def __init__(self, annotations: Any) -> None:
        self.annotations = str(annotations)
        super().__init__(
            f"Cannot annotate `parent` or `name` in a module: every module has them. Found {annotations}."
        )


class ApplyModuleInvalidMethodError(LinenError, TypeError):
    """The method to apply is no function that takes a module.

    Attributes:
      method: what was given, rendered.
    """

    def __init__(self, method: Any) -> None:
        self.method = repr(method)
        super().__init__(
            f"Cannot apply {method!r}: expected a method of the module, its name, or a function whose first "
            "argument is the module."
        )


class CallCompactUnboundModuleError(LinenError, RuntimeError):
    """A compact method was called on a module that is bound to no variables.

    Attributes:
      module: the module, rendered.
    """

    def __init__(self, module: str = "the module") -> None:
        self.module = module
        super().__init__(
            f"Cannot call a compact method of {module}: it has no variables. Use `variables = module.init(key, x)` "
            "and `module.apply(variables, x)`, or `module.bind(variables)(x)`."
        )


class CallSetupUnboundModuleError(LinenError, RuntimeError):
    """`setup` was called on a module that is bound to no variables."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot call `setup` by hand: it runs by itself when a module is used in `init`, `apply` or after `bind`."
        )


class CallUnbindOnUnboundModuleError(LinenError, RuntimeError):
    """`unbind` was called on a module that is bound to no variables."""

    def __init__(self) -> None:
        super().__init__("Cannot unbind a module that is not bound. Only what `bind` returned can be unbound.")


class CallShareScopeOnUnboundModuleError(LinenError, RuntimeError):
    """`share_scope` was called with a module that is bound to no variables."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot share the scope of an unbound module. Call `nn.share_scope` in `setup` or in a compact method."
        )


class InvalidInstanceModuleError(LinenError, TypeError):
    """`init`, `apply` or `bind` was called on the class instead of on an instance."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot call `init`, `apply` or `bind` on a module class. Make an instance first: `Model(...).init(...)`."
        )


class IncorrectPostInitOverrideError(LinenError, TypeError):
    """A module's `__post_init__` does not call the one of its base."""

    def __init__(self) -> None:
        super().__init__(
            "`__post_init__` was overridden without a call of `super().__post_init__()`. Add it as its last line."
        )


class DescriptorAttributeError(LinenError):
    """A property of a module raised an AttributeError.

    It is no AttributeError itself, for Python would then look the property up again and hide the cause.
    """

    def __init__(self, message: str = "A property of a module raised an AttributeError; its cause is above.") -> None:
        super().__init__(message)


# Lifted transforms


class TransformedMethodReturnValueError(LinenError, TypeError):
    """A transformed method returned a module or a variable.

    Attributes:
      name: name of the method.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"Cannot return a module or a variable from the transformed method {name!r}: it is bound to the inside "
            "of the transform. Return its value."
        )


class TransformTargetError(LinenError, TypeError):
    """A transform was given something else than a module class or a function that takes a module.

    Attributes:
      target: what was given, rendered.
    """

    def __init__(self, target: Any) -> None:
        self.target = repr(target)
        super().__init__(
            f"Cannot transform {target!r}: expected a module class or a function whose first argument is a module."
        )


# Stores


class StoreError(LinenError):
    """Base of the errors of variable stores."""


class StorePathError(StoreError, KeyError):
    """A store was asked for a path at which it has nothing.

    Attributes:
      collection: name of the collection that was asked.
      path: the path inside the collection.
    """

    def __init__(self, collection: str, path: Sequence[str], reason: str = "nothing is stored there") -> None:
        self.collection = collection
        self.path = tuple(path)
        super().__init__(f"Cannot find {render_path(collection, path)!r} in the store: {reason}.")


class StoreReadOnlyError(StoreError, TypeError):
    """A value was put into, or deleted from, a store that cannot be written.

    Attributes:
      store: the class name of the store.
      collection: name of the collection.
      path: the path inside the collection.
    """

    def __init__(self, store: str, collection: str, path: Sequence[str]) -> None:
        self.store = store
        self.collection = collection
        self.path = tuple(path)
        super().__init__(
            f"Cannot write {render_path(collection, path)!r}: {store} is read-only. "
            "Take `store.snapshot()`, a plain nested dict, and change that."
        )


class StoreClosedError(StoreError, ValueError):
    """A store was read after it was closed.

    Attributes:
      store: the class name of the store.
    """

    def __init__(self, store: str) -> None:
        self.store = store
        super().__init__(f"Cannot read from a closed {store}. Open it again, or read inside its `with` block.")


class LazyStoreTracedError(StoreError, RuntimeError):
    """A store that reads on demand was read inside a JAX trace.

    What it read would become a constant of the compiled program.

    Attributes:
      store: the class name of the store.
      address: the variable that was read.
    """

    def __init__(self, store: str, collection: str, path: Sequence[str]) -> None:
        self.store = store
        self.address = render_path(collection, path)
        super().__init__(
            f"Cannot read {self.address!r} from a {store} inside a JAX transform: it would become a constant of the "
            "program. Read first, then trace:\n"
            "    variables = store.snapshot()\n"
            "    jax.jit(model.apply)(variables, x)"
        )


class UnknownStoreError(StoreError, LookupError):
    """No store is registered under a name.

    Attributes:
      name: the name.
      known: the names that are registered.
    """

    def __init__(self, name: str, known: Iterable[str], advice: str = "") -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(
            f"No variable store {name!r}: registered are {_listing(self.known)}.{did_you_mean(name, self.known)}"
            f"{advice}"
        )


class InexactDtypeError(LinenError, ValueError):
    """A computation that needs floating-point or complex numbers was asked to run in another dtype.

    Attributes:
      dtype: the dtype asked for.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(
            f"Cannot compute in dtype {dtype}: expected a floating-point or complex dtype. "
            "Pass another `dtype`, or `inexact=False` where integers are meant."
        )


class LayerArgumentError(LinenError, ValueError):
    """A field of a layer, or an argument of its call, has a value that the layer cannot work with.

    Attributes:
      where: the layer's class and its path in the model, or the name of the function.
      argument: name of the field or argument.
      found: the value, or what matters of it.
      expected: what it should have been.
    """

    def __init__(
        self, where: str, argument: str, found: Any, expected: str, advice: str = ""
    ) -> None:
        self.where = where
        self.argument = argument
        self.found = found
        self.expected = expected
        text = f"Cannot apply {where}: `{argument}` is {found}, expected {expected}."
        super().__init__(f"{text} {advice}".rstrip())


class LayerShapeError(LayerArgumentError, AssertionError):
    """Sizes that a layer was given do not fit together: a number of features and of groups, or two arrays."""


class LayerRankError(LayerArgumentError, TypeError, IndexError):
    """An input has fewer axes than a layer needs."""


class DropoutRateError(LayerArgumentError):
    """A dropout rate is no probability."""


class UnsupportedArgumentError(LayerArgumentError, NotImplementedError):
    """A layer does not implement the value of one of its fields."""
