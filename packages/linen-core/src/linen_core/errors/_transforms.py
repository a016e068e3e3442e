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
_SPLITTING = ("vmap", "scan", "while_loop")
_CARRY_ADVICE = {
    "scan": (
        "Name the collection in variable_axes for variables of each step, or create the variables with a module that "
        "has it in variable_broadcast."
    ),
    "while_loop": "Create the variables before the loop, with the shapes and dtypes that a step writes.",
}


class TraceContextError(LinenError):
    """An operation ran at the wrong level of JAX transforms."""


class JaxTransformError(LinenError):
    """A JAX transform was applied to a function that uses a module.

    The lifted transforms of Linen pass the variables of the module through; those of JAX do not know them.
    """

    def __init__(self) -> None:
        super().__init__(
            "A JAX transform was applied to a function that uses a module. Use the transform of the same name of "
            "linen_core (nn.vmap, nn.scan, ...), which passes the variables through."
        )


class TracedWriteError(JaxTransformError):
    """A traced value was written to a module that is outside of the trace."""

    def __init__(self, collection: str, name: str, scope_path: str) -> None:
        self.collection = collection  #: Name of the collection.
        self.name = name  #: Name of the variable.
        self.scope_path = scope_path  #: Path of the module.
        super().__init__()
        message = (
            f"Cannot write {name!r} at {collection}{below(scope_path)}: the value belongs to a JAX transform that "
            "began after `init`, `apply` or `bind`, and is invalid outside of it. Inside a transform of linen_core "
            "write through the module that the function gets as its first argument, not through one from outside. "
            "Replace a plain JAX transform by the one of linen_core (nn.scan, nn.vmap, nn.remat, ...)."
        )
        self.args = (message,)


class StaticArgumentError(LinenError, ValueError):
    """The static arguments of a transform do not match the transformed method."""

    def __init__(self, transform: str, where: str, reason: str) -> None:
        self.transform = transform  #: Name of the transform.
        self.where = where  #: Class, method and path of the module.
        self.reason = reason  #: Description of the mismatch.
        super().__init__(
            f"Cannot call {where} under nn.{transform}: {reason}. Name only arguments that are hashable Python values "
            "in static_argnums, and count the module as number 0."
        )


class TracedFlagError(LinenError, jax.errors.TracerBoolConversionError):
    """A method uses the value of a Python argument that a transform passes as a traced array."""

    def __init__(
        self,
        transform: str,
        where: str,
        arguments: Mapping[str, str],
        numbers: Mapping[str, int | None],
    ) -> None:
        self.transform = transform  #: Name of the transform.
        self.where = where  #: Class, method and path of the module.
        self.arguments = dict(arguments)  #: The values that are not static, rendered, by name.
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        positions = tuple(number for number in numbers.values() if number is not None)
        keywords = tuple(name for name, number in numbers.items() if number is None)
        advice = []
        if positions or not keywords:
            advice.append(
                f"pass static_argnums={positions} to nn.{transform}, where the module is number 0"
            )
        if keywords and transform == "jit":
            advice.append(f"pass static_argnames={keywords} to nn.jit")
        elif keywords:
            advice.append(f"make {' and '.join(keywords)} a field of the module")
        message = (
            f"Cannot call {where} under nn.{transform}: the method uses the value of a Python argument, but arguments "
            f"that are not static become traced arrays. The Python values passed are {given}. For those it branches "
            f"on, {' and '.join(advice)}."
        )
        # Not super().__init__: JAX's class expects a tracer and writes a message of its own.
        TypeError.__init__(self, message)


class ScanCarryError(LinenError, TypeError):
    """A step of a loop creates carried variables, or changes their shapes or dtypes."""

    def __init__(
        self, transform: str, scope_path: str, created: Iterable[str], changed: Iterable[str]
    ) -> None:
        self.transform = transform  #: Name of the transform.
        self.scope_path = scope_path  #: Path of the module.
        self.created = tuple(created)  #: Variables that are created in the loop.
        #: Variables that change, with the shapes and dtypes before and after.
        self.changed = tuple(changed)
        if self.created:
            reason = f"the loop creates {listing(self.created)}, but a carried variable must exist before it"
        else:
            reason = f"a step changes {listing(self.changed)}"
        super().__init__(
            f"Cannot carry variables through nn.{transform} at {scope_path}: {reason}. {_CARRY_ADVICE[transform]}"
        )


class PartitioningUnspecifiedError(LinenError, ValueError):
    """A transform adds an axis to a `Partitioned` variable, but does not name it."""

    def __init__(self, target: Any) -> None:
        #: The boxed variable, rendered.
        self.target = f"{type(target).__name__}(names={getattr(target, 'names', None)})"
        super().__init__(
            f"Cannot add an axis to {self.target}: the transform does not name it. Pass "
            "metadata_params={nn.PARTITION_NAME: <mesh axis or None>} to the transform."
        )


class TransformedMethodReturnValueError(LinenError, TypeError):
    """A transformed method returned a module or a variable."""

    def __init__(self, name: str, where: str) -> None:
        self.name = name  #: Name of the method.
        self.where = where  #: Class and path of the module.
        super().__init__(
            f"Cannot return a module or a variable from the transformed method {name!r} of {where}: it is valid only "
            "inside the transform. Return its value."
        )


class TransformTargetError(LinenError, TypeError):
    """A transform was given neither a module class nor a function that takes a module."""

    def __init__(self, target: Any) -> None:
        self.target = repr(target)  #: The argument, rendered.
        super().__init__(
            f"Cannot transform {target!r}: expected a module class or a function whose first argument is a module. "
            "For `lambda: Block(...)` pass the class, as in nn.scan(Block, ...), and pass the fields of Block to the "
            "class that nn.scan returns."
        )


