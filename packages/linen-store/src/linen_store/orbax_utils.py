"""Arguments for Orbax checkpointers, with the names of ``flax.training.orbax_utils``.

`linen_store.save` and `linen_store.restore` need no arguments for each array.
"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np

from linen_core.typing import PyTree

__all__ = [
    "is_multi_device_array",
    "maybe_construct_transformations",
    "restore_args_from_target",
    "save_args_from_target",
]


def is_multi_device_array(value: object) -> bool:
    """Return whether a value is an array of which no device holds the whole.

    Example:
      >>> is_multi_device_array(jax.numpy.ones(3))
      False
    """
    return isinstance(value, jax.Array) and not value.is_fully_replicated


def save_args_from_target(target: PyTree) -> Any:
    """Return the arguments with which an Orbax checkpointer saves a pytree: an ``SaveArgs`` for each leaf.

    Example:
      >>> type(save_args_from_target({"w": np.zeros(2)})["w"]).__name__
      'SaveArgs'
    """
    import orbax.checkpoint as ocp  # type: ignore[import-untyped]

    return jax.tree.map(lambda _: ocp.SaveArgs(), target)


def maybe_construct_transformations(target: PyTree, transforms: PyTree | None) -> Any:
    """Return the transformations of Orbax that let a restore keep the entries of a target that are None.

    Args:
      target: the pytree to restore into.
      transforms: returned unchanged, unless it is None.

    Returns:
      A dict from paths, joined by ``/``, to transformations.

    Example:
      >>> list(maybe_construct_transformations({"a": {"b": None, "c": 1}}, None))
      ['a/b']
    """
    import orbax.checkpoint as ocp

    if transforms is not None:
        return transforms
    flat = ocp.utils.to_flat_dict(target, sep="/", keep_empty_nodes=True)
    return {name: ocp.Transform(use_fallback=True) for name, leaf in flat.items() if leaf is None}


def restore_args_from_target(target: PyTree, mesh: jax.sharding.Mesh | None = None) -> Any:
    """Return the arguments with which an Orbax checkpointer restores arrays with the sharding of a target.

    Args:
      target: a pytree of the structure that was saved, with arrays, numpy arrays or `jax.ShapeDtypeStruct`.
      mesh: replaces the mesh of the shardings. Deprecated: make the arrays of ``target`` on the mesh.

    Returns:
      A pytree of ``RestoreArgs``. If no leaf has a sharding, all leaves are restored as numpy arrays.

    Example:
      >>> args = restore_args_from_target({"w": jax.numpy.ones(3)})
      >>> type(args["w"]).__name__, args["w"].dtype
      ('ArrayRestoreArgs', dtype('float32'))
    """
    import orbax.checkpoint as ocp

    shardings = jax.tree.map(lambda leaf: getattr(leaf, "sharding", None), target)
    if not jax.tree.leaves(shardings):
        return jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), target)
    if mesh is not None:
        msg = "The argument `mesh` is deprecated. Make the arrays of `target` on the mesh instead."
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        shardings = jax.tree.map(
            lambda sharding: jax.sharding.NamedSharding(mesh, sharding.spec), shardings
        )
    return ocp.checkpoint_utils.construct_restore_args(target, shardings, set_global_shape=False)
