"""Models drawn at random: nesting, naming, sharing, containers, collections and transforms, the same on both sides."""

import functools
from typing import Any

import flax.linen as fnn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp

import linen_core as nn
from parity import _compare as compare

WIDTH = 3
X = jnp.linspace(-1.0, 1.0, 2 * WIDTH).reshape(2, WIDTH)

leaves = st.sampled_from(
    ["dense", "param", "variable", "sow", "dropout", "batch_norm", "key", "perturb", "shared"]
)
names = st.sampled_from([None, None, "a", "b"])


def containers(children):
    parts = st.lists(st.tuples(names, children), min_size=1, max_size=3)
    return st.tuples(
        st.sampled_from(
            [
                *("compact", "setup", "list", "dict", "field", "scan", "vmap", "remat", "jit"),
                *("cond", "switch", "fold_rngs", "map_variables", "share_scope", "name_scope"),
                *("vmap in setup", "method"),
            ]
        ),
        parts,
    )


specs = st.recursive(leaves, containers, max_leaves=6).filter(
    lambda spec: not isinstance(spec, str)
)


def leaf_class(lib, kind, shared):
    """A module that maps an array to one of its shape, and does one thing besides."""

    class Leaf(lib.Module):
        shared: Any = None

        @lib.compact
        def __call__(self, x):
            if kind == "dense":
                return lib.Dense(WIDTH)(x)
            if kind == "param":
                return x * self.param("scale", lib.initializers.normal(1.0), (WIDTH,))
            if kind == "variable":
                seen = self.variable("state", "seen", jnp.zeros, (WIDTH,))
                if self.is_mutable_collection("state"):
                    seen.value = seen.value + x.sum(0)
                return x + seen.value
            if kind == "sow":
                self.sow("intermediates", "x", x)
                return jnp.sin(x)
            if kind == "dropout":
                return lib.Dropout(0.5, deterministic=False)(x)
            if kind == "batch_norm":
                return lib.BatchNorm(
                    use_running_average=not self.is_mutable_collection("batch_stats")
                )(x)
            if kind == "perturb":
                return self.perturb("p", x)
            if kind == "shared":
                return self.shared(x)
            return x + jax.random.normal(self.make_rng("noise"), x.shape)

    return functools.partial(Leaf, shared=shared) if kind == "shared" else Leaf


def module_class(lib, spec, shared):
    """The class of a drawn spec: a leaf, or a container of parts with or without names."""
    if isinstance(spec, str):
        return leaf_class(lib, spec, shared)
    kind, parts = spec
    classes = [(name, module_class(lib, part, shared)) for name, part in parts]
    taken = [name for name, _ in classes if name is not None]
    if len(taken) != len(set(taken)):
        classes = [(None, cls) for _, cls in classes]
    return CONTAINERS.get(kind, transformed)(lib, classes, kind)


def compact(lib, classes, kind):
    class Compact(lib.Module):
        @lib.compact
        def __call__(self, x):
            for name, cls in classes:
                x = cls(name=name)(x)
            return x

    return Compact


def setup(lib, classes, kind):
    class Setup(lib.Module):
        def setup(self):
            for number, (_, cls) in enumerate(classes):
                setattr(self, f"part{number}", cls())

        def __call__(self, x):
            for number in range(len(classes)):
                x = getattr(self, f"part{number}")(x)
            return x

    return Setup


def held(lib, classes, kind):
    class Held(lib.Module):
        def setup(self):
            modules = [cls() for _, cls in classes]
            self.parts = modules if kind == "list" else {f"k{i}": m for i, m in enumerate(modules)}

        def __call__(self, x):
            for part in self.parts if kind == "list" else self.parts.values():
                x = part(x)
            return x

    return Held


def field(lib, classes, kind):
    class Holder(lib.Module):
        parts: tuple

        @lib.compact
        def __call__(self, x):
            for part in self.parts:
                x = part(x)
            return x + self.parts[0](x)

    class Maker(lib.Module):
        @lib.compact
        def __call__(self, x):
            return Holder(tuple(cls(parent=None) for _, cls in classes))(x)

    return Maker


COLLECTIONS = ("params", "state", "intermediates", "batch_stats", "perturbations")
STREAMS = ("params", "dropout", "noise")


def branching(lib, classes, kind):
    """A condition between the parts, all of which are called in `init`."""

    class Branching(lib.Module):
        def setup(self):
            self.parts = [cls() for _, cls in classes]

        def __call__(self, x):
            if self.is_initializing():
                for part in self.parts:
                    part(x)
            branches = [branch(number) for number in range(len(classes))]
            if kind == "cond":
                return lib.cond(x.sum() > 0, branches[0], branches[-1], self, x)
            return lib.switch(1, branches, self, x)

    def branch(number):
        return lambda module, x: module.parts[number](x)

    return Branching


