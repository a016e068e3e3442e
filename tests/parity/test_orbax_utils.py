"""Arguments for Orbax are those of flax.training.orbax_utils."""

import warnings

import flax.training.orbax_utils
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from linen_store import orbax_utils
from parity._compare import assert_same_error, assert_same_tree, needs_a_mesh

LIBRARIES = (orbax_utils, flax.training.orbax_utils)


def mesh(axis="x"):
    return Mesh(np.array(jax.devices()), (axis,))


def sharded():
    return jax.device_put(jnp.arange(16.0), NamedSharding(mesh(), PartitionSpec("x")))


def replicated():
    return jax.device_put(jnp.arange(3.0), NamedSharding(mesh(), PartitionSpec()))


TARGETS = {
    "arrays": lambda: {"a": jnp.ones(3), "b": [sharded(), replicated()]},
    "numpy": lambda: {"a": np.ones(3), "b": (2, 3.0)},
    "both": lambda: {"a": np.ones(3), "b": jnp.ones(2, jnp.bfloat16), "n": None},
    "specs": lambda: {"a": jax.ShapeDtypeStruct((16,), jnp.int8, sharding=sharded().sharding)},
    "nothing": dict,
}


def described(args):
    return jax.tree.map(lambda one: (type(one), vars(one)), args)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("function", ["restore_args_from_target", "save_args_from_target"])
def test_arguments(name, function):
    target = TARGETS[name]()
    ours, theirs = (lambda lib=lib: getattr(lib, function)(target) for lib in LIBRARIES)
    try:
        expected = theirs()
    except Exception:
        assert_same_error(ours, theirs)
    else:
        assert described(ours()) == described(expected)


def test_a_mesh_is_deprecated():
    found = []
    for lib in LIBRARIES:
        with pytest.warns(DeprecationWarning, match="deprecated"):
            args = lib.restore_args_from_target({"a": sharded()}, Mesh(mesh().devices[:2], ("x",)))
        found.append(described(args))
    assert found[0] == found[1]


@needs_a_mesh
def test_transformations_and_devices():
    target = {"a": {"b": None, "c": 1}, "d": {}, "e": None}
    for lib in LIBRARIES:
        assert lib.maybe_construct_transformations(target, {"x": 1}) == {"x": 1}
        assert [
            lib.is_multi_device_array(value) for value in (sharded(), replicated(), jnp.ones(2), 3)
        ] == [True, False, False, False]
    ours, theirs = (lib.maybe_construct_transformations(target, None) for lib in LIBRARIES)
    assert ours == theirs
    assert list(ours) == ["a/b", "e"]


@pytest.mark.parametrize("lib", LIBRARIES, ids=["linen", "flax"])
def test_a_checkpointer_takes_them(lib, tmp_path):
    target = {"a": sharded(), "b": np.arange(3)}
    with warnings.catch_warnings(action="ignore"), ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "c", target, save_args=lib.save_args_from_target(target))
        zeros = jax.tree.map(lambda x: x * 0, target)
        args = lib.restore_args_from_target(zeros)
        restored = checkpointer.restore(tmp_path / "c", item=zeros, restore_args=args)
    assert_same_tree(restored, target)
    assert restored["a"].sharding == target["a"].sharding
