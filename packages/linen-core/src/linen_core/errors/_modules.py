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
]


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
            f"Cannot annotate `parent` or `name` in a module: every module has them. Found {annotations}. Leave the "
            "annotation out, or give the field another name."
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
        super().__init__(
            "Cannot unbind a module that is not bound. Only what `bind` returned can be unbound."
        )


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

    def __init__(
        self, message: str = "A property of a module raised an AttributeError; its cause is above."
    ) -> None:
        super().__init__(message)