def sharing_scope(lib, classes, kind):
    class Inner(lib.Module):
        parts: Any

        @lib.compact
        def __call__(self, x):
            for part in self.parts:
                x = part(x)
            return x * self.param("scale", lib.initializers.ones, (WIDTH,))

    class Outer(lib.Module):
        def setup(self):
            self.inner = Inner([cls() for _, cls in classes])
            lib.share_scope(self, self.inner)

        def __call__(self, x):
            return self.inner(x)

    return Outer


def name_scope(lib, classes, kind):
    class Scoped(lib.Module):
        @lib.compact_name_scope
        def first(self, x):
            for name, cls in classes:
                x = cls(name=name)(x)
            return x

        @lib.compact
        def __call__(self, x):
            return lib.Dense(WIDTH)(self.first(x))

    return Scoped


def mapped(lib, classes, kind):
    inner = compact(lib, classes, kind)

    def double(variables):
        return jax.tree.map(lambda leaf: 2 * leaf, variables)

    def half(variables):
        return jax.tree.map(lambda leaf: leaf / 2, variables)

    class Mapped(lib.Module):
        @lib.compact
        def __call__(self, x):
            made = lib.map_variables(inner, "params", double, half, init=self.is_initializing())
            return made()(x)

    return Mapped


def vmapped_in_setup(lib, classes, kind):
    inner = compact(lib, classes, kind)

    class Setup(lib.Module):
        def setup(self):
            axes = dict.fromkeys(COLLECTIONS, 0)
            self.many = lib.vmap(
                inner, variable_axes=axes, split_rngs=dict.fromkeys(STREAMS, True), axis_size=2
            )()

        def __call__(self, x):
            return self.many(jnp.stack([x, -x])).sum(0)

    return Setup


def called_by_method(lib, classes, kind):
    class Methods(lib.Module):
        def setup(self):
            self.parts = [cls() for _, cls in classes]

        @lib.remat
        def run(self, x):
            for part in self.parts:
                x = part(x)
            return x

        @lib.nowrap
        def scaled(self, x):
            return 2 * x

        def __call__(self, x):
            return self.run(self.scaled(x))

    return Methods


def transformed(lib, classes, kind):
    inner = compact(lib, classes, kind)

    class Step(inner):
        @lib.compact
        def __call__(self, x, _=None):
            return super().__call__(x), None

    each = {
        "variable_axes": dict.fromkeys(COLLECTIONS, 0),
        "split_rngs": dict.fromkeys(STREAMS, True),
    }

    class Transformed(lib.Module):
        @lib.compact
        def __call__(self, x):
            if kind == "scan":
                return lib.scan(Step, length=2, **each)()(x, None)[0]
            if kind == "vmap":
                return lib.vmap(inner, axis_size=2, **each)()(jnp.stack([x, -x])).sum(0)
            return getattr(lib, kind)(inner)()(x)

    return Transformed


CONTAINERS = {
    "compact": compact,
    "setup": setup,
    "list": held,
    "dict": held,
    "field": field,
    "cond": branching,
    "switch": branching,
    "share_scope": sharing_scope,
    "name_scope": name_scope,
    "map_variables": mapped,
    "vmap in setup": vmapped_in_setup,
    "method": called_by_method,
}


def run(lib, spec):
    shared = lib.Dense(WIDTH)
    model = module_class(lib, spec, shared)()
    keys = {name: jax.random.key(number) for number, name in enumerate(STREAMS)}
    y, variables = model.init_with_output(keys, X)
    rngs = {"dropout": jax.random.key(7), "noise": jax.random.key(8)}
    mutable = ["state", "intermediates", "batch_stats"]
    applied = model.apply(variables, X, rngs=rngs, mutable=mutable)
    plain = model.apply(variables, X, rngs=rngs)
    captured = model.apply(variables, X, rngs=rngs, mutable=mutable, capture_intermediates=True)
    bound = model.bind(variables, rngs=rngs, mutable=mutable)
    unbound, copied = bound.unbind()
    copied = jax.tree.map(jnp.copy, copied)  # flax hands out what a call of `bound` changes
    paths = list(model.module_paths(keys, X))
    return y, variables, applied, plain, captured, bound(X), copied, paths, repr(unbound)


@hypothesis.given(spec=specs)
@compare.parity_settings(share=2)
def test_drawn_model_is_the_same(spec):
    compare.assert_same_outcome(lambda: run(nn, spec), lambda: run(fnn, spec))
