"""Modules as dataclasses: order and kinds of fields, defaults, and reserved names."""

import dataclasses
import inspect
from typing import Any, ClassVar

import pytest

import linen_core as nn
from linen_core import errors


class Base(nn.Module):
    a: int
    b: int = 2


class Derived(Base):
    c: int = 3


class KeywordOnly(nn.Module, kw_only=True):
    a: int = 1
    b: int


class AfterKeywordOnly(KeywordOnly):
    c: int


def fields_of(cls):
    return [field.name for field in dataclasses.fields(cls)]


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (Base, ["a", "b"]),
        (Derived, ["a", "b", "c"]),
        (KeywordOnly, ["a", "b"]),
        (AfterKeywordOnly, ["a", "b", "c"]),
    ],
)
def test_fields_follow_the_class_with_parent_and_name_last(cls, names):
    assert fields_of(cls) == [*names, "parent", "name"]
    parameters = inspect.signature(cls).parameters
    assert set(parameters) == {*names, "parent", "name"}
    assert parameters["parent"].kind is parameters["name"].kind is inspect.Parameter.KEYWORD_ONLY


def test_positional_arguments_follow_the_order_of_the_bases():
    module = Derived(1, 5, 6)
    assert (module.a, module.b, module.c) == (1, 5, 6)
    assert AfterKeywordOnly(7, b=2).c == 7


def test_a_redeclared_field_keeps_its_place():
    class Redeclared(Base):
        b: int = 9
        c: int = 3

    assert fields_of(Redeclared)[:3] == ["a", "b", "c"]
    assert Redeclared(1).b == 9


@pytest.mark.parametrize(
    "call",
    [
        lambda: KeywordOnly(1, b=2),
        KeywordOnly,
        Base,
        lambda: Base(1, 2, 3),
        lambda: Base(1, other=2),
        lambda: Base(1, a=2),
        lambda: Derived(1, 2, 3, None),
    ],
    ids=["keyword", "missing keyword", "missing", "too many", "unknown", "twice", "parent"],
)
def test_wrong_arguments_are_type_errors(call):
    with pytest.raises(TypeError, match=r"__init__\(\)|missing|argument"):
        call()


def test_a_field_without_a_default_may_not_follow_one_with_a_default():
    with pytest.raises(TypeError) as caught:

        class Wrong(Base):
            c: int

    assert str(caught.value) == (
        "Field 'c' of Wrong has no default, but comes after fields that have one."
    )


def test_keyword_only_fields_need_no_order():
    class Right(Base, kw_only=True):
        c: int

    assert Right(1, c=3).c == 3


def test_a_field_may_be_keyword_only_by_itself():
    class Mixed(nn.Module):
        size: int = dataclasses.field(kw_only=True)
        depth: int

    assert Mixed(3, size=4).depth == 3


def test_a_factory_makes_a_value_for_each_module():
    class Model(nn.Module):
        sizes: list = dataclasses.field(default_factory=lambda: [1])

    assert Model().sizes == [1]
    assert Model().sizes is not Model().sizes
    assert Model([2]).sizes == [2]


@pytest.mark.parametrize("default", [[], {}, set()], ids=repr)
def test_a_mutable_default_is_refused(default):
    with pytest.raises(ValueError, match="use default_factory"):
        type("Wrong", (nn.Module,), {"__annotations__": {"sizes": Any}, "sizes": default})


def test_class_variables_are_no_arguments():
    class Model(nn.Module):
        count: ClassVar[int] = 3
        size: int = 1

    assert fields_of(Model)[0] == "size"
    assert Model(5).count == 3


def test_a_field_outside_init_is_not_compared_and_not_shown():
    class Model(nn.Module):
        size: int
        notes: Any = dataclasses.field(init=False, default=None)
        counts: list = dataclasses.field(init=False, default_factory=list)

    one, other = Model(1), Model(1)
    object.__setattr__(other, "notes", "changed")
    assert one == other
    assert hash(one) == hash(other)
    assert "notes" not in repr(other)
    assert one.counts == []
    assert one.counts is not other.counts
    with pytest.raises(TypeError):
        Model(1, notes=3)


def test_init_variables_are_passed_to_post_init():
    class Model(nn.Module):
        size: int
        factor: dataclasses.InitVar[int] = 2

        def __post_init__(self, factor):
            self.scaled = self.size * factor
            super().__post_init__()

    assert Model(3).scaled == 6
    assert Model(3, 5).scaled == 15
    assert Model(3, 5) == Model(3, 7)


def test_post_init_may_change_fields_before_the_module_is_complete():
    class Model(nn.Module):
        size: int

        def __post_init__(self):
            self.size = 2 * self.size
            super().__post_init__()

    assert Model(3).size == 6


def test_a_class_may_have_its_own_init():
    class Model(nn.Module):
        size: int

        def __init__(self, text):
            self.size = len(text)
            self.parent = self.name = None
            self.__post_init__()

    assert Model("four").size == 4


def test_a_property_may_hold_a_field():
    class Model(nn.Module):
        size: int

        @property
        def size(self):
            return self._size

        @size.setter
        def size(self, value):
            object.__setattr__(self, "_size", value + 1)

    assert Model(3).size == 4


@pytest.mark.parametrize("name", ["parent", "name"])
def test_reserved_fields_cannot_mean_something_else(name):
    with pytest.raises(errors.ReservedModuleAttributeError) as caught:
        type("Wrong", (nn.Module,), {"__annotations__": {"size": int, name: int}})
    expected = errors.ReservedModuleAttributeError({"size": int, name: int})
    assert str(caught.value) == str(expected)


@pytest.mark.parametrize("kind", [str, str | None, "str", "str | None", "Optional[str]"])
def test_the_name_may_be_annotated_as_it_is(kind):
    cls = type("Right", (nn.Module,), {"__annotations__": {"name": kind}})
    assert fields_of(cls) == ["parent", "name"]
    assert cls(name="x").name == "x"


def test_a_class_without_docstring_is_described_by_its_signature():
    assert Base.__doc__.startswith("Base(a: int, b: int = 2, *, parent:")


def test_a_docstring_is_kept():
    class Documented(nn.Module):
        """A module."""

    assert Documented.__doc__ == "A module."
