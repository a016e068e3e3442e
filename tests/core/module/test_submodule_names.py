"""Names of submodules: by class and order, by attribute, and inside containers."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from core.module._holders import Compact, Holder, Leaf, is_module, names


class Twig(Leaf):
    pass


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


def test_arguments_are_no_part_of_the_names():
    model = Compact(lambda m: nn.Dense(2)(jnp.ones((1, 3))))
    assert names(model) == ["Dense_0", "Dense_0"]
