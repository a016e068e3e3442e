"""The older API for axis names: it sows the names into separate collections, `params_axes` beside `params`.

New code should box variables instead, with `with_logical_partitioning`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

from linen_core import struct
from linen_core._context import context_var
from linen_core.errors import ScopeVariableNotFoundError
from linen_core.filters import CollectionFilter, PRNGSequenceFilter, union_filters
from linen_core.module.base import Module
from linen_core.scope.scope import Scope, Variable
from linen_core.spmd.logical import (
    RulesFallback,
    is_logical_spec,
    logical_to_mesh,
    logical_to_mesh_axes,
)
from linen_core.spmd.logical import get_logical_axis_rules as get_axis_rules
from linen_core.spmd.logical import logical_axis_rules as axis_rules
from linen_core.spmd.logical import set_logical_axis_rules as set_axis_rules
from linen_core.spmd.logical import with_logical_constraint as with_sharding_constraint
from linen_core.transforms import In as ScanIn
from linen_core.transforms import Out as ScanOut
from linen_core.transforms import Target, map_variables, scan, vmap
from linen_core.transforms._packing import EMPTY
from linen_core.transforms.rematerialize import rematerialize
from linen_core.traverse_util import flatten_dict, unflatten_dict
from linen_core.typing import AxesPytree, LogicalPartitionSpec, Methods, PyTree

__all__ = [
    "AxisMetadata",
    "PartitionedVariable",
    "RulesFallback",
    "ScanIn",
    "ScanOut",
    "_add_axis_to_metadata",
    "_param_with_axes_sow_reduce_fn",
    "axis_rules",
    "get_axis_names",
    "get_axis_rules",
    "logical_to_mesh",
    "logical_to_mesh_axes",
    "param_with_axes",
    "remat",
    "scan_with_axes",
    "set_axis_rules",
    "variable_with_axes",
    "vmap_with_axes",
    "with_sharding_constraint",
]


@struct.dataclass
class AxisMetadata:
    """The logical names of a variable's axes; an entry of a collection like `params_axes`.

    Example:
      >>> AxisMetadata(names=("embed", "mlp")).names
      ('embed', 'mlp')
    """

    names: Any = struct.field(pytree_node=False)
    """A tuple of names, or a tree of tuples."""


def _param_with_axes_sow_reduce_fn(x: object, y: AxisMetadata) -> AxisMetadata:
    """Reduce function of `sow`: a module that is called twice must give the same names twice.

    Raises:
      TypeError: the new value is not an `AxisMetadata`.
      ValueError: its names are not those of the old value.
      AssertionError: the old value is something else.

    Example:
      >>> _param_with_axes_sow_reduce_fn((), AxisMetadata(("embed",)))
      AxisMetadata(names=('embed',))
    """
    if not isinstance(y, AxisMetadata):
        msg = f"The names of axes are sown as an AxisMetadata; found {y!r}."
        raise TypeError(msg)
    if isinstance(x, AxisMetadata):
        if x != y:
            msg = f"The axes of a variable were named twice with different names: found {y}, expected {x}."
            raise ValueError(msg)
    elif x:
        msg = f"The names of axes cannot be added to {x!r}. Sow them under a name of their own."
        raise AssertionError(msg)
    return y


def _surrounding_module(module: Module | None) -> Any:
    module = context_var.get().module if module is None else module
    if module is None:
        msg = "Found no module: call this inside a method of a module, or pass `module`."
        raise AssertionError(msg)
    return module


def param_with_axes(
    name: str,
    init_fn: Callable[..., Any],
    *init_args: object,
    axes: tuple[str, ...] | None = None,
    module: Module | None = None,
    **init_kwargs: Any,
) -> Any:
    """Create or read a parameter, name its axes and constrain its sharding.

    Args:
      name: name of the parameter.
      init_fn: as for `Module.param`.
      *init_args: as for `Module.param`.
      axes: a logical name for each axis; they are sown into 'params_axes'.
      module: the module; the module whose method is running if None.
      **init_kwargs: as for `Module.param`.

    Returns:
      The value of the parameter.

    Example:
      >>> class Scale(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return x * param_with_axes("scale", nn.initializers.ones, x.shape[-1:], axes=("embed",))
      >>> Scale().init(jax.random.key(0), jnp.ones((2, 3)))["params_axes"]
      {'scale_axes': AxisMetadata(names=('embed',))}
    """
    module = _surrounding_module(module)
    value = module.param(name, init_fn, *init_args, **init_kwargs)
    if axes is not None:
        value = with_sharding_constraint(value, PartitionSpec(*axes))
        _sow_axes(module, "params", name, axes)
    return value


def _sow_axes(module: Module, collection: str, name: str, axes: tuple[str, ...]) -> None:
    metadata = AxisMetadata(axes)
    module.sow(
        f"{collection}_axes", f"{name}_axes", metadata, reduce_fn=_param_with_axes_sow_reduce_fn
    )


class PartitionedVariable(Variable[Any]):
    """A reference to a variable whose value is constrained to a sharding on every access.

    Attributes:
      axes: a logical name for each axis, or None.
      fallback: how to handle a name that no rule maps.

    Example:
      >>> scope = nn.Scope({"cache": {"k": jnp.ones(2)}}, mutable=["cache"])
      >>> cached = PartitionedVariable(scope, "cache", "k", axes=("length",))
      >>> cached.value = cached.value + 1
      >>> cached.value
      Array([2., 2.], dtype=float32)
    """

    __slots__ = ("axes", "fallback")

    def __init__(
        self,
        scope: Scope,
        collection: str,
        name: str,
        axes: tuple[str, ...] | None = None,
        fallback: RulesFallback = RulesFallback.AXIS_IS_UNSHARDED,
    ) -> None:
        super().__init__(scope, collection, name, unbox=False)
        self.axes = axes
        self.fallback = fallback

    @property
    def value(self) -> Any:
        """The value of the variable, constrained to its sharding."""
        return self._constrained(self.scope.get_variable(self.collection, self.name))

    @value.setter
    def value(self, value: PyTree) -> None:
        self.scope.put_variable(self.collection, self.name, self._constrained(value))

    def _constrained(self, value: PyTree) -> Any:
        if self.axes is None:
            return value
        return with_sharding_constraint(value, self.axes, fallback=self.fallback)


def variable_with_axes(
    collection: str,
    name: str,
    init_fn: Callable[..., Any],
    *init_args: object,
    axes: tuple[str, ...] | None = None,
    module: Module | None = None,
    fallback: RulesFallback = RulesFallback.AXIS_IS_UNSHARDED,
    **init_kwargs: object,
) -> PartitionedVariable:
    """Create or read a variable, name its axes and constrain its sharding.

    Args:
      collection: name of the collection.
      name: name of the variable.
      init_fn: as for `Module.variable`.
      *init_args: as for `Module.variable`.
      axes: a logical name for each axis; they are sown into the collection ``f"{collection}_axes"``.
      module: the module; the module whose method is running if None.
      fallback: how to handle a name that no rule maps.
      **init_kwargs: as for `Module.variable`.

    Returns:
      A reference to the variable.

    Raises:
      ScopeVariableNotFoundError: the variable is missing, and its collection is immutable.

    Example:
      >>> class Cache(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         cached = variable_with_axes("cache", "k", jnp.zeros, x.shape, axes=("batch", "length"))
      ...         return x + cached.value
      >>> Cache().init(jax.random.key(0), jnp.ones((2, 3)))["cache_axes"]
      {'k_axes': AxisMetadata(names=('batch', 'length'))}
    """
    owner = _surrounding_module(module)
    scope = owner.scope
    scope.reserve(name)
    variable = PartitionedVariable(scope, collection, name, axes, fallback)
    if not scope.has_variable(collection, name):
        if not scope.is_mutable_collection(collection):
            raise ScopeVariableNotFoundError(name, collection, scope.path_text)
        variable.value = init_fn(*init_args, **init_kwargs)
    if axes is not None:
        _sow_axes(owner, collection, name, axes)
    return variable


def get_axis_names(axes_metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a collection like 'params_axes' to a tree of partition specs with the structure of 'params'.

    Args:
      axes_metadata: the collection.

    Returns:
      A nested dict of partition specs of logical names.

    Example:
      >>> get_axis_names({"dense": {"kernel_axes": AxisMetadata(("embed", "mlp"))}})
      {'dense': {'kernel': P('embed', 'mlp')}}
    """

    def spec(names: LogicalPartitionSpec) -> Any:
        return None if names is None else PartitionSpec(*names)

    return unflatten_dict(
        {
            (*path[:-1], path[-1].removesuffix("_axes")): jax.tree.map(
                spec, metadata.names, is_leaf=is_logical_spec
            )
            for path, metadata in flatten_dict(axes_metadata).items()
        }
    )


def _add_axis_to_metadata(
    fn: Any, axis_pos: Any, axis_name: str, axis_col: str = "params_axes"
) -> Any:
    """Insert the axis of a transform into the sown names of a module, and hide it inside the transform.

    The names are static data, so `scan` and `vmap` cannot map over them. The transform shares the collection of names
    between all steps, and this function adds the name of the new axis outside.

    Args:
      fn: the class that the transform returned.
      axis_pos: the position of the new axis.
      axis_name: its name.
      axis_col: the collection of the names.

    Example:
      >>> class Scale(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return x * param_with_axes("scale", nn.initializers.ones, x.shape, axes=("embed",))
      >>> mapped = nn.vmap(Scale, variable_axes={"params": 0, "params_axes": None}, split_rngs={"params": True})
      >>> mapped = _add_axis_to_metadata(mapped, axis_pos=0, axis_name="experts")
      >>> mapped().init(jax.random.key(0), jnp.ones((2, 3)))["params_axes"]["scale_axes"].names
      ('experts', 'embed')
    """
    position = getattr(axis_pos, "axis", axis_pos)

    def insert(names: LogicalPartitionSpec) -> Any:
        if names is None:
            return None
        return (*names[:position], axis_name, *names[position:])

    def remove(names: LogicalPartitionSpec) -> Any:
        if names is None:
            return None
        if names[position] != axis_name:
            msg = f"Expected the axis {axis_name!r} at {position} of {names}, found {names[position]!r}."
            raise ValueError(msg)
        return (*names[:position], *names[position + 1 :])

    # The caller: outside of `init` its collections are usually immutable.
    module = context_var.get().module
    return map_variables(
        fn,
        axis_col,
        mutable=module is None or module.is_mutable_collection(axis_col),
        trans_in_fn=lambda tree: _map_names(remove, tree),
        trans_out_fn=lambda tree: _map_names(insert, tree),
    )


def _map_names(fn: Callable[[Any], Any], tree: PyTree) -> Any:
    def change(leaf: object) -> Any:
        if not isinstance(leaf, AxisMetadata):
            return leaf
        return AxisMetadata(jax.tree.map(fn, leaf.names, is_leaf=is_logical_spec))

    return jax.tree.map(change, tree, is_leaf=lambda leaf: isinstance(leaf, AxisMetadata))


def scan_with_axes(
    target: Target,
    variable_axes: Mapping[CollectionFilter, Any] = EMPTY,
    variable_broadcast: CollectionFilter = False,
    variable_carry: CollectionFilter = False,
    split_rngs: Mapping[PRNGSequenceFilter, bool] = EMPTY,
    in_axes: AxesPytree = 0,
    out_axes: AxesPytree = 0,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
    axis_name: str = "layers",
    axes_collections: tuple[str, ...] = ("params",),
    data_transform: Callable[..., Any] | None = None,
    methods: Methods | None = None,
) -> Target:
    """Like `nn.scan`, but also name the scanned axis of the variables.

    Args:
      target: a module class, or a function whose first argument is a module.
      variable_axes: for each collection, the scanned axis; see `nn.scan`, also for the arguments not listed here.
      variable_broadcast: collections whose variables are the same in all steps.
      variable_carry: collections whose variables are passed from step to step.
      split_rngs: for each RNG stream, whether every step gets a different key.
      axis_name: logical name of the scanned axis.
      axes_collections: collections of variables whose axes are named.

    Example:
      >>> class Block(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, _):
      ...         return x * param_with_axes("scale", nn.initializers.ones, (3,), axes=("embed",)), None
      >>> Blocks = scan_with_axes(
      ...     Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=2
      ... )
      >>> Blocks().init(jax.random.key(0), jnp.ones(3), None)["params_axes"]
      {'scale_axes': AxisMetadata(names=('layers', 'embed'))}
    """
    named = tuple(f"{collection}_axes" for collection in axes_collections)
    scanned = scan(
        target,
        variable_axes=variable_axes,
        variable_broadcast=union_filters(variable_broadcast, named),
        variable_carry=variable_carry,
        split_rngs=split_rngs,
        in_axes=in_axes,
        out_axes=out_axes,
        length=length,
        reverse=reverse,
        unroll=unroll,
        data_transform=data_transform,
        methods=methods,
    )
    for collection in axes_collections:
        if collection in variable_axes:
            scanned = _add_axis_to_metadata(
                scanned, variable_axes[collection], axis_name, f"{collection}_axes"
            )
    return scanned


def vmap_with_axes(
    target: Target,
    variable_axes: Mapping[CollectionFilter, Any],
    split_rngs: Mapping[PRNGSequenceFilter, bool] = EMPTY,
    in_axes: AxesPytree = 0,
    out_axes: AxesPytree = 0,
    axis_size: int | None = None,
    axis_name: str | None = None,
    partitioning_axis_names: Mapping[Any, str] = EMPTY,
    spmd_axis_name: str | None = None,
    methods: Methods | None = None,
) -> Target:
    """Like `nn.vmap`, but also name the mapped axis of the variables.

    Args:
      target: a module class, or a function whose first argument is a module.
      variable_axes: for each collection, the mapped axis; see `nn.vmap`, also for the arguments not listed here.
      split_rngs: for each RNG stream, whether every index of the mapped axis gets a different key.
      partitioning_axis_names: for each collection, the logical name of the mapped axis.

    Example:
      >>> class Scale(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return x * param_with_axes("scale", nn.initializers.ones, (3,), axes=("embed",))
      >>> Experts = vmap_with_axes(
      ...     Scale,
      ...     variable_axes={"params": 0},
      ...     split_rngs={"params": True},
      ...     partitioning_axis_names={"params": "expert"},
      ... )
      >>> Experts().init(jax.random.key(0), jnp.ones((4, 3)))["params_axes"]
      {'scale_axes': AxisMetadata(names=('expert', 'embed'))}
    """
    axes: dict[Any, Any] = dict(variable_axes)
    axes.update({f"{name}_axes": None for name in partitioning_axis_names})
    mapped = vmap(
        target,
        variable_axes=axes,
        split_rngs=split_rngs,
        in_axes=in_axes,
        out_axes=out_axes,
        axis_size=axis_size,
        axis_name=axis_name,
        spmd_axis_name=spmd_axis_name,
        methods=methods,
    )
    for collection, name in partitioning_axis_names.items():
        if collection in axes:
            mapped = _add_axis_to_metadata(mapped, axes[collection], name, f"{collection}_axes")
    return mapped


def remat(
    target: Target,
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    concrete: bool = False,
    prevent_cse: bool = True,
    static_argnums: int | tuple[int, ...] = (),
    policy: Callable[..., bool] | None = None,
    methods: Methods | None = None,
) -> Target:
    """Like `nn.remat`, but static arguments are numbered without the module.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: the collections to bring inside; see `nn.remat`, also for the arguments not listed here.
      static_argnums: numbers of the arguments that are not arrays; the first argument after the module is number 0. The
        number of an argument that a call omits is ignored.

    Example:
      >>> class Block(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, train):
      ...         return nn.Dropout(0.5, deterministic=not train)(nn.Dense(3)(x))
      >>> Block = remat(Block, static_argnums=(1,))
      >>> y, _ = Block().init_with_output(jax.random.key(0), jnp.ones((2, 3)), False)
      >>> y.shape
      (2, 3)
    """
    options = {
        "variables": variables,
        "rngs": rngs,
        "concrete": concrete,
        "prevent_cse": prevent_cse,
        "static_argnums": static_argnums,
        "policy": policy,
    }
    return rematerialize(  # type: ignore[no-any-return]
        target, methods, options, skips_absent=True
    )
