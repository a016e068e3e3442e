"""Adoption of modules from outside, clashes of names, and the run of `setup`."""

import pytest

import linen_core as nn
from core.module._holders import KEY, Compact, Holder, Leaf, names
from linen_core import errors
from linen_core.module.state import clone_deeply


def test_a_module_from_outside_belongs_to_its_first_user():
    class Outer(nn.Module):
        shared: nn.Module

        @nn.compact
        def __call__(self):
            return Holder(self.shared, name="one")(), Holder(self.shared, name="two")()

    assert names(Outer(Leaf())) == ["shared"]


def test_a_module_from_outside_is_adopted_once_per_run():
    leaf, seen = Leaf(), []

    class Outer(nn.Module):
        @nn.compact
        def __call__(self):
            seen.append((Holder(leaf).held, Holder(leaf).held))

    for _ in range(2):
        Outer().init(KEY)
    (first, first_again), (second, second_again) = seen
    assert first is first_again
    assert second is second_again
    assert first is not second
    assert first is not leaf
    assert (leaf.scope, leaf.name, leaf.parent) == (None, None, None)


def test_fields_of_a_bound_module_are_immutable():
    class Outer(nn.Module):
        sizes: list
        named: dict

        def __call__(self):
            return type(self.sizes), self.named

    kind, named = Outer([1], {"a": [2]}).apply({})
    assert kind is tuple
    assert named == {"a": (2,)}
    with pytest.raises(ValueError, match=r"^An attribute of a module is immutable\."):
        named["b"] = 1


def test_a_module_without_parent_is_apart():
    def body(module):
        apart = Leaf(parent=None)
        assert apart.scope is None
        return Leaf()()

    assert names(Compact(body)) == ["Leaf_0"]


def test_a_scope_may_be_the_parent():
    scope = nn.Scope({"params": {"w": 5}})
    assert Leaf(parent=scope)() == 5


def test_another_parent_is_an_error():
    with pytest.raises(ValueError) as caught:
        Leaf(parent="root")
    assert str(caught.value) == (
        "The parent of a module must be a module, a scope or None; found 'root'."
    )


CLASHES = {
    "two submodules": (lambda m: [Leaf(name="a")(), Leaf(name="a")], "submodule"),
    "a chosen name": (lambda m: [Leaf(name="Leaf_0")(), Leaf()], "submodule"),
    "a parameter and a submodule": (lambda m: [m.param("a", lambda key: 1), Leaf(name="a")], "submodule"),
    "a submodule and a parameter": (lambda m: [Leaf(name="a")(), m.param("a", lambda key: 1)], "param"),
}  # fmt: skip


@pytest.mark.parametrize("case", CLASHES)
def test_a_name_is_used_once(case):
    body, kind = CLASHES[case]
    with pytest.raises(errors.NameInUseError) as caught:
        Compact(body).init(KEY)
    name = "Leaf_0" if case == "a chosen name" else "a"
    assert str(caught.value) == str(errors.NameInUseError(kind, name, "Compact"))


def test_a_submodule_needs_setup_or_a_compact_method():
    class Plain(nn.Module):
        def __call__(self):
            return Leaf()()

    with pytest.raises(errors.AssignSubModuleError) as caught:
        Plain().init(KEY)
    assert str(caught.value) == str(errors.AssignSubModuleError("Leaf"))


def test_setup_runs_once_when_the_module_is_first_used():
    runs = []

    class Model(nn.Module):
        def setup(self):
            runs.append(self.scope)
            self.part = Leaf()

        def __call__(self):
            return self.part() + self.again()

        def again(self):
            return self.part()

    model = Model()
    assert runs == []
    variables = model.init(KEY)
    assert len(runs) == 1
    assert model.apply(variables) == 2
    assert len(runs) == 2
    bound = model.bind(variables)
    assert len(runs) == 2
    assert bound.part() == bound.part() == 1
    assert len(runs) == 3


def test_a_deep_clone_replaces_each_module_once():
    one, other = Leaf(), Holder(None)
    attributes = {"a": one, "b": [one, {"c": other}], "size": 3, "parent": one}
    clones = {}
    clone_deeply(attributes, clones, lambda module: module.clone())
    assert attributes["a"] is attributes["b"][0]
    assert attributes["a"] is not one
    assert type(attributes["b"][1]["c"]) is Holder
    assert type(attributes["b"]) is tuple
    assert (attributes["size"], attributes["parent"]) == (3, one)
    assert set(clones) == {one._id, other._id}
