"""Errors of modules."""

from __future__ import annotations

from typing import Any

from linen_core.errors._base import LinenError

__all__ = [
    "ApplyModuleInvalidMethodError",
    "AssignSubModuleError",
    "CallCompactUnboundModuleError",
    "CallSetupUnboundModuleError",
    "CallShareScopeOnUnboundModuleError",
    "CallUnbindOnUnboundModuleError",
    "DescriptorAttributeError",
    "IncorrectPostInitOverrideError",
    "InvalidInstanceModuleError",
    "MultipleMethodsCompactError",
    "NameInUseError",
    "ReservedModuleAttributeError",
    "SetAttributeFrozenModuleError",
    "SetAttributeInModuleSetupError",
    "StructFieldError",
]


class NameInUseError(LinenError, ValueError):
    """A submodule, parameter or variable got a name that is in use in its module."""

    def __init__(self, key_type: str, value: str, module_name: str) -> None:
        self.key_type = key_type  #: ``"param"``, ``"variable"`` or ``"submodule"``.
        self.value = value  #: The name.
        self.module_name = module_name  #: Class name of the module.
        super().__init__(
            f"Cannot create {key_type} {value!r} in {module_name}: the name is in use there. Choose another; "
            "attributes of `setup` and names given by `name=...` share one namespace with parameters."
        )


class AssignSubModuleError(LinenError, RuntimeError):
    """A submodule was created outside of `setup` and of `@compact` methods."""

    def __init__(self, cls: str) -> None:
        self.cls = cls  #: Class name of the submodule.
        super().__init__(
            f"Cannot create submodule {cls} here: submodules are created in `setup` or in a method wrapped in "
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
    """An attribute was set on a module outside of `setup`."""

    def __init__(self, module_cls: str, attr_name: str, attr_val: Any) -> None:
        self.module_cls = module_cls  #: Class name of the module.
        self.attr_name = attr_name  #: Name of the attribute.
        super().__init__(
            f"Cannot set {attr_name}={attr_val!r} on {module_cls}: a module is frozen outside of `setup`. "
            f"Assign it in `setup`, or create a changed copy with `module.clone({attr_name}=...)` if it is a field."
        )


class MultipleMethodsCompactError(LinenError):
    """A class that allows one compact method has several."""

    def __init__(self) -> None:
        super().__init__("Only one method of this class may be wrapped in `@nn.compact`.")


class ReservedModuleAttributeError(LinenError, TypeError):
    """A module class annotates the reserved fields ``parent`` or ``name`` with other types."""

    def __init__(self, annotations: Any) -> None:
        self.annotations = str(annotations)  #: The annotations of the class, rendered.
        super().__init__(
            f"Cannot annotate `parent` or `name` in a module: every module has them. Found {annotations}. Leave the "
            "annotation out, or give the field another name."
        )


class ApplyModuleInvalidMethodError(LinenError, TypeError):
    """The `method` argument of `init` or `apply` is not a function that takes a module."""

    def __init__(self, method: Any) -> None:
        self.method = repr(method)  #: The argument, rendered.
        super().__init__(
            f"Cannot apply {method!r}: expected a method of the module, its name, or a function whose first "
            "argument is the module."
        )


class CallCompactUnboundModuleError(LinenError, RuntimeError):
    """A compact method was called on a module that is not bound to variables."""

    def __init__(self, module: str = "the module") -> None:
        self.module = module  #: The module, rendered.
        super().__init__(
            f"Cannot call a compact method of {module}: it has no variables. Use `variables = module.init(key, x)` "
            "and `module.apply(variables, x)`, or `module.bind(variables)(x)`."
        )


class CallSetupUnboundModuleError(LinenError, RuntimeError):
    """`setup` was called on a module that is not bound to variables."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot call `setup` directly: it runs automatically when a module is used in `init`, `apply` or after "
            "`bind`."
        )


class CallUnbindOnUnboundModuleError(LinenError, RuntimeError):
    """`unbind` was called on a module that is not bound to variables."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot unbind a module that is not bound. Call `unbind` on a module that `bind` returned."
        )


class CallShareScopeOnUnboundModuleError(LinenError, RuntimeError):
    """`share_scope` was called with a module that is not bound to variables."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot share the scope of an unbound module. Call `nn.share_scope` in `setup` or in a compact method."
        )


class InvalidInstanceModuleError(LinenError, TypeError):
    """`init`, `apply` or `bind` was called on the class instead of on an instance."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot call `init`, `apply` or `bind` on a module class. Create an instance first: "
            "`Model(...).init(...)`."
        )


class IncorrectPostInitOverrideError(LinenError, TypeError):
    """A module's `__post_init__` does not call the one of its base class."""

    def __init__(self) -> None:
        super().__init__(
            "`__post_init__` was overridden without a call of `super().__post_init__()`. Add it as its last line."
        )


class DescriptorAttributeError(LinenError):
    """A property of a module raised an AttributeError.

    This class does not derive from AttributeError. If it did, Python would call the module's `__getattr__` next,
    and its failure would hide the cause.
    """

    def __init__(
        self, message: str = "A property of a module raised an AttributeError; its cause is above."
    ) -> None:
        super().__init__(message)


class StructFieldError(LinenError, ValueError):
    """A class with a field of ``init=False`` was decorated with `struct.dataclass`."""

    def __init__(self, cls: str, field: str) -> None:
        self.cls = cls  #: Name of the class.
        self.field = field  #: Name of the field.
        super().__init__(
            f"Cannot make {cls} a pytree: its field {field!r} has init=False, but a node of a pytree is rebuilt by "
            "calling its class with the value of every field. Make the field a property, or remove init=False."
        )