class UnmappedCollectionError(LinenError, ValueError):
    """A collection was written inside a lifted transform, but no argument says how it comes out.

    Linen raises `UnliftedWriteError` at the write itself; this class remains for programs that catch it.
    """

    def __init__(self, transform: str, scope_path: str, collections: Any) -> None:
        self.transform = transform  #: Name of the transform.
        self.scope_path = scope_path  #: Path of the module.
        self.collections = tuple(sorted(collections))  #: Names of the collections.
        names = ", ".join(map(repr, self.collections))
        super().__init__(
            f"Cannot bring {names} out of nn.{transform} at {scope_path}: the collection was written inside, and no "
            f"argument says how it comes out. Name it in {_VARIABLES_OUT.get(transform, 'variables')}."
        )


class UnliftedCollectionError(ScopeCollectionNotFound):
    """A module inside a lifted transform reads a collection that the transform does not bring inside."""

    def __init__(self, transform: str, col_name: str, var_name: str, scope_path: str) -> None:
        self.transform = transform  #: Name of the transform.
        super().__init__(col_name, var_name, scope_path)

    def _reason(self) -> str:
        return (
            f"nn.{self.transform} does not bring the collection {self.col_name!r} inside. "
            f"Name it in {_VARIABLES_IN.get(self.transform, 'variables')}."
        )


class UnliftedWriteError(ModifyScopeVariableError):
    """A module inside a lifted transform writes a variable that the transform does not bring out."""

    def __init__(self, transform: str, col: str, variable_name: str, scope_path: str) -> None:
        super().__init__(col, variable_name, scope_path)
        self.transform = transform  #: Name of the transform.
        message = (
            f"Cannot write {variable_name!r} at {col}{below(scope_path)}: nn.{transform} does not bring the collection "
            f"{col!r} out. Name it in {_VARIABLES_OUT.get(transform, 'variables')}."
        )
        self.args = (message,)


class MissingRngSplitError(InvalidRngError):
    """A module inside a lifted transform uses an RNG stream that the transform does not bring inside."""

    def __init__(
        self, transform: str, stream: str, scope_path: str, *, passed: bool = True
    ) -> None:
        self.transform = transform  #: Name of the transform.
        self.stream = stream  #: Name of the stream.
        self.scope_path = scope_path  #: Path of the module.
        #: Whether the run has the stream. Without it the stream 'params' is the fallback.
        self.passed = passed
        reason = f"nn.{transform} does not bring the stream inside"
        if not passed:
            reason = (
                f"no key was passed for it, and nn.{transform} does not bring its fallback, the stream 'params', "
                f"inside. Pass rngs={{{stream!r}: jax.random.key(...)}} to `apply`, `init` or `bind`"
            )
        advice = "Name it in rngs"
        if transform in _SPLITTING:
            advice = f"Pass split_rngs={{{stream!r}: True}} for a key per step or index, or False for one key"
        super().__init__(
            f"Cannot draw a key of stream {stream!r} in {scope_path}: {reason}. {advice}."
        )


class TransformAxisError(LinenError, ValueError, IndexError, AssertionError):
    """A lifted transform maps over an axis that an array does not have."""

    def __init__(
        self, transform: str, argument: str, axis: int, ndim: int, scope_path: str
    ) -> None:
        self.transform = transform  #: Name of the transform.
        self.argument = argument  #: The argument that names the axis.
        self.axis = axis  #: The axis.
        self.ndim = ndim  #: Number of axes of the array, including the one of the transform.
        self.scope_path = scope_path  #: Path of the module or of the variable.
        super().__init__(
            f"Cannot {transform} {scope_path} over axis {axis} of an array with {ndim} axes. Change {argument}."
        )


class UnknownAxisError(LinenError, ValueError):
    """No rule maps a logical axis to a mesh axis."""

    def __init__(self, names: Any, unknown: Any, known: Any, where: str = "") -> None:
        self.names = tuple(names)  #: Logical names of the array's axes.
        self.where = where  #: Class and path of the module, empty outside of modules.
        self.unknown = tuple(unknown)  #: The names without a rule.
        self.known = tuple(known)  #: The names that have a rule.
        hints = "".join(did_you_mean(name, self.known) for name in self.unknown)
        missing = ", ".join(map(repr, self.unknown))
        super().__init__(
            f"Cannot shard an array with axes {self.names}{_within(where)}: no rule maps {missing}, only "
            f"{listing(self.known)}.{hints} Add a rule, with None for an axis that is not sharded."
        )


class UnknownMeshAxisError(LinenError, ValueError):
    """A rule or an axis name refers to a mesh axis that the mesh does not have."""

    def __init__(self, names: Any, spec: Any, unknown: Any, known: Any, where: str = "") -> None:
        self.names = tuple(names)  #: Names of the array's axes.
        self.spec = tuple(spec)  #: The mesh axes that the names map to.
        self.unknown = tuple(unknown)  #: The mesh axes that the mesh does not have.
        self.known = tuple(known)  #: The mesh axes that it has.
        self.where = where  #: Class and path of the module, empty outside of modules.
        hints = "".join(did_you_mean(name, self.known) for name in self.unknown)
        super().__init__(
            f"Cannot shard an array with axes {self.names}{_within(where)} as {self.spec}: the mesh has no axis "
            f"{', '.join(map(repr, self.unknown))}, only {listing(self.known)}.{hints} Change the rules, the names or "
            "the mesh."
        )


def _within(where: str) -> str:
    return f" in {where}" if where else ""
