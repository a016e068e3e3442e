"""Errors of lifted transforms and partitioned variables."""

from __future__ import annotations

from typing import Any

from linen_core.errors._base import LinenError

__all__ = [
    "JaxTransformError",
    "PartitioningUnspecifiedError",
    "TraceContextError",
    "TransformTargetError",
    "TransformedMethodReturnValueError",
    "UnmappedCollectionError",
]


class TraceContextError(LinenError):
    """Something was done at another level of JAX transforms than it must be."""


class JaxTransformError(LinenError):
    """A JAX transform was used on a module's method; the lifted ones of Linen carry variables along."""

    def __init__(self) -> None:
        super().__init__(
            "A JAX transform was applied to a function that uses a module. Use the transform of the same name of "
            "linen_core (nn.vmap, nn.scan, ...), which carries the variables along."
        )


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


class UnmappedCollectionError(LinenError, ValueError):
    """A collection was written inside of a lifted transform that was not told what to do with it.

    Attributes:
      transform: name of the transform.
      scope_path: path of the module.
      collections: names of the collections.
    """

    def __init__(self, transform: str, scope_path: str, collections: Any) -> None:
        self.transform = transform
        self.scope_path = scope_path
        self.collections = tuple(sorted(collections))
        names = ", ".join(map(repr, self.collections))
        super().__init__(
            f"Cannot bring {names} out of nn.{transform} at {scope_path}: the collection was written inside, and no "
            "argument says how it comes out. Name it in variable_axes, variable_broadcast or variable_carry."
        )
