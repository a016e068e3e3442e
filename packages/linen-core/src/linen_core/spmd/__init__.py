"""Sharding by names: logical axes, the rules that map them to a mesh, and constraints on arrays."""

from linen_core.spmd.logical import LogicallyPartitioned as LogicallyPartitioned
from linen_core.spmd.logical import RulesFallback as RulesFallback
from linen_core.spmd.logical import get_logical_axis_rules as get_logical_axis_rules
from linen_core.spmd.logical import logical_axis_rules as logical_axis_rules
from linen_core.spmd.logical import logical_to_mesh as logical_to_mesh
from linen_core.spmd.logical import logical_to_mesh_axes as logical_to_mesh_axes
from linen_core.spmd.logical import logical_to_mesh_sharding as logical_to_mesh_sharding
from linen_core.spmd.logical import set_logical_axis_rules as set_logical_axis_rules
from linen_core.spmd.logical import with_logical_constraint as with_logical_constraint
from linen_core.spmd.logical import with_logical_partitioning as with_logical_partitioning

__all__ = [
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
