"""The state of a module besides its fields: its parent, name, scope and children, and the progress of `setup`.

`attach` gives a new module its place below its parent, `register_attribute` does so for the modules in an attribute,
and `run_setup` runs `setup` once. `ModuleBase` declares what the other files of this folder use of a module.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

import jax

from linen_core._context import context_var
from linen_core.errors import AssignSubModuleError, NameInUseError
from linen_core.module.attributes import freeze_attribute
from linen_core.scope.scope import Scope
from linen_core.struct import STRUCT_MARK, is_struct
from linen_core.typing import PyTree

__all__ = [
    "UNSPECIFIED_PARENT",
    "ModuleBase",
    "ModuleState",
    "ParentDescriptor",
    "SetupState",
    "UnspecifiedParent",
    "attach",
    "clone_deeply",
    "map_modules",
    "register_attribute",
    "register_fields",
    "run_setup",
]

_PLAIN_TYPES: frozenset[type] = frozenset(
    {
        bool,
        bytes,
        complex,
        float,
        functools.partial,
        int,
        str,
        type,
        type(None),
        types.BuiltinFunctionType,
        types.FunctionType,
    }
)
"""Types of attributes that hold no modules and need no freezing."""


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


def attach(module: ModuleBase) -> None:
    """Attach a new module to its parent; if the parent is bound, set the module's name and scope.

    Raises:
      AssignSubModuleError: the parent is neither in `setup` nor in a compact method.
      NameInUseError: the name is already in use in the parent.
      ValueError: the parent is neither a module, a scope nor None.
    """
    fields = module.__dict__
    fields["_id"] = object()
    # `_id` identifies the module in clones and runs. `id(module)` may be reused after the module is gone.
    state = fields["_state"] = ModuleState()
    parent = fields["_parent_ref"]
    if parent is UNSPECIFIED_PARENT:
        parent = context_var.get().module
        fields["_parent_ref"] = None if parent is None else weakref.ref(parent)
    elif type(parent) is weakref.ReferenceType:
        parent = parent()
    elif isinstance(parent, ModuleBase):
        fields["_parent_ref"] = weakref.ref(parent)
    if parent is None:
        return
    if isinstance(parent, ModuleBase):
        if parent._state.in_setup and fields["name"] is None:
            return  # the assignment to an attribute names it
        fields["scope"] = _enter_family(module, parent)
    elif isinstance(parent, Scope):
        fields["scope"] = parent
    else:
        msg = f"The parent of a module must be a module, a scope or None; found {parent!r}."
        raise ValueError(msg)
    register_fields(module)
    state.is_initialized = True
    if not module._needs_setup:
        state.setup_called = SetupState.DONE


def _enter_family(module: ModuleBase, parent: Any) -> Scope:
    state = parent._state
    if not parent._initialization_allowed:
        raise AssignSubModuleError(type(module).__name__)
    name = module.name
    if name is None:
        kind = type(module).__name__
        number = state.autoname_cursor.get(kind, 0)
        state.autoname_cursor[kind] = number + 1
        name = module.__dict__["name"] = f"{kind}_{number}"
    reuse = state.in_setup and state.setup_called == SetupState.TRANSFORMED
    if not reuse and name in parent.scope.reservations:
        raise NameInUseError("submodule", name, type(parent).__name__)
    state.children[name] = module
    return parent.scope.push(name, reuse=reuse)  # type: ignore[no-any-return]


def register_fields(module: ModuleBase) -> None:
    """Make the modules in a module's fields its children, and freeze the fields."""
    fields = module.__dict__
    for name in module._field_names:
        value = fields[name] if name in fields else getattr(module, name)
        if type(value) not in _PLAIN_TYPES and _may_hold_modules(value):
            register_attribute(module, name, value)


def _may_hold_modules(value: object) -> bool:
    """Return whether the value of a field must be searched for modules and frozen.

    Callers compare with `_PLAIN_TYPES` first: this runs for every field of every module in every call.
    """
    kind = type(value)
    return issubclass(kind, ModuleBase | Mapping | list | tuple) or hasattr(kind, STRUCT_MARK)


