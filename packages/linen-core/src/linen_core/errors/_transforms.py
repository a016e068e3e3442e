"""Errors of lifted transforms and partitioned variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax

from linen_core.errors._base import LinenError, below, did_you_mean, listing
from linen_core.errors._scopes import (
    InvalidRngError,
    ModifyScopeVariableError,
    ScopeCollectionNotFound,
)

__all__ = [
    "JaxTransformError",
    "MissingRngSplitError",
    "PartitioningUnspecifiedError",
    "ScanCarryError",
    "StaticArgumentError",
    "TraceContextError",
    "TracedFlagError",
    "TracedWriteError",
    "TransformAxisError",
    "TransformTargetError",
    "TransformedMethodReturnValueError",
    "UnknownAxisError",
    "UnknownMeshAxisError",
    "UnliftedCollectionError",
    "UnliftedWriteError",
    "UnmappedCollectionError",
]

_VARIABLES_IN = {
    "vmap": "variable_axes",
    "scan": "variable_axes, variable_broadcast or variable_carry",
    "while_loop": "carry_variables or broadcast_variables",
}
_VARIABLES_OUT = {
    **_VARIABLES_IN,
    "while_loop": "carry_variables",
    "map_variables": "mapped_collections with mutable=True, or in variables",
}
_SPLITS = ("vmap", "scan", "while_loop")
_CARRY_ADVICE = {
    "scan": (
        "Name the collection in variable_axes for variables of each step, or make the variables with a module that "
        "has it in variable_broadcast."
    ),
    "while_loop": "Make the variables before the loop, with the shapes and dtypes that a step writes.",
}


class TraceContextError(LinenError):
    """Something was done at another level of JAX transforms than it must be."""


class JaxTransformError(LinenError):
    """A JAX transform was used on a module's method; the lifted ones of Linen carry variables along."""

    def __init__(self) -> None:
        super().__init__(
            "A JAX transform was applied to a function that uses a module. Use the transform of the same name of "
            "linen_core (nn.vmap, nn.scan, ...), which carries the variables along."
        )


class TracedWriteError(JaxTransformError):
    """A traced value was written to a module that is outside the trace.

    Attributes:
      collection: name of the collection.
      name: name of the variable.
      scope_path: path of the module.
    """

    def __init__(self, collection: str, name: str, scope_path: str) -> None:
        self.collection = collection
        self.name = name
        self.scope_path = scope_path
        super().__init__()
        message = (
            f"Cannot write {name!r} at {collection}{below(scope_path)}: the value belongs to a JAX transform that was "
            "entered after the module's run began, and ends with it. Inside a transform of linen_core write through "
            "the module that the function gets as its first argument, not one from outside; in place of a plain JAX "
            "transform use the one of linen_core (nn.scan, nn.vmap, nn.remat, ...)."
        )
        self.args = (message,)


class StaticArgumentError(LinenError, ValueError):
    """The static arguments of a transform do not fit the method that is transformed.

    Attributes:
      transform: name of the transform.
      where: class, method and path of the module.
      reason: what does not fit.
    """

    def __init__(self, transform: str, where: str, reason: str) -> None:
        self.transform = transform
        self.where = where
        self.reason = reason
        super().__init__(
            f"Cannot call {where} under nn.{transform}: {reason}. Name only arguments that are hashable Python values "
            "in static_argnums, and count the module as number 0."
        )


class TracedFlagError(LinenError, jax.errors.TracerBoolConversionError):
    """A method needs the value of a Python argument that a transform passes as a traced array.

    Attributes:
      transform: name of the transform.
      where: class, method and path of the module.
      arguments: the Python values that are not static, rendered, by name.
    """

    def __init__(
        self,
        transform: str,
        where: str,
        arguments: Mapping[str, str],
        numbers: Mapping[str, int | None],
    ) -> None:
        self.transform = transform
        self.where = where
        self.arguments = dict(arguments)
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        known = tuple(number for number in numbers.values() if number is not None)
        keywords = tuple(name for name, number in numbers.items() if number is None)
        advice = [f"pass static_argnums={known} to nn.{transform}, where the module is number 0"]
        if keywords:
            named = f"pass static_argnames={keywords} to nn.{transform}"
            fields = f"make {' and '.join(keywords)} a field of the module"
            advice = [*advice[: len(known)], named if transform == "jit" else fields]
        message = (
            f"Cannot call {where} under nn.{transform}: the method uses the value of a Python argument, but arguments "
            f"that are not static become traced arrays. The Python values passed are {given}. For those it branches "
            f"on, {' and '.join(advice[:2])}."
        )
        TypeError.__init__(self, message)


