"""Logical axis names, and the rules that map them to mesh axes.

A model names its axes by meaning ("batch", "embed"). The rules decide how they are sharded, so the same model runs on
any mesh.
"""

from __future__ import annotations

import collections
import contextlib
import enum
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import jax
from jax.sharding import NamedSharding, PartitionSpec

from linen_core import meta, struct
from linen_core._context import context_var, replaced_context
from linen_core.errors import UnknownAxisError
from linen_core.typing import (
    Array,
    ArrayPytree,
    AxisName,
    LogicalPartitionSpec,
    LogicalPartitionSpecPytree,
    LogicalRules,
)

__all__ = [
    "LogicalRules",
    "LogicallyPartitioned",
    "RulesFallback",
    "get_logical_axis_rules",
    "logical_axis_rules",
    "logical_to_mesh",
    "logical_to_mesh_axes",
    "logical_to_mesh_sharding",
    "set_logical_axis_rules",
    "with_logical_constraint",
    "with_logical_partitioning",
]

MeshAxis: TypeAlias = Any


class RulesFallback(enum.Enum):
    """How to handle a logical axis that no rule maps.

    Example:
      >>> [fallback.name for fallback in RulesFallback]
      ['AXIS_IS_UNSHARDED', 'RAISE_ERROR', 'NO_CONSTRAINT']
    """

    AXIS_IS_UNSHARDED = "axis_is_unsharded"
    """The axis is not sharded."""
    RAISE_ERROR = "raise_error"
    """An `UnknownAxisError` is raised."""
    NO_CONSTRAINT = "no_constraint"
    """The array is not constrained at all."""


def set_logical_axis_rules(rules: LogicalRules) -> None:
    """Set the current axis rules of this thread.

    Example:
      >>> set_logical_axis_rules([("batch", "data")])
      >>> get_logical_axis_rules()
      [('batch', 'data')]
      >>> set_logical_axis_rules(())
    """
    context_var.set(context_var.get()._replace(axis_rules=rules))


def get_logical_axis_rules() -> LogicalRules:
    """Return the current axis rules.

    Example:
      >>> with logical_axis_rules([("batch", "data")]):
      ...     get_logical_axis_rules()
      [('batch', 'data')]
    """
    return context_var.get().axis_rules


@contextlib.contextmanager
def logical_axis_rules(rules: LogicalRules) -> Iterator[None]:
    """Set the current axis rules inside a `with` block.

    Example:
      >>> with logical_axis_rules([("batch", "data"), ("features", None)]):
      ...     logical_to_mesh_axes(("batch", "features"))
      P('data', None)
    """
    with replaced_context(axis_rules=rules):
        yield


_UNASSIGNED = object()


def _assign(
    names: Sequence[str | None] | None, rules: LogicalRules | None
) -> list[MeshAxis] | None:
    """Assign mesh axes to each name.

    A mesh axis can shard only one axis of an array. A rule is therefore skipped if another axis already uses one of its
    mesh axes.
    """
    if names is None:
        return None
    if rules is None:
        rules = get_logical_axis_rules()
    counts = collections.Counter(name for name in names if isinstance(name, str))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        msg = f"Cannot shard an array with axes {tuple(names)}: {twice} occur twice. Give each axis a different name."
        raise ValueError(msg)
    if not isinstance(rules, tuple | list):
        msg = f"Axis rules must be a list or tuple of pairs (logical axis, mesh axis); found {rules!r}."
        raise ValueError(msg)
    assigned = [_UNASSIGNED if isinstance(name, str) else name for name in names]
    for name, mesh_axes in rules:
        if name in names:
            position = list(names).index(name)
            if assigned[position] is _UNASSIGNED and not _used(mesh_axes) & _used(assigned):
                assigned[position] = mesh_axes
    return assigned


def _used(axes: AxisName | Sequence[object]) -> set[Any]:
    return set(jax.tree.leaves(axes)) - {_UNASSIGNED, PartitionSpec.UNCONSTRAINED, None}


