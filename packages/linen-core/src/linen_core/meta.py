"""Boxes: wrappers of variables that carry metadata about their axes."""

from __future__ import annotations

import abc
import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Generic, Self, TypeVar

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from linen_core import struct
from linen_core._context import context_var
from linen_core._jax_compat import ArrayImpl, Tracer, has_legacy_mesh
from linen_core.errors import PartitioningUnspecifiedError, UnknownMeshAxisError
from linen_core.typing import LogicalPartitionSpec, PyTree

__all__ = [
    "PARTITION_NAME",
    "AxisMetadata",
    "BoxedInitializer",
    "Partitioned",
    "add_axis",
    "check_mesh_axes",
    "get_global_mesh",
    "get_partition_spec",
    "get_sharding",
    "global_mesh_defined",
    "is_axis_metadata",
    "map_axis_meta",
    "remove_axis",
    "replace_boxed",
    "unbox",
    "whereabouts",
    "with_partitioning",
]

_A = TypeVar("_A")

PARTITION_NAME = "partition_name"
"""The key, in a transform's ``metadata_params``, of the logical name of the axis it adds."""


class AxisMetadata(abc.ABC, Generic[_A]):
    """A box around the value of a variable, with metadata about its axes.

    A subclass must be a pytree whose child is the boxed value. Lifted transforms that add an axis to the value
    (`vmap`, `scan`) call `add_axis` and `remove_axis` to keep the metadata up to date.

    Example:
      >>> import linen_core as nn
      >>> class Scaled(nn.struct.PyTreeNode, AxisMetadata):
      ...     value: object
      ...     def unbox(self):
      ...         return 2 * self.value
      ...     def replace_boxed(self, val):
      ...         return self.replace(value=val / 2)
      ...     def add_axis(self, index, params):
      ...         return self
      ...     def remove_axis(self, index, params):
      ...         return self
      >>> unbox({"w": Scaled(3.0)})
      {'w': 6.0}
    """

    @abc.abstractmethod
    def unbox(self) -> _A:
        """Return the boxed value."""

    @abc.abstractmethod
    def replace_boxed(self, val: PyTree) -> AxisMetadata[Any]:
        """Box another value with the same metadata."""

    @abc.abstractmethod
    def add_axis(self, index: int, params: dict[Any, Any]) -> Self:
        """Return the box with a new axis at ``index``, added by a transform with the given ``metadata_params``."""

    @abc.abstractmethod
    def remove_axis(self, index: int, params: dict[Any, Any]) -> Self:
        """Return the box without the axis at ``index`` that `add_axis` added."""


def is_axis_metadata(val: object) -> bool:
    """Return whether a value is a box.

    Example:
      >>> is_axis_metadata(Partitioned(1.0, names=())), is_axis_metadata(1.0)
      (True, False)
    """
    return isinstance(val, AxisMetadata)


def map_axis_meta(fn: Callable[[AxisMetadata[Any]], Any], tree: PyTree) -> Any:
    """Replace each box of a tree by ``fn(box)``, and keep all other leaves.

    Example:
      >>> map_axis_meta(lambda box: box.names, {"kernel": Partitioned(1.0, names=("in",)), "bias": 2.0})
      {'bias': 2.0, 'kernel': ('in',)}
    """
    return jax.tree.map(
        lambda node: fn(node) if isinstance(node, AxisMetadata) else node,
        tree,
        is_leaf=is_axis_metadata,
    )


def add_axis(tree: PyTree, index: int, params: dict[Any, Any]) -> Any:
    """Add an axis to the metadata of each box of a tree.

    Example:
      >>> add_axis({"w": Partitioned(1.0, names=("in",))}, 0, {PARTITION_NAME: "layers"})["w"].names
      ('layers', 'in')
    """
    return map_axis_meta(lambda box: box.add_axis(index, params), tree)


