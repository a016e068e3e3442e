"""Names, fields, copies and classes of modules: the same on linen_core and on flax.linen."""

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

import flax.linen as fnn
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity import _compare as compare
from parity._programs import KEY, ONES, X, collect, dense, everything

PROGRAMS: dict[str, Callable[[Any], Any]] = {}
program = collect(PROGRAMS)


@program
def names_in_compact(lib):
    Dense = dense(lib)

    class Inner(lib.Module):
        @lib.compact
        def __call__(self, x):
            return Dense(2)(Dense(3, name="named")(Dense(4)(x)))

    class Outer(lib.Module):
        @lib.compact
        def __call__(self, x):
            return Inner()(Dense(3)(x)) + Inner()(x)

    return everything(Outer(), X)


@program
def names_in_setup(lib):
    Dense = dense(lib)

    class Model(lib.Module):
        count: int = 11

        def setup(self):
            self.layers = [Dense(3) for _ in range(self.count)]
            self.heads = {"a": Dense(2), "b": (Dense(2), {"c": Dense(1, use_bias=False)})}
            self.plain = Dense(3)

        def __call__(self, x):
            for layer in self.layers:
                x = jnp.tanh(layer(x))
            pair = self.heads["b"]
            return self.plain(x), self.heads["a"](x), pair[0](x), pair[1]["c"](x)

    return everything(Model(), X)


@program
def modules_as_fields(lib):
    Dense = dense(lib)

    class Pair(lib.Module):
        first: Any
        second: Any = None
        many: Any = ()

        @lib.compact
        def __call__(self, x):
            x = self.first(x)
            if self.second is not None:
                x = self.second(x)
            for item in self.many:
                x = item(x)
            return x

    shared = Dense(3)
    nested = Pair(first=Pair(first=shared, many=[shared, Dense(3)]), second=shared)
    return everything(nested, X), repr(nested)


@program
def named_modules_as_fields(lib):
    Dense = dense(lib)

    class Holder(lib.Module):
        inner: Any

        def __call__(self, x):
            return self.inner(x)

    class Keeps(Holder):
        preserve_adopted_names = True

    return everything(Holder(Dense(2, name="mine")), X), everything(Keeps(Dense(2, name="mine")), X)


@program
def tied_weights(lib):
    Dense = dense(lib)

    class Model(lib.Module):
        def setup(self):
            self.a = Dense(3)
            self.b = self.a
            self.c = [self.a, Dense(3)]

        def __call__(self, x):
            return self.b(self.a(x)) + self.c[1](x)

    return everything(Model(), X)


@program
def module_made_outside_is_shared(lib):
    Dense = dense(lib)
    shared = Dense(3)

    class Part(lib.Module):
        inner: Any

        @lib.compact
        def __call__(self, x):
            return self.inner(x)

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            return Part(shared)(x) + Part(shared)(x) + Part(Dense(3))(x)

    return everything(Model(), X)


@program
def module_as_default_value(lib):
    Dense = dense(lib)

    class Model(lib.Module):
        inner: Any = Dense(2)
        others: Any = (Dense(2), Dense(2))

        @lib.compact
        def __call__(self, x):
            return self.inner(x) + self.others[0](x) + self.others[1](x)

    return everything(Model(), X), hash(Model()) == hash(Model()), Model() == Model()


@program
def inheritance_and_keyword_only(lib):
    class Base(lib.Module):
        size: int
        scale: float = 2.0

        def forward(self, x):
            return self.param("w", ONES, (self.size,)) * x[..., :1] * self.scale

    class Child(Base):
        shift: float = 1.0

        @lib.compact
        def __call__(self, x):
            return self.forward(x) + self.shift

    class Strict(Base, kw_only=True):
        extra: int

        @lib.compact
        def __call__(self, x):
            return self.forward(x) + self.extra

    fields = [f.name for f in dataclasses.fields(Child)]
    return everything(Child(3, shift=4.0), X), everything(Strict(2, extra=3), X), fields


@program
def generic_module(lib):
    T = TypeVar("T")

    class Box(lib.Module, Generic[T]):
        item: T

        @lib.compact
        def __call__(self, x):
            return x * self.param("w", ONES, (self.item,))

    return everything(Box[int](3), X)


@program
def post_init_sets_attributes(lib):
    class Model(lib.Module):
        size: int

        def __post_init__(self):
            self.double = 2 * self.size
            super().__post_init__()

        @lib.compact
        def __call__(self, x):
            return x[:, :1] * self.param("w", ONES, (self.double,))

    return everything(Model(2), X)