def logical_to_mesh_axes(
    array_dim_names: Sequence[str | None] | None, rules: LogicalRules | None = None
) -> PartitionSpec | None:
    """Map the logical names of an array's axes to a partition spec over a mesh.

    Rules are tried in order. A rule is skipped if another axis of the array already uses one of its mesh axes. A name
    that no rule maps is not sharded.

    Args:
      array_dim_names: a name, or None, for each axis; or None for an array without names.
      rules: the rules; the current rules if None.

    Raises:
      ValueError: a name occurs twice, or the rules are not a list or tuple.

    Example:
      >>> logical_to_mesh_axes(("batch", "heads"), [("batch", ("data", "fsdp")), ("heads", "model")])
      P(('data', 'fsdp'), 'model')
    """
    assigned = _assign(array_dim_names, rules)
    if assigned is None:
        return None
    return PartitionSpec(*(None if axis is _UNASSIGNED else axis for axis in assigned))


def logical_to_mesh(tree: LogicalPartitionSpecPytree, rules: LogicalRules | None = None) -> Any:
    """Map each partition spec of a tree from logical names to mesh axes; see `logical_to_mesh_axes`.

    Example:
      >>> from jax.sharding import PartitionSpec
      >>> logical_to_mesh({"w": PartitionSpec("embed", "mlp")}, rules=[("mlp", "model")])
      {'w': P(None, 'model')}
    """
    return jax.tree.map(
        lambda spec: logical_to_mesh_axes(spec, rules), tree, is_leaf=_is_partition_spec
    )


def logical_to_mesh_sharding(
    tree: LogicalPartitionSpecPytree, mesh: jax.sharding.Mesh, rules: LogicalRules | None = None
) -> Any:
    """Map each partition spec of logical names in a tree to a sharding over ``mesh``.

    Raises:
      UnknownMeshAxisError: a rule names an axis that the mesh does not have.

    Example:
      >>> from jax.sharding import PartitionSpec
      >>> mesh = jax.make_mesh((1,), ("model",))
      >>> tree = {"w": PartitionSpec("embed", "mlp")}
      >>> logical_to_mesh_sharding(tree, mesh, rules=[("mlp", "model")])["w"].spec
      P(None, 'model')
    """
    return jax.tree.map(
        lambda names: _sharding_of(names, mesh, rules), tree, is_leaf=_is_partition_spec
    )


def _sharding_of(
    names: LogicalPartitionSpec, mesh: jax.sharding.Mesh, rules: LogicalRules | None
) -> NamedSharding:
    spec = logical_to_mesh_axes(names, rules) or PartitionSpec()
    meta.check_mesh_axes(names, spec, mesh)
    return NamedSharding(mesh, spec)


def _is_partition_spec(value: object) -> bool:
    return isinstance(value, PartitionSpec)


def is_logical_spec(value: object) -> bool:
    """Return whether a value names the axes of one array: a partition spec, None, or a tuple of names and Nones."""
    if isinstance(value, PartitionSpec) or value is None:
        return True
    return isinstance(value, tuple) and all(
        isinstance(name, str) or name is None or name is PartitionSpec.UNCONSTRAINED
        for name in value
    )


def with_logical_constraint(
    x: ArrayPytree,
    logical_axis_resources: LogicalPartitionSpecPytree,
    rules: LogicalRules | None = None,
    mesh: jax.sharding.Mesh | None = None,
    fallback: RulesFallback = RulesFallback.AXIS_IS_UNSHARDED,
) -> Any:
    """Constrain the sharding of arrays by the logical names of their axes.

    Without rules or without a mesh, the arrays are returned unchanged.

    Args:
      x: an array or a tree of arrays.
      logical_axis_resources: a tuple of names for each array, in a tree like ``x``.
      rules: the rules; the current rules if None.
      mesh: the mesh; the surrounding one if None.
      fallback: how to handle a name that no rule maps.

    Raises:
      UnknownAxisError: no rule maps a name, and ``fallback`` is ``RAISE_ERROR``.
      UnknownMeshAxisError: a rule names an axis that the mesh does not have.
      ValueError: a name occurs twice.

    Example:
      >>> from jax.sharding import AxisType
      >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
      >>> rules = [("batch", "data")]
      >>> constrain = lambda x: with_logical_constraint(x, ("batch", "embed"), rules, mesh)
      >>> jax.jit(constrain)(jnp.ones((4, 3))).shape
      (4, 3)
    """
    if rules is None:
        rules = get_logical_axis_rules()
    if not rules or logical_axis_resources is None:
        return x
    constrain = functools.partial(_constrain, rules=rules, mesh=mesh, fallback=fallback)
    return jax.tree.map(constrain, logical_axis_resources, x, is_leaf=is_logical_spec)


