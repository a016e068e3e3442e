"""Dataclasses that are pytrees: their children, static fields and copies."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linen_core import struct
from linen_core.errors import StructFieldError


@struct.dataclass
class Point:
    x: Any
    y: Any
    label: str = struct.field(pytree_node=False, default="point")


class Node(struct.PyTreeNode):
    x: Any
    y: Any
    label: str = struct.field(pytree_node=False, default="point")


both = pytest.mark.parametrize("cls", [Point, Node])


@both
def test_children_are_the_fields_in_order_without_the_static_ones(cls):
    assert jax.tree.leaves(cls(1, {"b": 3, "a": 2}, "name")) == [1, 2, 3]


@both
def test_mapping_a_tree_keeps_the_static_fields(cls):
    assert jax.tree.map(lambda v: 2 * v, cls(1, 2, "name")) == cls(2, 4, "name")


@both
def test_static_fields_are_part_of_the_structure(cls):
    assert jax.tree.structure(cls(1, 2, "a")) == jax.tree.structure(cls(3, 4, "a"))
    assert jax.tree.structure(cls(1, 2, "a")) != jax.tree.structure(cls(1, 2, "b"))


@both
def test_jit_compiles_again_for_another_static_value(cls):
    labels = []

    @jax.jit
    def total(value):
        labels.append(value.label)
        return value.x + value.y

    sums = [total(cls(x, 1, label)) for x, label in [(1, "a"), (2, "a"), (3, "b"), (4, "a")]]
    assert [int(value) for value in sums] == [2, 3, 4, 5]
    assert labels == ["a", "b"]


@both
def test_paths_of_leaves_are_attributes(cls):
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(cls(1, {"k": 2}))]
    assert [jax.tree_util.keystr(path) for path in paths] == [".x", ".y['k']"]


def test_the_structures_of_two_classes_are_never_equal():
    def another():
        @struct.dataclass
        class Point:
            x: Any
            y: Any
            label: str = struct.field(pytree_node=False, default="point")

        return Point

    structures = [jax.tree.structure(cls(1, 2)) for cls in (Point, Node, another(), another())]
    for i, first in enumerate(structures):
        assert [first == second for second in structures] == [i == j for j in range(4)]


def test_branches_must_return_the_same_class():
    with pytest.raises(TypeError, match="same pytree structure"):
        jax.lax.cond(True, lambda: Point(1, 2), lambda: Node(1, 2))
    assert isinstance(jax.lax.cond(True, lambda: Point(1, 2), lambda: Point(3, 4)), Point)


def test_a_field_that_the_class_computes_itself_is_refused():
    class Total:
        x: int
        twice: int = dataclasses.field(init=False, default=0)

    with pytest.raises(
        StructFieldError, match=r"'twice' has init=False.*Make the field a property"
    ):
        struct.dataclass(Total)

    @struct.dataclass
    class Advised:
        x: int

        @property
        def twice(self):
            return 2 * self.x

    assert jax.tree.map(lambda v: v + 1, Advised(1)).twice == 4


@both
@given(x=st.integers(), y=st.lists(st.integers()), label=st.text())
def test_flattening_and_unflattening_gives_an_equal_value(cls, x, y, label):
    value = cls(x, y, label)
    assert jax.tree.unflatten(jax.tree.structure(value), jax.tree.leaves(value)) == value


@both
def test_fields_cannot_be_assigned(cls):
    value = cls(1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        value.x = 3
    assert value.x == 1


@both
def test_replace_copies(cls):
    value = cls(1, 2)
    assert value.replace(y=5, label="new") == cls(1, 5, "new")
    assert value == cls(1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        value.replace(z=3)


@both
def test_grad_returns_the_same_class(cls):
    gradient = jax.grad(lambda value: value.x * value.y)(cls(2.0, 3.0, "name"))
    assert gradient == cls(3.0, 2.0, "name")


def test_options_are_those_of_dataclasses():
    @struct.dataclass(kw_only=True, order=True)
    class Options:
        size: int

    assert Options(size=1) < Options(size=2)
    with pytest.raises(TypeError, match="positional argument"):
        Options(1)


def test_a_node_takes_options_as_class_arguments():
    class Options(struct.PyTreeNode, kw_only=True):
        first: int = 1
        second: int

    assert jax.tree.leaves(Options(second=2)) == [1, 2]


def test_a_class_may_be_mutable():
    @struct.dataclass(frozen=False)
    class Counter:
        count: int

    counter = Counter(1)
    counter.count += 1
    assert jax.tree.leaves(counter) == [2]


def test_field_keeps_metadata_default_and_factory():
    @struct.dataclass
    class Model:
        a: int = struct.field(metadata={"unit": "ms"}, default=3)
        b: list = struct.field(default_factory=list)
        c: str = struct.field(False, metadata={"unit": None}, default="")

    fields = {info.name: dict(info.metadata) for info in dataclasses.fields(Model)}
    assert fields["a"] == {"unit": "ms", "pytree_node": True}
    assert fields["b"] == {"pytree_node": True}
    assert fields["c"] == {"unit": None, "pytree_node": False}
    assert Model().a == 3
    assert Model().b is not Model().b


def test_subclasses_of_a_node_add_fields():
    class Colored(Node):
        color: str = struct.field(pytree_node=False, default="red")
        z: int = 3

    value = Colored(1, 2, "name", "blue")
    assert jax.tree.leaves(value) == [1, 2, 3]
    assert jax.tree.map(lambda v: -v, value) == Colored(-1, -2, "name", "blue", -3)


def test_decorating_twice_changes_nothing():
    assert struct.dataclass(Point) is Point
    assert struct.dataclass(Node) is Node


def test_a_subclass_of_a_struct_is_a_leaf_until_it_is_decorated():
    class Plain(Point):
        pass

    plain = Plain(1, 2)
    assert not struct.is_struct(plain)
    assert jax.tree.leaves(plain) == [plain]
    decorated = struct.dataclass(Plain)(1, 2)
    assert struct.is_struct(decorated)
    assert jax.tree.leaves(decorated) == [1, 2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(Point(1, 2), True), (Node(1, 2), True), (Point, False), (3, False), ({}, False)],
    ids=["dataclass", "node", "class", "number", "dict"],
)
def test_is_struct_recognises_instances(value, expected):
    assert struct.is_struct(value) is expected


def test_is_struct_type_recognises_classes():
    assert struct.is_struct_type(Point)
    assert struct.is_struct_type(Node)
    assert not struct.is_struct_type(struct.PyTreeNode)
    assert not struct.is_struct_type(dataclasses.make_dataclass("Plain", ["x"]))


def test_the_base_class_has_no_instances():
    with pytest.raises(NotImplementedError):
        struct.PyTreeNode()


def test_structs_nest_in_each_other_and_vmap():
    value = Node(Point(jnp.arange(3), jnp.ones(3)), None)
    out = jax.vmap(lambda v: v.replace(y=v.x.x * v.x.y))(value)
    assert out.y.tolist() == [0, 1, 2]
    assert isinstance(out.x, Point)


def test_instances_compare_and_hash_by_their_fields():
    assert Point(1, 2) == Point(1, 2)
    assert Point(1, 2) != Point(1, 2, "other")
    assert Point(1, 2) != Node(1, 2)
    assert len({Point(1, 2), Point(1, 2), Point(2, 2)}) == 2
    assert repr(Point(1, 2)) == "Point(x=1, y=2, label='point')"