class ScanCarryError(LinenError, TypeError):
    """A loop changes its carried variables: which they are, or their shapes and dtypes.

    Attributes:
      transform: name of the transform.
      scope_path: path of the module.
      created: variables that are created in the loop.
      changed: variables whose shape or dtype changes, with both.
    """

    def __init__(
        self, transform: str, scope_path: str, created: Iterable[str], changed: Iterable[str]
    ) -> None:
        self.transform = transform
        self.scope_path = scope_path
        self.created = tuple(created)
        self.changed = tuple(changed)
        if self.created:
            reason = f"the loop creates {listing(self.created)}, but a carried variable must exist before it"
        else:
            reason = f"a step changes {listing(self.changed)}"
        super().__init__(
            f"Cannot carry variables through nn.{transform} at {scope_path}: {reason}. {_CARRY_ADVICE[transform]}"
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
      where: class and path of the module.
    """

    def __init__(self, name: str, where: str) -> None:
        self.name = name
        self.where = where
        super().__init__(
            f"Cannot return a module or a variable from the transformed method {name!r} of {where}: it is bound to "
            "the inside of the transform. Return its value."
        )


class TransformTargetError(LinenError, TypeError):
    """A transform was given something else than a module class or a function that takes a module.

    Attributes:
      target: what was given, rendered.
    """

    def __init__(self, target: Any) -> None:
        self.target = repr(target)
        super().__init__(
            f"Cannot transform {target!r}: expected a module class or a function whose first argument is a module. "
            "For `lambda: Block(...)` pass the class, as in nn.scan(Block, ...), and its fields to what is returned."
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
            f"argument says how it comes out. Name it in {_VARIABLES_OUT.get(transform, 'variables')}."
        )


class UnliftedCollectionError(ScopeCollectionNotFound):
    """A module inside of a lifted transform reads from a collection that the transform leaves outside.

    Attributes:
      transform: name of the transform.
    """

    def __init__(self, transform: str, col_name: str, var_name: str, scope_path: str) -> None:
        self.transform = transform
        super().__init__(col_name, var_name, scope_path)

    def _reason(self) -> str:
        return (
            f"nn.{self.transform} does not bring the collection {self.col_name!r} inside. "
            f"Name it in {_VARIABLES_IN.get(self.transform, 'variables')}."
        )


class UnliftedWriteError(ModifyScopeVariableError):
    """A module inside of a lifted transform makes or writes a variable that the transform does not bring out.

    Attributes:
      transform: name of the transform.
    """

    def __init__(self, transform: str, col: str, variable_name: str, scope_path: str) -> None:
        super().__init__(col, variable_name, scope_path)
        self.transform = transform
        message = (
            f"Cannot write {variable_name!r} at {col}{below(scope_path)}: nn.{transform} does not bring the collection "
            f"{col!r} out. Name it in {_VARIABLES_OUT.get(transform, 'variables')}."
        )
        self.args = (message,)


class MissingRngSplitError(InvalidRngError):
    """A module inside of a lifted transform draws from an RNG stream that the transform leaves outside.

    Attributes:
      transform: name of the transform.
      stream: name of the stream.
      scope_path: path of the module.
      passed: whether the run has the stream. Without it the stream 'params' would serve, which the transform also
        leaves outside.
    """

    def __init__(
        self, transform: str, stream: str, scope_path: str, *, passed: bool = True
    ) -> None:
        self.transform = transform
        self.stream = stream
        self.scope_path = scope_path
        self.passed = passed
        advice = (
            f"split_rngs={{{stream!r}: True}} for keys of their own, or False for the same keys"
        )
        reason = f"nn.{transform} does not bring the stream inside"
        if not passed:
            reason = (
                f"no key was passed for it, and nn.{transform} does not bring the stream 'params' inside, which would "
                f"serve in its place. Pass rngs={{{stream!r}: jax.random.key(...)}} to `apply`, `init` or `bind`"
            )
        super().__init__(
            f"Cannot draw a key of stream {stream!r} in {scope_path}: {reason}. "
            + (f"Pass {advice}." if transform in _SPLITS else "Name it in rngs.")
        )


class TransformAxisError(LinenError, ValueError, IndexError, AssertionError):
    """A lifted transform is to map over an axis that an array does not have.

    Attributes:
      transform: name of the transform.
      argument: the argument that names the axis.
      axis: the axis.
      ndim: how many axes the array has, that of the transform counted.
      scope_path: path of the module, and of the variable if it is one.
    """

    def __init__(
        self, transform: str, argument: str, axis: int, ndim: int, scope_path: str
    ) -> None:
        self.transform = transform
        self.argument = argument
        self.axis = axis
        self.ndim = ndim
        self.scope_path = scope_path
        super().__init__(
            f"Cannot {transform} {scope_path} over axis {axis} of an array with {ndim} axes. Change {argument}."
        )


class UnknownAxisError(LinenError, ValueError):
    """No rule maps a logical axis to a mesh.

    Attributes:
      names: the logical names of the array's axes.
      unknown: those without a rule.
      known: the names that have a rule.
      where: class and path of the module, empty outside of modules.
    """

    def __init__(self, names: Any, unknown: Any, known: Any, where: str = "") -> None:
        self.names = tuple(names)
        self.where = where
        self.unknown = tuple(unknown)
        self.known = tuple(known)
        hints = "".join(did_you_mean(name, self.known) for name in self.unknown)
        missing = ", ".join(map(repr, self.unknown))
        super().__init__(
            f"Cannot shard an array with axes {self.names}{_within(where)}: no rule maps {missing}, only "
            f"{listing(self.known)}.{hints} Add a rule, with None for an axis that is not sharded."
        )


class UnknownMeshAxisError(LinenError, ValueError):
    """A rule, or a name of an axis, stands for a mesh axis that the mesh does not have.

    Attributes:
      names: the names of the array's axes.
      spec: the mesh axes they stand for.
      unknown: those that the mesh does not have.
      known: those it has.
      where: class and path of the module, empty outside of modules.
    """

    def __init__(self, names: Any, spec: Any, unknown: Any, known: Any, where: str = "") -> None:
        self.names = tuple(names)
        self.spec = tuple(spec)
        self.unknown = tuple(unknown)
        self.known = tuple(known)
        self.where = where
        hints = "".join(did_you_mean(name, self.known) for name in self.unknown)
        super().__init__(
            f"Cannot shard an array with axes {self.names}{_within(where)} as {self.spec}: the mesh has no axis "
            f"{', '.join(map(repr, self.unknown))}, only {listing(self.known)}.{hints} Change the rules, the names or "
            "the mesh."
        )


def _within(where: str) -> str:
    return f" in {where}" if where else ""
