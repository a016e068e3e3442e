"""Boxes around variables do what those of flax.core.meta do."""

from __future__ import annotations

from typing import Any

import flax.core.meta
import flax.errors
import flax.linen as fnn
import flax.struct
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import linen_core as nn
from linen_core import meta, struct
from parity import _compare as compare

LIBS = ((nn, meta, struct), (fnn, flax.core.meta, flax.struct))
AXES = st.sampled_from([None, "data", "model", ("data", "model")])
BOXES = st.lists(AXES, max_size=3).map(tuple)
VALUES = st.recursive(
    st.one_of(
        BOXES.map(lambda names: ("box", names)),
        st.integers(0, 3).map(lambda rank: ("array", rank)),
        BOXES.map(lambda names: ("box of box", names)),
        st.just(("text", "x")),
    ),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def _build(module, spec):
    if isinstance(spec, dict):
        return {name: _build(module, inner) for name, inner in spec.items()}
    kind, what = spec
    if kind == "text":
        return what
    if kind == "array":
        return np.ones((2,) * what, np.float32)
    value = np.ones((2,) * len(what), np.float32)
    if kind == "box of box":
        value = module.Partitioned({"inner": value}, what)
    return module.Partitioned(value, what)


def _show(tree):
    """Boxes as plain data, so that those of two libraries compare."""
    if isinstance(tree, dict):
        return {name: _show(inner) for name, inner in tree.items()}
    if hasattr(tree, "names"):
        return ("box", tree.names, tree.mesh, _show(tree.value))
    return tree


def _both(run):
    compare.assert_same_outcome(lambda: run(*LIBS[0]), lambda: run(*LIBS[1]))


@compare.parity_settings()
@hypothesis.given(VALUES)
def test_trees_of_boxes(spec):
    def run(lib, module, _):
        tree = _build(module, spec)
        bare = module.unbox(tree)
        numbered = jax.tree.map(lambda leaf: leaf if isinstance(leaf, str) else leaf * 2, bare)
        return (
            bare,
            _show(module.replace_boxed(tree, numbered)),
            lib.get_partition_spec(tree),
            _show(module.map_axis_meta(lambda box: box.names, tree)),
            [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)],
            [module.is_axis_metadata(leaf) for leaf in (tree, bare)],
        )

    _both(run)


@compare.parity_settings()
@hypothesis.given(
    VALUES, st.integers(0, 4), st.sampled_from([{}, {"axis": None}, {"axis": "data"}])
)
def test_axes_added_and_removed(spec, index, params):
    def run(_, module, __):
        given = {module.PARTITION_NAME if k == "axis" else k: v for k, v in params.items()}
        added = module.add_axis(_build(module, spec), index, given)
        return _show(added), _show(module.remove_axis(added, index, given))

    _both(run)


@compare.parity_settings(share=2)
@hypothesis.given(BOXES, st.integers(0, 3), AXES)
def test_an_axis_that_is_not_there_is_removed(names, index, name):
    def run(_, module, __):
        box = _build(module, ("box", names))
        return _show(box.remove_axis(index, {module.PARTITION_NAME: name}))

    _both(run)


def test_a_box_of_ones_own_goes_through_modules_and_transforms():
    def run(lib, module, structs):
        class Scaled(structs.PyTreeNode, module.AxisMetadata):
            value: Any
            log: tuple = structs.field(pytree_node=False, default=())

            def unbox(self):
                return self.value * 2

            def replace_boxed(self, val):
                return self.replace(value=val / 2)

            def add_axis(self, index, params):
                return self.replace(log=(*self.log, ("add", index, sorted(params))))

            def remove_axis(self, index, params):
                return self.replace(log=(*self.log, ("remove", index, sorted(params))))

        class Model(lib.Module):
            @lib.compact
            def __call__(self, x):
                w = self.param("w", lambda key: Scaled(jax.random.normal(key, (3,))))
                count = self.variable("state", "count", lambda: Scaled(jnp.zeros(3)))
                count.value = count.value + x
                return x * w + count.value

        Many = lib.vmap(
            Model,
            variable_axes={"params": 0, "state": 0},
            split_rngs={"params": True},
            metadata_params={"layer": 1},
        )
        x = jnp.arange(6.0).reshape(2, 3)
        variables = Many().init(jax.random.key(0), x)
        y, state = Many().apply(variables, x, mutable=["state"])
        boxes = (variables["params"]["w"], variables["state"]["count"], state["state"]["count"])
        return y, [box.value for box in boxes], [box.log for box in boxes]

    _both(run)


def test_initializers_of_boxes():
    def run(lib, module, _):
        made = lib.with_partitioning(jax.nn.initializers.normal(), (None, "model"))
        box = made(jax.random.key(1), (2, 3))
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("data", "model"))
        on_mesh = lib.with_partitioning(jax.nn.initializers.ones, ("data",), mesh=mesh)
        placed = on_mesh(jax.random.key(1), (2,))
        return (
            _show(box),
            placed.mesh is mesh,
            placed.unbox(),
            str(box.get_sharding(mesh).spec),
            str(lib.get_sharding({"w": box, "b": jnp.ones(2), "n": 3}, mesh)["w"].spec),
            lib.get_sharding({"n": 3}, mesh),
            module.global_mesh_defined(),
            _show(box.unbox(apply_constraint=False)),
        )

    _both(run)


@pytest.mark.parametrize("updates", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, 3])
def test_replacing_with_another_structure(updates):
    def run(_, module, __):
        tree = {"a": module.Partitioned(1, ("x",)), "b": 2}
        return _show(module.replace_boxed(tree, updates))

    _both(run)


def test_the_error_of_an_unnamed_axis_is_flaxs():
    assert issubclass(nn.errors.PartitioningUnspecifiedError, ValueError)
    assert nn.errors.PartitioningUnspecifiedError.__name__ == (
        flax.errors.PartitioningUnspecifiedError.__name__
    )


def test_a_box_is_never_taken_for_flaxs():
    """A function compiled for one library's box must not return it for the other's."""
    ours = jax.tree.structure(meta.Partitioned(1, ("a",)))
    theirs = jax.tree.structure(flax.core.meta.Partitioned(1, ("a",)))
    assert ours != theirs