@program
def clones_and_copies(lib):
    Dense = dense(lib)

    class Model(lib.Module):
        template: Any

        @lib.compact
        def __call__(self, x):
            first = self.template.copy()
            second = self.template.copy(name="second", features=5)
            return first(x), second(x)

    original = Dense(3, name="n")
    clone = original.clone(features=4)
    return everything(Model(Dense(2)), X), clone.name, clone.features, original.copy().name


@program
def compact_name_scopes(lib):
    Dense = dense(lib)

    class Model(lib.Module):
        @lib.compact_name_scope
        def up(self, x):
            return Dense(4)(x)

        @lib.compact_name_scope
        def down(self, x):
            return Dense(3)(x) + self.param("b", ONES, (3,))

        @lib.compact
        def __call__(self, x):
            return self.down(self.up(x)) + Dense(3)(x)

    return everything(Model(), X)


@program
def shared_scopes(lib):
    Dense = dense(lib)

    class LowRank(lib.Module):
        inner: Any
        rank: int = 1

        def setup(self):
            lib.share_scope(self, self.inner)

        @lib.compact
        def __call__(self, x):
            a = self.param("a", ONES, (x.shape[-1], self.rank))
            return self.inner(x) + (x @ a).sum(-1, keepdims=True) + Dense(4)(x)

    return everything(LowRank(Dense(4)), X)


@program
def paths_of_modules(lib):
    Dense = dense(lib)

    class Model(lib.Module):
        def setup(self):
            self.layers = [Dense(3), Dense(3)]

        @lib.compact
        def __call__(self, x):
            return Dense(2)(self.layers[1](self.layers[0](x)))

    found = Model().module_paths(KEY, X)
    return (
        list(found),
        [repr(module) for module in found.values()],
        [module.name for module in found.values()],
        found["layers_0"] == Dense(3),
    )


@program
def type_hints(lib):
    class Base(lib.Module):
        size: int = 3
        kind: ClassVar[str] = "base"

    class Model(Base):
        fn: "Callable[..., Any]" = jnp.tanh

        def setup(self):
            self.layer = lib.Dense(self.size)

    hints = get_type_hints(Model)
    own = {name: str(hint) for name, hint in hints.items() if name not in ("parent", "name")}
    return list(hints), own, list(Model.__annotations__)


@program
def properties_and_repr(lib):
    Dense = dense(lib)

    class Model(lib.Module):
        size: int = 3
        fn: Any = jnp.tanh
        items: Any = dataclasses.field(default_factory=lambda: [1, (2,)])
        hidden: int = dataclasses.field(default=1, repr=False)
        late: Any = dataclasses.field(default=None, init=False)

        @property
        def double(self):
            return self.size * 2

        @lib.compact
        def __call__(self, x):
            y = Dense(self.double)(x)
            return y, repr(self)

    return repr(Model()), Model().double, everything(Model(), X), Model().items


@program
def frozen_fields_when_bound(lib):
    class Model(lib.Module):
        items: Any

        @lib.compact
        def __call__(self):
            return repr(self.items).replace("FrozenDict(", "(").replace(" ", "").replace("\n", "")

    return [Model(value).apply({}) for value in ([1, [2]], (1, [2]), "text", None)]


@program
def equality_and_hash(lib):
    Dense = dense(lib)
    return (
        Dense(2) == Dense(2),
        Dense(2) == Dense(3),
        hash(Dense(2)) == hash(Dense(2)),
        {Dense(2): 1}[Dense(2)],
        Dense(2) != Dense(2, name="x"),
    )


@program
def deep_copies(lib):
    Dense = dense(lib)
    copied = copy.deepcopy(Dense(2, name="a"))
    shallow = copy.copy(Dense(3))
    return repr(copied), copied.name, repr(shallow), copied.init(KEY, X), shallow.init(KEY, X)


@program
def user_wrapped_methods(lib):

    def logged(fn):
        @functools.wraps(fn)
        def wrapper(self, *args):
            return fn(self, *args) + 1

        return wrapper

    class Model(lib.Module):
        @lib.compact
        @logged
        def __call__(self, x):
            return x * self.param("w", ONES, (3,))

        @logged
        @lib.nowrap
        def other(self, x):
            return x

    return everything(Model(), X), Model().other(1)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_program_does_the_same(name):
    compare.assert_same_outcome(lambda: PROGRAMS[name](nn), lambda: PROGRAMS[name](fnn), where=name)