def remove_axis(tree: PyTree, index: int, params: dict[Any, Any]) -> Any:
    """Remove an axis from the metadata of each box of a tree.

    Example:
      >>> remove_axis({"w": Partitioned(1.0, names=("layers", "in"))}, 0, {PARTITION_NAME: "layers"})["w"].names
      ('in',)
    """
    return map_axis_meta(lambda box: box.remove_axis(index, params), tree)


def unbox(tree: PyTree) -> Any:
    """Replace each box of a tree by its value, including nested boxes.

    Example:
      >>> unbox({"kernel": Partitioned(1.0, names=("in",)), "bias": 2.0})
      {'bias': 2.0, 'kernel': 1.0}
    """
    if isinstance(tree, ArrayImpl | Tracer):  # the usual case, without the cost of a tree map
        return tree
    return map_axis_meta(lambda box: unbox(box.unbox()), tree)


def replace_boxed(tree: PyTree, updates: PyTree) -> Any:
    """Replace the values of a tree, and put them into the boxes where the tree has boxes.

    Args:
      tree: the tree with boxes.
      updates: the new values; a tree with the structure of ``unbox(tree)``.

    Example:
      >>> replace_boxed({"w": Partitioned(1.0, names=("in",)), "b": 2.0}, {"w": 3.0, "b": 4.0})
      {'b': 4.0, 'w': Partitioned(value=3.0, names=('in',), mesh=None)}
    """

    def update(node: PyTree, value: PyTree) -> Any:
        if isinstance(node, AxisMetadata):
            return node.replace_boxed(replace_boxed(node.unbox(), value))
        return value

    return jax.tree.map(update, tree, updates, is_leaf=is_axis_metadata)


def get_global_mesh() -> Any:
    """Return the mesh of the surrounding `jax.set_mesh`, or None.

    A mesh entered as ``with mesh:`` is ignored with a RuntimeWarning.

    Example:
      >>> get_global_mesh() is None
      True
    """
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.empty:
        return mesh
    if has_legacy_mesh():
        msg = (
            "The mesh entered as `with mesh:` is ignored: variables and activations are not sharded over it. Use "
            "`with jax.set_mesh(mesh):`, or pass `mesh=` where the sharding is given."
        )
        warnings.warn(msg, RuntimeWarning, stacklevel=3)
    return None


def global_mesh_defined() -> bool:
    """Return whether a mesh is set.

    Example:
      >>> global_mesh_defined()
      False
    """
    return get_global_mesh() is not None


def constrain(value: PyTree, spec: PartitionSpec | None, mesh: jax.sharding.Mesh | None) -> Any:
    """Shard arrays over a mesh, as far as the type of each mesh axis allows.

    The compiler heeds a constraint over automatic axes. Over explicit axes, arrays are resharded. Manual axes, those of
    a surrounding `jax.shard_map`, are left out: the program itself says what is where.

    Args:
      value: an array or a tree of arrays.
      spec: the mesh axes of each axis of the arrays; None to leave the choice to the compiler.
      mesh: the mesh; the surrounding one if None.

    Example:
      >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
      >>> with jax.set_mesh(mesh):
      ...     jax.typeof(constrain(jax.numpy.ones((4, 3)), PartitionSpec("data"), None)).sharding.spec
      P('data', None)
    """
    around: Any = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(around.axis_names, around.axis_types, strict=True))
    if mesh is not None and AxisType.Manual not in kinds.values():
        kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    elif mesh is not None:
        mesh = None  # the surrounding one says which axes are manual

    if spec is None:
        return jax.lax.with_sharding_constraint(value, None)

    def part(kind: AxisType) -> Any:
        axes = _restricted(spec, kinds, kind)
        return axes if mesh is None else NamedSharding(mesh, axes)

    if AxisType.Explicit in kinds.values():
        explicit = part(AxisType.Explicit)
        value = jax.tree.map(lambda x: jax.sharding.reshard(x, explicit), value)
    if AxisType.Auto in kinds.values():
        value = jax.lax.with_sharding_constraint(value, part(AxisType.Auto))
    return value


