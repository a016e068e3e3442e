"""Equality and hashes of modules, and why some modules have no hash."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn


class Base(nn.Module):
    a: int
    b: int = 2


class Derived(Base):
    c: int = 3


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (Base(1), Base(1, 2), True),
        (Base(1), Base(1, 3), False),
        (Derived(1), Base(1), False),
        (Base(1, name="x"), Base(1, name="x"), True),
        (Base(1, name="x"), Base(1), False),
        (Base(Base(1)), Base(Base(1)), True),
        (Base(1), 1, False),
    ],
)
def test_modules_are_equal_by_class_and_fields(one, other, equal):
    assert (one == other) is equal
    if equal:
        assert hash(one) == hash(other)


def test_fields_may_be_left_out_of_comparisons():
    class Model(nn.Module):
        size: int
        notes: str = dataclasses.field(default="", compare=False)

    assert Model(1, "a") == Model(1, "b")
    assert hash(Model(1, "a")) == hash(Model(1, "b"))


def test_a_class_may_define_equality_and_hash():
    class Model(nn.Module):
        size: int

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 3

    assert Model(1) == Model(2)
    assert hash(Model(1)) == 3


class OnlyEquality(nn.Module):  # noqa: PLW1641 - that is the point
    size: int

    def __eq__(self, other):
        return True


HASHES = {
    "bound": (
        lambda: nn.Dense(2).bind({"params": {}}),
        "Cannot hash a Dense that holds variables. Hash the unbound module; in place of a JAX transform of a bound "
        "module use the one of linen_core (nn.jit, nn.vmap, ...).",
    ),
    "equality alone": (
        lambda: OnlyEquality(1),
        "Cannot hash a OnlyEquality: its class has an `__eq__` and no `__hash__`.",
    ),
    "list": (
        lambda: Base([1]),
        "Cannot hash Base: a field is unhashable (unhashable type: 'list'). Use tuples instead of lists, and hashable "
        "values in fields of modules that are static arguments of `jax.jit`.",
    ),
}


@pytest.mark.parametrize("name", HASHES)
def test_a_module_that_cannot_be_hashed_says_why(name):
    make, text = HASHES[name]
    with pytest.raises(TypeError) as caught:
        hash(make())
    assert str(caught.value) == text


def test_equal_modules_share_a_compiled_program():
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def double(module, x):
        traces.append(module.a)
        return module.a * x

    assert [int(double(Base(a), jnp.ones(()))) for a in (2, 2, 3)] == [2, 2, 3]
    assert traces == [2, 3]
