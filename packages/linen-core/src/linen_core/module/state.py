"""The state of a module besides its fields, and the base class that other files rely on."""

from __future__ import annotations

import dataclasses
import enum
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

if TYPE_CHECKING:
    from linen_core.scope.scope import Scope

__all__ = [
    "UNSPECIFIED_PARENT",
    "ModuleBase",
    "ModuleState",
    "ParentDescriptor",
    "SetupState",
    "UnspecifiedParent",
]


class SetupState(enum.IntEnum):
    """The progress of a module's `setup`.

    Example:
      >>> [state.name for state in SetupState]
      ['NEW', 'TRANSFORMED', 'DONE']
    """

    NEW = 0
    """`setup` has not run."""
    TRANSFORMED = 1
    """`setup` ran outside the lifted transform that created this copy of the module."""
    DONE = 2
    """`setup` has run."""


class ModuleState:
    """The mutable part of a module."""

    __slots__ = (
        "autoname_cursor",
        "children",
        "in_compact_method",
        "in_setup",
        "is_initialized",
        "setup_called",
    )

    def __init__(self) -> None:
        self.in_compact_method = False
        self.in_setup = False
        self.setup_called = SetupState.NEW
        self.is_initialized = False
        self.autoname_cursor: dict[str, int] = {}
        """The number of submodules named in this call, by class name."""
        self.children: dict[str, Any] = {}
        """Submodules by name, and the collection of each variable by its name."""

    def reset(self) -> None:
        """Restart the names of submodules after a call."""
        self.in_compact_method = False
        self.in_setup = False
        self.autoname_cursor = {}

    def export(self) -> ModuleState:
        """Copy the state for a copy of the module inside a lifted transform."""
        copy = ModuleState()
        copy.reimport(self)
        copy.setup_called = SetupState.TRANSFORMED if self.setup_called else SetupState.NEW
        return copy

    def reimport(self, other: ModuleState) -> None:
        """Copy the state back from a module inside a lifted transform."""
        self.in_compact_method = other.in_compact_method
        self.in_setup = other.in_setup
        self.is_initialized = other.is_initialized
        self.autoname_cursor = dict(other.autoname_cursor)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class UnspecifiedParent:
    """The default of ``parent``: the module whose method creates the new module."""

    def __copy__(self) -> UnspecifiedParent:
        return self

    def __deepcopy__(self, memo: object) -> UnspecifiedParent:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unspecified_parent, ()

    def __repr__(self) -> str:
        return "<the surrounding module>"


def _unspecified_parent() -> UnspecifiedParent:
    return UNSPECIFIED_PARENT


UNSPECIFIED_PARENT = UnspecifiedParent()


@dataclass_transform(field_specifiers=(dataclasses.field,))
class ModuleBase:
    """The attributes of modules that the other files of this folder use. Users subclass `Module`."""

    if TYPE_CHECKING:
        scope: Scope | None
        name: str | None
        _state: ModuleState
        _id: object
        _parent_ref: Any

        # absent at run time: `typing.get_type_hints` of a module returns its fields only
        _field_names: ClassVar[tuple[str, ...]]
        _has_setup: ClassVar[bool]
        _needs_setup: ClassVar[bool]
        _keeps_own_name: ClassVar[bool]
        _compact_name_scope_methods: ClassVar[tuple[str, ...]]
        _compact_name_scope_modules: dict[str, Any]
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

        @property
        def _initialization_allowed(self) -> bool: ...

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

        def setup(self) -> None: ...

        def _try_setup(self, shallow: bool = False) -> None: ...

        def clone(self, **updates: Any) -> Self: ...

    _field_names = ()
    _has_setup = False
    _needs_setup = False
    _keeps_own_name = False
    _compact_name_scope_methods = ()


class ParentDescriptor:
    """Holds a weak reference to a module's parent."""

    def __get__(self, module: ModuleBase | None, owner: type | None = None) -> Any:
        if module is None:
            return None
        parent = module.__dict__["_parent_ref"]
        return parent() if type(parent) is weakref.ReferenceType else parent

    def __set__(self, module: ModuleBase, parent: object) -> None:
        module.__dict__["_parent_ref"] = (
            weakref.ref(parent) if isinstance(parent, ModuleBase) else parent
        )