def _restricted(
    spec: PartitionSpec, kinds: Mapping[str, AxisType], kind: AxisType
) -> PartitionSpec:
    """Keep the mesh axes of one kind in a partition spec."""

    def keep(names: Any) -> Any:
        if isinstance(names, tuple):
            return tuple(name for name in names if kinds.get(name) is kind) or None
        return names if kinds.get(names) is kind else None

    return PartitionSpec(*map(keep, spec))


class Partitioned(struct.PyTreeNode, AxisMetadata[_A]):
    """A value with the name of a mesh axis, or None, for each of its axes.

    Example:
      >>> import numpy as np
      >>> Partitioned(np.ones((2, 3)), names=("data", None)).get_partition_spec()
      P('data', None)
    """

    value: Any
    """The boxed array, or a tree of arrays."""
    names: tuple[str | tuple[str, ...] | None, ...] = struct.field(pytree_node=False)
    """One mesh axis, several, or None for each axis of the value."""
    mesh: jax.sharding.Mesh | None = struct.field(default=None, pytree_node=False)
    """The mesh; the surrounding one if None."""

    def unbox(self, apply_constraint: bool = True) -> _A:
        """Return the value, constrained to its sharding if a mesh is set."""
        if not apply_constraint or not (self.mesh is not None or global_mesh_defined()):
            return self.value  # type: ignore[no-any-return]
        return constrain(self.value, self.get_partition_spec(), self.mesh)  # type: ignore[no-any-return]

    def replace_boxed(self, val: PyTree) -> Partitioned[Any]:
        """Box another value with the same names and mesh."""
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> Self:
        """Insert the transform's axis name at ``index``.

        Raises:
          PartitioningUnspecifiedError: ``params`` has no `PARTITION_NAME`.
        """
        names = list(self.names)
        names += [None] * (index - len(names))
        names.insert(index, self._partition_name(params))
        return self.replace(names=tuple(names))

    def remove_axis(self, index: int, params: dict[Any, Any]) -> Self:
        """Remove the transform's axis name at ``index``.

        Raises:
          PartitioningUnspecifiedError: ``params`` has no `PARTITION_NAME`.
          AssertionError: another name is at ``index``.
        """
        expected = self._partition_name(params)
        names = list(self.names)
        found = names.pop(index)
        if found != expected:
            msg = f"Cannot remove axis {index} of {self.names}: expected {expected!r} there, found {found!r}."
            raise AssertionError(msg)
        return self.replace(names=tuple(names))

    def _partition_name(self, params: dict[Any, Any]) -> Any:
        if PARTITION_NAME not in params:
            raise PartitioningUnspecifiedError(self)
        return params[PARTITION_NAME]

    def get_partition_spec(self) -> PartitionSpec:
        """Return the names as a partition spec.

        Example:
          >>> Partitioned(1.0, names=("data", None)).get_partition_spec()
          P('data', None)
        """
        return PartitionSpec(*self.names)

    def get_sharding(self, mesh: jax.sharding.Mesh) -> NamedSharding:
        """Return the sharding that the names describe on a mesh.

        Raises:
          UnknownMeshAxisError: a name is not an axis of the mesh.
        """
        spec = self.get_partition_spec()
        check_mesh_axes(self.names, spec, mesh)
        return NamedSharding(mesh, spec)

    def _placement(self, mesh: jax.sharding.Mesh) -> NamedSharding:
        """Return the sharding that `Module.lazy_init` creates the value with."""
        return self.get_sharding(mesh)


def whereabouts() -> str:
    """Return class and path of the module whose method is running, or an empty string outside of modules.

    Example:
      >>> whereabouts()
      ''
    """
    module = context_var.get().module
    if module is None:
        return ""
    kind = type(module).__name__
    path = "/".join(module.path) if module.scope is not None else ""
    return f"{kind} at {path}" if path else kind


