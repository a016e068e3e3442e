"""The dataclass part of modules: every subclass of Module is a dataclass with `parent` and `name`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Union

from linen_core.errors import ReservedModuleAttributeError
from linen_core.module.state import UNSPECIFIED_PARENT, ModuleBase
from linen_core.scope.scope import Scope

__all__ = ["make_dataclass"]

_PARENT_TYPE: Any = Union[ModuleBase, Scope, type(UNSPECIFIED_PARENT), None]  # noqa: UP007
_NAME_TYPES = ("str", str, str | None, "str | None", "Optional[str]")
_RESERVED = ("parent", "name")


def make_dataclass(cls: type, kw_only: bool) -> None:
    """Make a module class a dataclass, with `parent` and `name` as its last fields, keyword-only.

    Args:
      cls: the class.
      kw_only: whether the fields of the class itself are keyword-only too.

    Raises:
      ReservedModuleAttributeError: the class annotates `parent` or `name` as something else.
    """
    annotations = inspect.get_annotations(cls)
    if (
        annotations.get("parent", _PARENT_TYPE) != _PARENT_TYPE
        or annotations.get("name", str) not in _NAME_TYPES
    ):
        raise ReservedModuleAttributeError(annotations)
    for name in annotations:
        field = getattr(cls, name, None)
        if isinstance(field, dataclasses.Field) and not field.init:
            field.compare = field.hash = field.repr = False
    own_init = "__init__" in cls.__dict__
    direct = _can_write_fields_directly(cls, annotations)
    documented = cls.__doc__ is not None
    _add_reserved_fields(cls)
    if not documented:
        cls.__doc__ = (
            cls.__name__
        )  # or dataclasses would describe an `__init__` that is not there yet
    dataclasses.dataclass(init=not direct, eq=False, repr=False, kw_only=kw_only)(cls)
    fields: dict[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
    for name in _RESERVED:
        fields[name] = fields.pop(name)
    if direct and not own_init:
        cls.__init__ = _make_init(cls)  # type: ignore[misc]
    if not documented:
        cls.__doc__ = cls.__name__ + str(inspect.signature(cls)).removesuffix(" -> None")
    if "__eq__" not in cls.__dict__:
        cls.__eq__ = equal_fields  # type: ignore[method-assign,assignment]
    cls.__hash__ = _hash_unbound_only(cls.__dict__.get("__hash__", hash_fields))  # type: ignore[method-assign,assignment]


def _add_reserved_fields(cls: type[Any]) -> None:
    if "__annotations__" not in cls.__dict__:
        cls.__annotations__ = {}
    cls.parent = dataclasses.field(default=UNSPECIFIED_PARENT, repr=False, kw_only=True)
    cls.__annotations__["parent"] = _PARENT_TYPE
    cls.name = dataclasses.field(default=None, kw_only=True)
    cls.__annotations__["name"] = str | None


def _can_write_fields_directly(cls: type, annotations: dict[str, Any]) -> bool:
    """Return whether every field is a plain entry of the instance's `__dict__`."""
    inherited = getattr(cls, "__dataclass_fields__", {})
    types = [*annotations.values(), *(field.type for field in inherited.values())]
    if any(isinstance(kind, dataclasses.InitVar) or "InitVar" in str(kind) for kind in types):
        return False
    names = {*annotations, *inherited}.difference(_RESERVED)
    return not any(hasattr(_class_attribute(cls, name), "__set__") for name in names)


def _class_attribute(cls: type, name: str) -> Any:
    """Look up an attribute without calling descriptors; `inspect.getattr_static` would take far longer."""
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _make_init(cls: type) -> Callable[..., None]:
    """Write an `__init__` that is what dataclasses would write, but fills `__dict__` without `__setattr__`.

    A forward pass makes every submodule anew, so this is among the hottest code of all.
    """
    missing = object()
    namespace: dict[str, Any] = {"_missing": missing}
    positional: list[str] = []
    keyword: list[str] = []
    body: list[str] = []
    written = dataclasses.fields(cls)
    for field in written:
        name = field.name
        key = "_parent_ref" if name == "parent" else name
        if field.default_factory is not dataclasses.MISSING:
            namespace[f"_factory_{name}"] = field.default_factory
            created = f"_factory_{name}()"
            default, value = "=_missing", f"{created} if {name} is _missing else {name}"
            if not field.init:
                body.append(f"_fields[{key!r}] = {created}")
        elif field.default is not dataclasses.MISSING:
            namespace[f"_default_{name}"] = field.default
            default, value = f"=_default_{name}", name
        else:
            default, value = "", name
        if field.init:
            if not default and not field.kw_only and any("=" in one for one in positional):
                msg = f"Field {name!r} of {cls.__name__} has no default, but comes after fields that have one."
                raise TypeError(msg)
            (keyword if field.kw_only else positional).append(f"{name}{default}")
            body.append(f"_fields[{key!r}] = {value}")
    arguments = ", ".join(["_self", *positional, "*", *keyword])
    lines = [
        f"def __init__({arguments}):",
        "_fields = _self.__dict__",
        *body,
        "_self.__post_init__()",
    ]
    exec("\n    ".join(lines), namespace)  # noqa: S102 - as dataclasses does it
    init: Any = namespace["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    init.__annotations__ = {field.name: field.type for field in written if field.init} | {
        "return": None
    }
    return init  # type: ignore[no-any-return]


def equal_fields(self: ModuleBase, other: object) -> bool:
    """Return whether two modules have the same class and equal fields."""
    if type(other) is not type(self):
        return NotImplemented  # type: ignore[no-any-return]
    names = [field.name for field in dataclasses.fields(self) if field.compare]
    return [getattr(self, name) for name in names] == [getattr(other, name) for name in names]


def hash_fields(self: ModuleBase) -> int:
    """Hash what `equal_fields` compares."""
    fields = dataclasses.fields(self)
    hashed = (field for field in fields if (field.compare if field.hash is None else field.hash))
    return hash(tuple(getattr(self, field.name) for field in hashed))


def _hash_unbound_only(hash_fn: Callable[[Any], int] | None) -> Callable[[Any], int]:
    def wrapped(self: ModuleBase) -> int:
        if self.scope is not None:
            msg = (
                f"Cannot hash a {type(self).__name__} that holds variables. Hash the unbound module; in place of a JAX "
                "transform of a bound module use the one of linen_core (nn.jit, nn.vmap, ...)."
            )
            raise TypeError(msg)
        if hash_fn is None:
            msg = (
                f"Cannot hash a {type(self).__name__}: its class has an `__eq__` and no `__hash__`."
            )
            raise TypeError(msg)
        try:
            return hash_fn(self)
        except TypeError as error:
            msg = (
                f"Cannot hash {type(self).__name__}: a field is unhashable ({error}). Use tuples instead of lists, and "
                "hashable values in fields of modules that are static arguments of `jax.jit`."
            )
            raise TypeError(msg) from error

    return wrapped
