"""Dataclasses with keyword-only fields, with the names of ``flax.linen.kw_only_dataclasses``.

Python has them since 3.10. New programs use `dataclasses` directly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, dataclass_transform

__all__ = ["KW_ONLY", "dataclass", "field"]

KW_ONLY = dataclasses.KW_ONLY
"""Annotation after which the fields of a class are keyword-only."""


def field(
    *, metadata: Mapping[Any, Any] | None = None, kw_only: Any = dataclasses.MISSING, **kwargs: Any
) -> Any:
    """Describe a field, as `dataclasses.field` does.

    Args:
      metadata: as for `dataclasses.field`.
      kw_only: whether the field is keyword-only, and comes last.
      **kwargs: as for `dataclasses.field`.

    Raises:
      ValueError: a keyword-only field has no default.

    Example:
      >>> field(default=1, kw_only=True).kw_only
      True
    """
    if (
        kw_only is not dataclasses.MISSING
        and kw_only
        and not {"default", "default_factory"} & set(kwargs)
    ):
        msg = "A keyword-only field needs a default here. Give one, or use dataclasses.field."
        raise ValueError(msg)
    return dataclasses.field(metadata=metadata, kw_only=kw_only, **kwargs)


@dataclass_transform(field_specifiers=(field, dataclasses.field))
def dataclass(
    cls: type | None = None,
    extra_fields: Iterable[tuple[str, Any, Any]] | None = None,
    **kwargs: Any,
) -> Any:
    """Make a class a dataclass, as `dataclasses.dataclass` does.

    Args:
      cls: the class; None to return a decorator.
      extra_fields: further fields: name, type and field of each.
      **kwargs: as for `dataclasses.dataclass`.

    Raises:
      ValueError: an extra field is not a name, a type and a field.

    Example:
      >>> @dataclass
      ... class Parent:
      ...     name: str = field(default="", kw_only=True)
      >>> @dataclass
      ... class Child(Parent):
      ...     size: int
      >>> Child(3, name="x")
      Child(name='x', size=3)
    """

    def transform(cls: type) -> type:
        for name, annotation, default in extra_fields or ():
            if not isinstance(name, str) or not isinstance(default, dataclasses.Field):
                msg = f"An extra field is a name, a type and a field; found {(name, annotation, default)!r}."
                raise ValueError(msg)
            setattr(cls, name, default)
            cls.__annotations__[name] = annotation
        decorate: Callable[[type], type] = dataclasses.dataclass(**kwargs)
        return decorate(cls)

    return transform if cls is None else transform(cls)
