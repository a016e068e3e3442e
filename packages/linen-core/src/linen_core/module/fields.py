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
    inherited_init = "__init__" not in cls.__dict__
    _add_reserved_fields(cls)
    dataclasses.dataclass(unsafe_hash="__hash__" not in cls.__dict__, repr=False, kw_only=kw_only)(
        cls
    )
    fields: dict[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
    for name in _RESERVED:
        fields[name] = fields.pop(name)
    if inherited_init and _can_write_fields_directly(cls, fields):
        cls.__init__ = _make_init(cls)  # type: ignore[misc]


def _add_reserved_fields(cls: Any) -> None:
    if "__annotations__" not in cls.__dict__:
        cls.__annotations__ = {}
    cls.parent = dataclasses.field(default=UNSPECIFIED_PARENT, repr=False, kw_only=True)
    cls.__annotations__["parent"] = _PARENT_TYPE
    cls.name = dataclasses.field(default=None, kw_only=True)
    cls.__annotations__["name"] = str | None


def _can_write_fields_directly(cls: type, fields: dict[str, Any]) -> bool:
    """Tell whether a field is always a plain entry of the instance's `__dict__`."""
    if any(
        isinstance(field.type, dataclasses.InitVar) or "InitVar" in str(field.type)
        for field in fields.values()
    ):
        return False
    return not any(hasattr(inspect.getattr_static(cls, name, None), "__set__") for name in fields)


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
            made = f"_factory_{name}()"
            default, value = "=_missing", f"{made} if {name} is _missing else {name}"
            if not field.init:
                body.append(f"_fields[{key!r}] = {made}")
        elif field.default is not dataclasses.MISSING:
            namespace[f"_default_{name}"] = field.default
            default, value = f"=_default_{name}", name
        else:
            default, value = "", name
        if field.init:
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
