"""Dataclass pytrees do what those of flax.struct do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import flax.serialization
import flax.struct
import hypothesis
import jax
import jax.numpy as jnp
import pytest
from hypothesis import strategies as st

import linen_store.serialization
from linen_core import struct
from parity import _compare as compare
from parity._programs import collect

T = TypeVar("T")
PROGRAMS: dict[str, Callable[[Any], Any]] = {}
program = collect(PROGRAMS)


@program
def tree_operations(lib):
    @lib.dataclass
    class Point:
        x: Any
        y: Any
        label: str = lib.field(pytree_node=False, default="here")

    point = Point(1.0, {"a": [2.0, 3.0]})
    doubled = jax.tree.map(lambda v: 2 * v, point)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(point)]
    moved = point.replace(y=4.0, label="there")
    return (
        dataclasses.asdict(doubled),
        jax.tree.leaves(point),
        paths,
        dataclasses.asdict(moved),
        str(jax.tree.map(jnp.shape, point)),
        repr(point).rsplit(".", 1)[-1],
        point == Point(1.0, {"a": [2.0, 3.0]}),
        jax.tree.structure(point) == jax.tree.structure(moved),
        jax.tree.structure(point) == jax.tree.structure(doubled),
    )


@program
def the_mark_that_programs_ask_for(lib):
    class Plain:
        x: int

    made = lib.dataclass(Plain)
    node = type("Node", (lib.PyTreeNode,), {"__annotations__": {"x": int}})
    return [hasattr(kind, "_flax_dataclass") for kind in (lib.PyTreeNode, made, node)], (
        lib.dataclass(made) is made
    )


@program
def static_fields_decide_when_jit_traces_again(lib):
    @lib.dataclass
    class State:
        value: Any
        power: int = lib.field(pytree_node=False)

    traces = []

    @jax.jit
    def run(state):
        traces.append(state.power)
        return state.replace(value=state.value**state.power)

    results = [run(State(jnp.float32(3), power)).value for power in (1, 2, 1, 2)]
    return results, traces


@program
def inheritance(lib):
    @lib.dataclass
    class Base:
        a: Any
        b: Any = lib.field(pytree_node=False, default=1)

    @lib.dataclass
    class Child(Base):
        c: Any = 2
        b: Any = 5

    child = Child(0)
    return jax.tree.leaves(child), jax.tree.leaves(Base(0)), dataclasses.asdict(child.replace(a=9))


@program
def nodes(lib):
    class Node(lib.PyTreeNode):
        a: Any
        b: str = lib.field(pytree_node=False, default="x")

        def total(self):
            return self.a + 1

    class Child(Node):
        c: Any = None

    child = Child(1, c=2)
    return (
        jax.tree.leaves(child),
        child.total(),
        dataclasses.asdict(child.replace(b="y")),
        isinstance(child, lib.PyTreeNode),
        [f.name for f in dataclasses.fields(Child)],
    )


@program
def keyword_only_nodes(lib):
    class Base(lib.PyTreeNode, kw_only=True):
        a: Any = 1
        b: Any

    class Child(Base):
        c: Any

    return dataclasses.asdict(Child(3, b=4)), dataclasses.asdict(Base(b=2))


@program
def keyword_only_is_enforced(lib):
    class Base(lib.PyTreeNode, kw_only=True):
        a: Any

    return Base(1)


@program
def generic_nodes(lib):
    class Box(lib.PyTreeNode, Generic[T]):
        value: T

    return dataclasses.asdict(Box[int](3)), jax.tree.leaves(Box("s"))


@program
def decorated_twice_and_with_arguments(lib):
    @lib.dataclass(kw_only=True, eq=False)
    class A:
        x: Any
        y: Any = 3

    again = lib.dataclass(A)
    return again is A, dataclasses.asdict(A(x=1)), A(x=1) == A(x=1)


@program
def fields_are_frozen(lib):
    @lib.dataclass
    class A:
        x: Any

    A(1).x = 2


@program
def not_frozen_when_asked(lib):
    @lib.dataclass(frozen=False)
    class A:
        x: Any

    a = A(1)
    a.x = 2
    return dataclasses.asdict(a), jax.tree.leaves(a)


@program
def methods_properties_and_class_variables_stay(lib):
    @lib.dataclass
    class A:
        x: Any
        count = 7

        @property
        def twice(self):
            return 2 * self.x

        @classmethod
        def make(cls):
            return cls(5)

        @staticmethod
        def one():
            return 1

    return A.make().twice, A.one(), A(1).count, [f.name for f in dataclasses.fields(A)]


@program
def post_init_runs_and_sees_leaves(lib):
    seen = []

    @lib.dataclass
    class A:
        x: Any

        def __post_init__(self):
            seen.append(type(self.x).__name__)

    jax.tree.map(str, A(1))
    return seen[0]


@program
def replace_of_an_unknown_field(lib):
    @lib.dataclass
    class A:
        x: Any

    return A(1).replace(y=2)


@program
def missing_argument(lib):
    @lib.dataclass
    class A:
        x: Any

    return A()


@program
def metadata_of_fields(lib):
    @lib.dataclass
    class A:
        x: Any = lib.field(metadata={"unit": "m"})
        y: Any = lib.field(pytree_node=False, default_factory=tuple, metadata={"unit": "s"})

    return [sorted(f.metadata.items()) for f in dataclasses.fields(A)], dataclasses.asdict(A(1))


@program
def hashes_and_copies(lib):
    @lib.dataclass
    class A:
        x: Any

    a = A((1, 2))
    return hash(a) == hash(A((1, 2))), copy.deepcopy(a) == a, copy.copy(a) == a, {a: 1}[A((1, 2))]


@program
def nested_and_as_a_carry(lib):
    @lib.dataclass
    class Inner:
        x: Any

    @lib.dataclass
    class Outer:
        inner: Inner
        n: Any

    start = Outer(Inner(jnp.float32(1)), jnp.int32(0))

    def step(carry, _):
        inner = carry.inner.replace(x=carry.inner.x * 2)
        return carry.replace(inner=inner, n=carry.n + 1), carry.n

    end, ns = jax.lax.scan(step, start, length=3)
    grads = jax.grad(lambda s: s.inner.x**2, allow_int=True)(start)
    return end.inner.x, end.n, ns, grads.inner.x


@program
def state_dicts(lib):
    to_state, from_state = lib.state

    @lib.dataclass
    class A:
        x: Any
        note: str = lib.field(pytree_node=False, default="n")

    state = to_state(A({"w": jnp.ones(2)}))
    return state, dataclasses.asdict(from_state(A({"w": jnp.zeros(2)}), state))


@program
def state_dict_without_a_field(lib):
    @lib.dataclass
    class A:
        x: Any

    return lib.state[1](A(1), {})


@program
def state_dict_with_an_unknown_field(lib):
    @lib.dataclass
    class A:
        x: Any

    return lib.state[1](A(1), {"x": 1, "y": 2})


class _Lib:
    def __init__(self, module, serialization):
        self.dataclass, self.field, self.PyTreeNode = (
            module.dataclass,
            module.field,
            module.PyTreeNode,
        )
        self.state = (serialization.to_state_dict, serialization.from_state_dict)


OURS = _Lib(struct, linen_store.serialization)
THEIRS = _Lib(flax.struct, flax.serialization)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_program_does_the_same(name):
    compare.assert_same_outcome(
        lambda: PROGRAMS[name](OURS), lambda: PROGRAMS[name](THEIRS), where=name
    )


@struct.dataclass
class Kept:
    x: Any
    y: Any = struct.field(pytree_node=False, default=0)


def test_pickled_and_back():
    assert pickle.loads(pickle.dumps(Kept([1, 2], 3))) == Kept([1, 2], 3)


FIELDS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["none", "value", "factory"]), st.booleans()),
    min_size=1,
    max_size=5,
)


def _drawn(lib, fields):
    """Make a dataclass of drawn fields, and look at everything that a pytree shows."""
    members = {"__annotations__": {}}
    for i, (node, default, kw_only) in enumerate(fields):
        options = {"none": {}, "value": {"default": i}, "factory": {"default_factory": dict}}
        members["__annotations__"][f"f{i}"] = Any
        members[f"f{i}"] = lib.field(pytree_node=node, kw_only=kw_only, **options[default])
    made = lib.dataclass(type("Drawn", (), members))
    required = {f"f{i}": i + 10 for i, (_, default, _) in enumerate(fields) if default == "none"}
    value = made(**required)
    leaves, structure = jax.tree.flatten(value)
    rebuilt = jax.tree.unflatten(structure, leaves)
    state = lib.state[0](value)
    return (
        leaves,
        [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(value)],
        dataclasses.asdict(rebuilt),
        state,
        dataclasses.asdict(lib.state[1](value, state)),
    )


@compare.parity_settings(share=2)
@hypothesis.given(FIELDS)
def test_drawn_dataclasses_are_the_same(fields):
    compare.assert_same_outcome(lambda: _drawn(OURS, fields), lambda: _drawn(THEIRS, fields))
