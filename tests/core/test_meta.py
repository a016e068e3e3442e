"""Boxes: values with metadata about their axes, alone and in trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from linen_core import errors, meta
from linen_core.meta import PARTITION_NAME, AxisMetadata, Partitioned

axis_names = st.lists(st.sampled_from(["data", "model", None]), max_size=4).map(tuple)
boxed = st.builds(Partitioned, st.integers(), axis_names)
trees = st.recursive(
    st.one_of(st.integers(), boxed),
    lambda inner: st.one_of(
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.lists(inner, max_size=3),
        st.builds(Partitioned, inner, axis_names),
    ),
)


class Doubled(nn.struct.PyTreeNode, AxisMetadata):
    """A box whose content is half of its value."""

    content: object

    def unbox(self):
        return jax.tree.map(lambda x: 2 * x, self.content)

    def replace_boxed(self, val):
        return self.replace(content=val / 2)

    def add_axis(self, index, params):
        return self.replace(content=(self.content, index, params))

    def remove_axis(self, index, params):
        return self


def mesh():
    return Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("data", "model"))


def has_box(tree):
    return any(map(meta.is_axis_metadata, jax.tree.leaves(tree, is_leaf=meta.is_axis_metadata)))


@given(trees)
def test_an_unboxed_tree_has_no_boxes_and_the_same_leaves(tree):
    plain = meta.unbox(tree)
    assert not has_box(plain)
    assert jax.tree.leaves(plain) == jax.tree.leaves(tree)


@given(trees)
def test_replacing_the_values_keeps_the_boxes(tree):
    changed = meta.replace_boxed(tree, jax.tree.map(lambda x: x + 1, meta.unbox(tree)))
    assert changed == jax.tree.map(lambda x: x + 1, tree)
    assert jax.tree.structure(changed) == jax.tree.structure(tree)


@given(boxed, st.integers(0, 4))
def test_an_added_axis_can_be_removed(box, index):
    params = {PARTITION_NAME: "layers"}
    added = box.add_axis(index, params)
    assert added.names[index] == "layers"
    removed = added.remove_axis(index, params)
    assert removed.value == box.value
    assert removed.names == box.names + (None,) * (index - len(box.names))


@pytest.mark.parametrize(
    ("names", "index", "expected"),
    [
        (("in", "out"), 0, ("layers", "in", "out")),
        (("in", "out"), 1, ("in", "layers", "out")),
        (("in", "out"), 2, ("in", "out", "layers")),
        (("in",), 3, ("in", None, None, "layers")),
        ((), 0, ("layers",)),
    ],
)
def test_an_axis_is_added_at_its_index(names, index, expected):
    tree = {"w": Partitioned(1.0, names), "b": 2.0}
    added = meta.add_axis(tree, index, {PARTITION_NAME: "layers"})
    assert added["w"].names == expected
    assert added["b"] == 2.0


def test_removing_another_axis_is_an_error():
    tree = [Partitioned(1.0, ("in", "out"))]
    with pytest.raises(AssertionError) as caught:
        meta.remove_axis(tree, 1, {PARTITION_NAME: "layers"})
    assert str(caught.value) == (
        "Cannot remove axis 1 of ('in', 'out'): expected 'layers' there, found 'out'."
    )


@pytest.mark.parametrize("change", [meta.add_axis, meta.remove_axis])
def test_a_transform_must_name_its_axis(change):
    with pytest.raises(errors.PartitioningUnspecifiedError) as caught:
        change(Partitioned(1.0, ("in",)), 0, {})
    assert str(caught.value) == (
        "Cannot add an axis to Partitioned(names=('in',)): the transform does not name it. Pass "
        "metadata_params={nn.PARTITION_NAME: <mesh axis or None>} to the transform."
    )
    assert meta.add_axis(Partitioned(1.0, ("in",)), 0, {PARTITION_NAME: None}).names == (None, "in")


def test_trees_use_the_methods_of_other_boxes():
    tree = {"w": Doubled(3.0), "deep": Doubled(Partitioned(1.0, ())), "b": 1.0}
    assert meta.unbox(tree) == {"w": 6.0, "deep": 2.0, "b": 1.0}
    assert meta.replace_boxed(tree["w"], 8.0).content == 4.0
    assert meta.add_axis(Doubled(1.0), 2, {"any": 3}).content == (1.0, 2, {"any": 3})


@pytest.mark.parametrize("name", ["unbox", "replace_boxed", "add_axis", "remove_axis"])
def test_a_box_needs_all_its_methods(name):
    methods = ("unbox", "replace_boxed", "add_axis", "remove_axis")
    cls = type("Part", (AxisMetadata,), {m: lambda self: 0 for m in methods if m != name})
    with pytest.raises(TypeError, match=name):
        cls()


def test_map_axis_meta_replaces_boxes_alone():
    tree = {"w": Partitioned(jnp.ones(2), ("in",)), "b": 2.0, "none": None}
    assert meta.map_axis_meta(lambda box: box.names, tree) == {"w": ("in",), "b": 2.0, "none": None}


def test_an_array_is_unboxed_as_it_is():
    x = jnp.ones(3)
    assert meta.unbox(x) is x
    assert meta.unbox(None) is None


def test_a_partitioned_value_is_a_pytree_with_static_names():
    box = Partitioned({"a": 1, "b": 2}, ("data",), mesh())
    doubled = jax.tree.map(lambda x: 2 * x, box)
    assert (doubled.value, doubled.names, doubled.mesh) == ({"a": 2, "b": 4}, ("data",), mesh())
    assert jax.tree.structure(box) != jax.tree.structure(box.replace(names=("model",)))
    assert box.replace_boxed(3) == Partitioned(3, ("data",), mesh())


@pytest.mark.parametrize("own_mesh", [True, False])
def test_unboxing_constrains_the_sharding_to_the_mesh(own_mesh):
    x = jnp.zeros((8, 4))
    box = Partitioned(x, ("data", "model"), mesh() if own_mesh else None)
    expected = NamedSharding(mesh(), PartitionSpec("data", "model"))
    with jax.set_mesh(mesh()):
        y = jax.jit(lambda v: box.replace(value=v).unbox())(x)
        free = jax.jit(lambda v: box.replace(value=v).unbox(apply_constraint=False))(x)
    assert y.sharding.is_equivalent_to(expected, 2)
    assert not free.sharding.is_equivalent_to(expected, 2)


def test_unboxing_without_a_mesh_returns_the_value():
    x = jnp.zeros((8, 4))
    assert Partitioned(x, ("data", "model")).unbox() is x


@pytest.mark.filterwarnings("ignore:.with mesh:DeprecationWarning")
def test_the_mesh_around_is_found_and_a_legacy_one_is_warned_of():
    assert meta.get_global_mesh() is None
    with jax.set_mesh(mesh()):
        assert meta.get_global_mesh().axis_names == ("data", "model")
        assert meta.global_mesh_defined()
    with mesh(), pytest.warns(RuntimeWarning) as caught:
        assert meta.get_global_mesh() is None
    texts = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
    assert texts == [
        "The mesh entered as `with mesh:` is ignored: variables and activations are not sharded over it. Use "
        "`with jax.set_mesh(mesh):`, or pass `mesh=` where the sharding is given."
    ]


def test_specs_and_shardings_of_a_tree():
    tree = {"w": Partitioned(jnp.ones((4, 2)), ("data", None)), "b": jnp.ones(2), "note": "x"}
    specs = meta.get_partition_spec(tree)
    assert specs == {"w": PartitionSpec("data", None), "b": PartitionSpec(), "note": None}
    shardings = meta.get_sharding(tree, mesh())
    assert shardings["w"] == NamedSharding(mesh(), specs["w"])
    assert shardings["b"] == NamedSharding(mesh(), PartitionSpec())
    assert shardings["note"] is None


@pytest.mark.parametrize("names", [("data", "modle"), (("data", "modle"),), ("modle", None)])
def test_an_axis_that_the_mesh_lacks_is_an_error(names):
    box = Partitioned(jnp.ones((4, 2)), names)
    with pytest.raises(errors.UnknownMeshAxisError) as caught:
        box.get_sharding(mesh())
    assert caught.value.unknown == ("modle",)
    spec = PartitionSpec(*names)
    expected = errors.UnknownMeshAxisError(names, spec, ["modle"], ("data", "model"))
    assert str(caught.value) == str(expected)
    meta.check_mesh_axes(names, spec, None)  # nothing to check against


def test_a_boxed_initializer_boxes_the_array():
    init = meta.with_partitioning(nn.initializers.ones, ("data", None), mesh())
    box = init(jax.random.key(0), (4, 2))
    assert (box.names, box.mesh, box.value.shape) == (("data", None), mesh(), (4, 2))
    assert init.__wrapped__ is nn.initializers.ones
    assert init.__name__ == nn.initializers.ones.__name__


def test_equal_boxed_initializers_are_equal():
    def made(fn=nn.initializers.ones, names=("data",)):
        return meta.with_partitioning(fn, names)

    assert made() == made()
    assert hash(made()) == hash(made())
    assert made() != made(names=("model",))
    assert made() != made(fn=nn.initializers.zeros)


def test_the_place_of_a_running_module_is_named():
    class Inner(nn.Module):
        def __call__(self):
            return meta.whereabouts()

    class Outer(nn.Module):
        @nn.compact
        def __call__(self):
            return meta.whereabouts(), Inner(name="x")()

    assert Outer().apply({}) == ("Outer", "Inner at x")
    assert meta.whereabouts() == ""
