"""Errors of lifted transforms and partitioned variables."""

from __future__ import annotations

from typing import Any

from linen_core.errors._base import LinenError, did_you_mean, listing

__all__ = [
    "JaxTransformError",
    "PartitioningUnspecifiedError",
    "TraceContextError",
    "TransformTargetError",
    "TransformedMethodReturnValueError",
    "UnknownAxisError",
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


class UnknownAxisError(LinenError, ValueError):
    """No rule maps a logical axis to a mesh.

    Attributes:
      names: the logical names of the array's axes.
      unknown: those without a rule.
      known: the names that have a rule.
    """

    def __init__(self, names: Any, unknown: Any, known: Any) -> None:
        self.names = tuple(names)
        self.unknown = tuple(unknown)
        self.known = tuple(known)
        hints = "".join(did_you_mean(name, self.known) for name in self.unknown)
        super().__init__(
            f"Cannot shard an array with axes {self.names}: no rule maps {', '.join(map(repr, self.unknown))}, only "
            f"{listing(self.known)}.{hints} Add a rule, with None for an axis that is not sharded."
        )