def check_mesh_axes(
    names: LogicalPartitionSpec, spec: PartitionSpec, mesh: jax.sharding.Mesh | None
) -> None:
    """Check that a mesh has all axes that a partition spec names.

    Args:
      names: the axis names that the spec was built from, for the error message.
      spec: the spec.
      mesh: the mesh; None skips the check.

    Raises:
      UnknownMeshAxisError: the mesh lacks an axis.

    Example:
      >>> from jax.sharding import PartitionSpec
      >>> mesh = jax.make_mesh((1,), ("data",))
      >>> check_mesh_axes(("batch",), PartitionSpec("data"), mesh)
    """
    if mesh is None:
        return
    axes = [axis for axis in jax.tree.leaves(tuple(spec)) if isinstance(axis, str)]
    unknown = [axis for axis in axes if axis not in mesh.axis_names]
    if unknown:
        raise UnknownMeshAxisError(names, spec, unknown, mesh.axis_names, whereabouts())


@dataclasses.dataclass(frozen=True)
class BoxedInitializer:
    """An initializer that boxes its result.

    It is a frozen dataclass, because caches compare initializers: two with equal fields are equal.

    Example:
      >>> import jax
      >>> init = BoxedInitializer(jax.nn.initializers.zeros, Partitioned, ("data", None))
      >>> init == with_partitioning(jax.nn.initializers.zeros, ("data", None))
      True
    """

    fn: Callable[..., Any]
    """The initializer."""
    box: Callable[..., Any]
    """The class of the boxes."""
    names: tuple[Any, ...]
    """A name, or None, for each axis of the array that ``fn`` returns."""
    mesh: Any = None
    """The mesh; the surrounding one if None."""
    options: tuple[tuple[str, Any], ...] = ()
    """Further arguments for ``box``."""

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Call the initializer and box the result."""
        value = self.fn(*args, **kwargs)
        return self.box(value, self.names, mesh=self.mesh, **dict(self.options))

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self.fn

    @property
    def __name__(self) -> str:
        return str(getattr(self.fn, "__name__", "boxed"))


def with_partitioning(
    fn: Callable[..., Any],
    names: tuple[str | tuple[str, ...] | None, ...],
    mesh: jax.sharding.Mesh | None = None,
) -> Callable[..., Partitioned[Any]]:
    """Wrap an initializer to return its arrays in a `Partitioned` box.

    Args:
      fn: the initializer.
      names: one mesh axis, several, or None for each axis of the array that ``fn`` returns.
      mesh: the mesh; the surrounding one if None.

    Example:
      >>> init = with_partitioning(jax.nn.initializers.zeros, (None, "data"))
      >>> init(jax.random.key(0), (2, 3)).names
      (None, 'data')
    """
    return BoxedInitializer(fn, Partitioned, names, mesh)


def get_partition_spec(tree: PyTree) -> Any:
    """Return the tree with a partition spec for each box or array, and None for anything else.

    Example:
      >>> get_partition_spec({"kernel": Partitioned(1.0, names=("in",)), "note": "x"})
      {'kernel': P('in',), 'note': None}
    """
    return jax.tree.map(_leaf_spec, tree, is_leaf=is_axis_metadata)


def get_sharding(tree: PyTree, mesh: jax.sharding.Mesh) -> Any:
    """Return the tree with a sharding over ``mesh`` for each box or array, and None for anything else.

    Example:
      >>> mesh = jax.make_mesh((1,), ("data",))
      >>> get_sharding({"w": Partitioned(1.0, names=("data",))}, mesh)["w"].spec
      P('data',)
    """

    def leaf_sharding(leaf: object) -> Any:
        if hasattr(leaf, "get_sharding"):
            return leaf.get_sharding(mesh)
        spec = _leaf_spec(leaf)
        return None if spec is None else NamedSharding(mesh, spec)

    return jax.tree.map(leaf_sharding, tree, is_leaf=is_axis_metadata)


def _leaf_spec(leaf: object) -> PartitionSpec | None:
    if hasattr(leaf, "get_partition_spec"):
        return leaf.get_partition_spec()  # type: ignore[no-any-return]
    return PartitionSpec() if hasattr(leaf, "shape") else None
