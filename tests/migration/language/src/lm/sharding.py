import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import flax.linen as nn
from flax.linen import partitioning as nn_partitioning, spmd


def make_mesh(config):
    shape = config.mesh_shape
    devices = np.array(jax.devices()[: shape[0] * shape[1]]).reshape(shape)
    return Mesh(devices, ("data", "model"))


def state_sharding(abstract_state, mesh, rules):
    """The shardings of a state whose parameters carry logical names."""
    logical = nn.get_partition_spec(abstract_state)
    return spmd.logical_to_mesh_sharding(logical, mesh, rules)


def batch_sharding(mesh, rules):
    with nn_partitioning.axis_rules(rules):
        return NamedSharding(mesh, nn.logical_to_mesh_axes(("batch", "length")))


def replicated(mesh):
    return NamedSharding(mesh, PartitionSpec())
