"""Names of submodules, adoption of modules from outside, and the run of `setup`."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import errors
from linen_core.module.registration import clone_deeply

KEY = jax.random.key(0)


class Leaf(nn.Module):
    @nn.compact
    def __call__(self):
        return self.param("w", lambda key: 1)


class Twig(Leaf):
    pass


class Compact(nn.Module):
    body: object

    @nn.compact
    def __call__(self):
        return self.body(self)


class Holder(nn.Module):
    """Calls the modules in its field."""

    held: object
    second: object = None

    def __call__(self):
        return [leaf() for leaf in jax.tree.leaves((self.held, self.second), is_leaf=is_module)]


def is_module(value):
    return isinstance(value, nn.Module)


def names(model):
    """The paths of the modules that have parameters."""
    params = model.init(KEY).get("params", {})
    return ["/".join(path[:-1]) for path in nn.traverse_util.flatten_dict(params)]


def compact_names(body):
    return names(Compact(body))


CASES = {
    "in order": (lambda m: [Leaf()(), Leaf()()], ["Leaf_0", "Leaf_1"]),
    "by class": (lambda m: [Leaf()(), Twig()(), Leaf()()], ["Leaf_0", "Twig_0", "Leaf_1"]),
    "in order of creation": (
        lambda m: [leaf() for leaf in [Leaf(), Twig(), Leaf()][::-1]],
        ["Leaf_1", "Twig_0", "Leaf_0"],
    ),
    "as given": (lambda m: [Leaf(name="head")(), Leaf()()], ["head", "Leaf_0"]),
    "unused ones count": (lambda m: [Leaf(), Leaf()()][1], ["Leaf_1"]),
    "one module used twice": (lambda m: [leaf := Leaf(), leaf(), leaf()], ["Leaf_0"]),
    "nested": (lambda m: Compact(lambda m: Leaf()())(), ["Compact_0/Leaf_0"]),
}


@pytest.mark.parametrize("case", CASES)
def test_names_in_compact_methods(case):
    body, expected = CASES[case]
    assert sorted(compact_names(body)) == sorted(expected)


def test_names_start_again_in_each_call():
    class Outer(nn.Module):
        @nn.compact
        def __call__(self):
            inner = Compact(lambda m: Leaf()())
            return inner(), inner()

    assert names(Outer()) == ["Compact_0/Leaf_0"]


class Assigned(nn.Module):
    assign: object

    def setup(self):
        self.assign(self)

    def __call__(self):
        return [
            leaf()
            for leaf in jax.tree.leaves(dict(vars(self)), is_leaf=is_module)
            if isinstance(leaf, Leaf)
        ]


def to(value):
    return lambda module: setattr(module, "part", value())


SETUPS = {
    "attribute": (to(Leaf), ["part"]),
    "list": (to(lambda: [Leaf(), Leaf()]), ["part_0", "part_1"]),
    "tuple": (to(lambda: (Leaf(), Twig())), ["part_0", "part_1"]),
    "dict": (to(lambda: {"a": Leaf(), "b": Leaf()}), ["part_a", "part_b"]),
    "nested": (to(lambda: {"a": [Leaf(), {"b": Leaf()}]}), ["part_a_0", "part_a_1_b"]),
    "beside values": (to(lambda: [1, Leaf(), "x"]), ["part_1"]),
    "a given name": (to(lambda: Leaf(name="own")), ["own"]),
    "one module twice": (to(lambda: [leaf := Leaf(), leaf]), ["part_0"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SETUPS)
def test_names_in_setup(case):
    assign, expected = SETUPS[case]
    assert names(Assigned(assign)) == expected


SHARED = Leaf()
FIELDS = {
    "field": ((Leaf(),), ["held"]),
    "list": (([Leaf(), Leaf()],), ["held_0", "held_1"]),
    "dict": (({"a": Leaf()},), ["held_a"]),
    "two fields": ((Leaf(), Leaf()), ["held", "second"]),
    "one module in two fields": ((SHARED, SHARED), ["held"]),
    "one module in a list and a field": (([Leaf(), SHARED], SHARED), ["held_0", "held_1"]),
    "a name that was given outside": ((Leaf(name="own"),), ["held"]),
    "deeper": ((Holder(Leaf()),), ["held/held"]),
}


@pytest.mark.parametrize("case", FIELDS)
def test_names_of_modules_in_fields(case):
    fields, expected = FIELDS[case]
    assert names(Holder(*fields)) == expected


def test_names_given_outside_may_be_kept():
    class Keeping(Holder):
        preserve_adopted_names = True

    assert names(Keeping([Leaf(name="own"), Leaf()])) == ["own", "held_1"]


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
        held: object

        @nn.compact
        def __call__(self):
            inner = Holder(leaf)
            seen.append((self.held, inner.held))

    for _ in range(2):
        Outer(leaf).init(KEY)
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

    assert compact_names(body) == ["Leaf_0"]


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
    one, other = Leaf(), Twig()
    attributes = {"a": one, "b": [one, {"c": other}], "size": 3, "parent": one}
    clones = {}
    clone_deeply(attributes, clones, lambda module: module.clone())
    assert attributes["a"] is attributes["b"][0]
    assert attributes["a"] is not one
    assert type(attributes["b"][1]["c"]) is Twig
    assert type(attributes["b"]) is tuple
    assert (attributes["size"], attributes["parent"]) == (3, one)
    assert set(clones) == {one._id, other._id}


def test_arguments_are_no_part_of_the_names():
    model = Compact(lambda m: nn.Dense(2)(jnp.ones((1, 3))))
    assert names(model) == ["Dense_0", "Dense_0"]