def register_attribute(module: ModuleBase, name: str, value: object) -> None:
    """Set an attribute, making the modules in it children of the module.

    A module without a name is named after the attribute and the keys and indices on the path to it. A module that was
    created outside the run is replaced by one clone per run, the same wherever the module occurs.
    """
    scope = module.scope
    if scope is None:
        msg = f"Cannot register submodules of {type(module).__name__}: it has no scope."
        raise AssertionError(msg)
    adopted: list[Any] = []
    keep_name = getattr(
        type(module), "preserve_adopted_names", context_var.get().keeps_adopted_names
    )

    def adopt(suffix: str, child: Any) -> Any:
        current_name = child.name
        new_name = None
        if child.__dict__["_parent_ref"] is None:
            if keep_name:
                new_name = current_name
            clone = scope.run.adopted.get(child._id)
            if clone is None:
                clone = scope.run.adopted[child._id] = child.clone(name=None)
            child = clone
        if child.name is None:
            child.__dict__["_parent_ref"] = weakref.ref(module)
            if new_name is None:
                new_name = current_name if child._keeps_own_name else f"{name}{suffix}"
            child.__dict__["name"] = new_name
            adopted.append(child)
        return child

    object.__setattr__(module, name, freeze_attribute(map_modules(adopt, value)))
    for child in adopted:
        child.__post_init__()


def run_setup(module: ModuleBase, shallow: bool = False) -> None:
    """Run a bound module's `setup`, once.

    Args:
      module: the module.
      shallow: only raise the errors of `setup` here; it still runs later.
    """
    state, kind = module._state, type(module)
    if module.scope is None or state.in_setup or state.setup_called is SetupState.DONE:
        return
    try:
        state.in_setup = True
        if not shallow:
            if module._has_setup:
                module.setup()
            if kind._compact_name_scope_methods:
                scopes = {
                    name: getattr(kind, name).make_scope(module)
                    for name in kind._compact_name_scope_methods
                }
                module._compact_name_scope_modules = scopes
        elif state.setup_called is SetupState.NEW and module._has_setup:
            _try_setup_on_the_side(module)
    finally:
        state.in_setup = False
        if not shallow:
            state.setup_called = SetupState.DONE


class TestScope(Scope):
    """A scope to try `setup` in: it draws keys without streams. Programs know it by flax's name."""

    __slots__ = ()

    def make_rng(self, name: str = "params") -> Any:
        """Return a fixed key."""
        return jax.random.key(0)


def _try_setup_on_the_side(module: ModuleBase) -> None:
    """Run `setup` abstractly on a copy: its errors then appear here and not inside a transform."""

    def enter(x: int) -> Any:
        with TestScope({}, rngs={}, mutable=True).temporary() as root:
            run_setup(module.clone(parent=root))
            return x

    jax.eval_shape(enter, 0)


def clone_deeply(
    attributes: dict[str, Any], clones: dict[Any, Any], clone_one: Callable[[Any], Any]
) -> None:
    """Replace each module in the values of ``attributes`` by one clone, and freeze the values.

    Args:
      attributes: the fields of a module; modified.
      clones: the existing clones by module id; new clones are added.
      clone_one: clones a module.
    """

    def cloned(_suffix: str, child: object) -> Any:
        if not hasattr(child, "_id"):
            return child
        if child._id not in clones:
            clones[child._id] = clone_one(child)
        return clones[child._id]

    for name, value in attributes.items():
        if type(value) not in _PLAIN_TYPES and name != "parent" and _may_hold_modules(value):
            attributes[name] = freeze_attribute(map_modules(cloned, value))


def map_modules(fn: Callable[[str, Any], Any], value: object, suffix: str = "") -> Any:
    """Replace each module in an attribute by ``fn(suffix, module)``.

    Searches mappings, lists, tuples, named tuples and `struct` dataclasses. The suffix joins the keys and indices on
    the path to the module, each after "_". Modules are visited in the order of these keys as strings.

    Args:
      fn: called with the suffix and the module.
      value: the attribute.
      suffix: the start of every suffix.

    Returns:
      The attribute with containers of the same types. A mapping of another type becomes a dict if it contains a
      module.
    """
    if isinstance(value, ModuleBase):
        return fn(suffix, value)
    parts = _children(value)
    if parts is None:
        return value
    mapped = {}
    for key in sorted(parts, key=str):
        mapped[key] = map_modules(fn, parts[key], f"{suffix}_{key}")
    if all(mapped[key] is parts[key] for key in parts):
        return value
    return _rebuild(value, {key: mapped[key] for key in parts})


def _children(value: PyTree) -> dict[Any, Any] | None:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if is_struct(value):
        return {name: getattr(value, name) for name in getattr(type(value), STRUCT_MARK)}
    return None


def _rebuild(value: PyTree, parts: dict[Any, Any]) -> Any:
    if isinstance(value, Mapping):
        return parts
    if is_struct(value):
        return value.replace(**parts)
    if hasattr(value, "_fields"):
        return type(value)(**parts)
    return type(value)(parts.values())