def _constrain(
    names: LogicalPartitionSpec,
    x: Array,
    *,
    rules: LogicalRules,
    mesh: jax.sharding.Mesh | None,
    fallback: RulesFallback,
) -> Any:
    assigned = _assign(names, rules)
    if assigned is not None and any(axis is _UNASSIGNED for axis in assigned):
        if fallback is RulesFallback.NO_CONSTRAINT:
            return x
        if fallback is RulesFallback.RAISE_ERROR:
            unknown = [
                name for name, axis in zip(names, assigned, strict=True) if axis is _UNASSIGNED
            ]
            raise UnknownAxisError(names, unknown, [name for name, _ in rules], meta.whereabouts())
        assigned = [None if axis is _UNASSIGNED else axis for axis in assigned]
    if mesh is None and not meta.global_mesh_defined():
        return x
    spec = None if assigned is None else PartitionSpec(*assigned)
    if spec is not None:
        meta.check_mesh_axes(names, spec, meta.get_global_mesh() if mesh is None else mesh)
    return meta.constrain(x, spec, mesh)


class LogicallyPartitioned(meta.Partitioned[Any]):  # noqa: PLW1641 - the dataclass adds its hash
    """A value with a logical name, or None, for each of its axes.

    Two boxes are equal if their values are equal; names, mesh and rules are ignored.

    Example:
      >>> import jax.numpy as jnp
      >>> box = LogicallyPartitioned(jnp.ones((2, 3)), names=("embed", "mlp"))
      >>> box.get_partition_spec()
      P('embed', 'mlp')
    """

    rules: LogicalRules | None = struct.field(default=None, pytree_node=False)
    """Rules for this value; the current rules at the time of `unbox` if None."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self is other or (self.value,) == (other.value,))

    def _placement(self, mesh: jax.sharding.Mesh) -> NamedSharding:
        names: Any = self.names
        return _sharding_of(names, mesh, self.rules)

    def unbox(self, apply_constraint: bool = True) -> Any:
        """Return the value, constrained to its sharding if a mesh is set."""
        if not apply_constraint or not (self.mesh is not None or meta.global_mesh_defined()):
            return self.value
        spec = self.get_partition_spec()
        return with_logical_constraint(self.value, spec, rules=self.rules, mesh=self.mesh)


def with_logical_partitioning(
    fn: Callable[..., Any],
    names: tuple[str | None, ...],
    mesh: jax.sharding.Mesh | None = None,
    rules: LogicalRules | None = None,
) -> Callable[..., LogicallyPartitioned]:
    """Wrap an initializer to return its arrays in a `LogicallyPartitioned` box.

    Args:
      fn: the initializer.
      names: a logical name, or None, for each axis of the array that ``fn`` returns.
      mesh: the mesh; the surrounding one if None.
      rules: rules for this value; the current rules at the time of `unbox` if None.

    Example:
      >>> init = with_logical_partitioning(jax.nn.initializers.zeros, ("embed", "mlp"))
      >>> init(jax.random.key(0), (2, 3)).names
      ('embed', 'mlp')
    """
    options = (("rules", rules),)
    return meta.BoxedInitializer(fn, LogicallyPartitioned, names, mesh, options)
