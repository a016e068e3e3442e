"""`nn.remat` runs the code of every block in every run, as the block without it does."""

import gc
import re
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn

X = jnp.ones((2, 4))
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}


def block(traces, **attributes):
    class Block(nn.Module):
        features: Any = 4
        scale: Any = 1.0

        @nn.compact
        def __call__(self, x):
            traces.append(weakref.ref(self))
            return nn.Dense(self.features)(x) * self.scale

    return type("Block", (Block,), attributes) if attributes else Block


def stack(layer, fields):
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            for number, own in enumerate(fields):
                x = layer(**own, name=f"block_{number}")(x)
            return x

    return Stack()


def traced(fields, **rngs):
    """Count the traces of one run of apply over rematted blocks with some fields; check the numbers."""
    traces = []
    model, plain = stack(nn.remat(block(traces)), fields), stack(block([]), fields)
    variables = plain.init(KEYS, X)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, variables, model.init(KEYS, X)))
    traces.clear()
    y = model.apply(variables, X, rngs=rngs)
    count = len(traces)
    assert (y == plain.apply(variables, X, rngs=rngs)).all()
    return count


def test_every_block_is_traced_in_every_run():
    assert traced([{}] * 6) == 6
    assert traced([{"scale": jnp.full(4, 2.0)}] * 2) == 2
    traces = []
    model = stack(nn.remat(block(traces)), [{}] * 3)
    variables = model.init(KEYS, X)
    traces.clear()
    for count in (3, 6):
        model.apply(variables, X)
        assert len(traces) == count


def test_gradients_are_those_without_remat():
    plain, rematted = (stack(layer, [{}] * 3) for layer in (block([]), nn.remat(block([]))))
    variables = plain.init(KEYS, X)
    ours, expected = (
        jax.grad(lambda v, model=model: model.apply(v, X).sum())(variables)
        for model in (rematted, plain)
    )
    assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, expected))


class Named(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + number_in(self.name)


class NamedByText(nn.Module):
    field: str = "name"

    @nn.compact
    def __call__(self, x):
        return x + number_in(getattr(self, self.field))


class Placed(nn.Module):
    @nn.compact
    def __call__(self, x):
        return shift(self, x)


class Scoped(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + number_in(self.scope.name) + number_in(self.scope.path_text[1:])


class Set(nn.Module):
    def setup(self):
        self.number = number_in(self.name)

    def __call__(self, x):
        return x + self.number


class Child(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + number_in(self.parent.name)


class Cloned(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + number_in(self.clone(parent=None).name)


class NamedByDict(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + number_in(self.__dict__["name"])


class NamedBySuffix(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + number_in(self.scope.rngs["params"].suffix[0])


class NamedByStreams(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + len(re.findall("block_[12]", str(self.scope.rngs)))


class Around(nn.Module):
    inner: Any = Placed

    @nn.compact
    def __call__(self, x):
        return self.inner()(x)


class Mapped(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.vmap(Placed)()(x)


class Nested(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.remat(Placed)(name="inner")(x)


def number_in(name):
    return int(re.sub(r"\D", "", name))


def shift(module, x):
    return x + number_in(module.path[0])


def around(layer):
    return type("Around", (Around,), {"inner": layer, "__annotations__": {"inner": Any}})


READERS = [
    Named,
    NamedByText,
    NamedByDict,
    NamedBySuffix,
    NamedByStreams,
    Placed,
    Scoped,
    Set,
    around(Child),
    Cloned,
    Around,
    Mapped,
    Nested,
]


@pytest.mark.parametrize("layer", READERS)
def test_code_that_reads_names_or_paths_runs_in_every_block(layer):
    plain, rematted = (
        stack(kind, [{}] * 3).apply({}, X, rngs=KEYS) for kind in (layer, nn.remat(layer))
    )
    assert plain[0, 0] == {Scoped: 7, NamedByStreams: 1 + 2 * 2}.get(layer, 1 + 0 + 1 + 2)
    assert (plain == rematted).all()


def test_an_interceptor_sees_every_block():
    traces, seen = [], []
    model = stack(nn.remat(block(traces)), [{}] * 3)
    variables = model.init(KEYS, X)

    def note(next_fun, args, kwargs, context):
        if type(context.module) is nn.Dense:
            seen.append(context.module.path)
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(note):
        model.apply(variables, X)
    assert seen == [(f"block_{number}", "Dense_0") for number in range(3)]


def test_intermediates_are_captured_in_every_block():
    model = stack(nn.remat(block([])), [{}] * 3)
    variables = model.init(KEYS, X)
    _, state = model.apply(variables, X, capture_intermediates=True)
    blocks = {f"block_{number}" for number in range(3)}
    assert state["intermediates"].keys() == {"__call__", *blocks}
    values = [state["intermediates"][name]["Dense_0"]["__call__"][0] for name in sorted(blocks)]
    assert (values[0] != values[1]).any()


def test_keys_and_counters_go_on_after_a_block():
    class Noisy(nn.Module):
        shared: Any

        @nn.compact
        def __call__(self, x):
            return self.shared(x)

    class Noise(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x + jax.random.normal(self.make_rng("dropout"), x.shape)

    def model(wrap):
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                noise, layer = Noise(name="noise"), wrap(Noisy)
                first = [layer(noise, name=f"layer_{n}")(x) for n in range(3)]
                return jnp.stack([*first, noise(x)])

        return Model()

    rngs = {"dropout": jax.random.key(1)}
    ours, plain = (model(wrap).apply({}, X, rngs=rngs) for wrap in (nn.remat, lambda cls: cls))
    assert (ours == plain).all()


def test_mutable_state_of_each_block_is_its_own():
    class Counter(nn.Module):
        @nn.compact
        def __call__(self, x):
            count = self.variable("state", "count", lambda: jnp.zeros(()))
            count.value += x.sum()
            return 2 * x

    model = stack(nn.remat(Counter), [{}] * 3)
    state = {"state": {f"block_{number}": {"count": jnp.float32(number)} for number in range(3)}}
    _, state = model.apply(state, X, mutable=["state"])
    assert [float(state["state"][f"block_{n}"]["count"]) for n in range(3)] == [8, 17, 34]


def test_nothing_is_kept_alive():
    traces = []
    model = stack(nn.remat(block(traces)), [{}] * 3)
    model.apply(model.init(KEYS, X), X)
    gc.collect()
    assert traces
    assert all(reference() is None for reference in traces)


def test_a_module_among_its_own_arguments_is_the_module_inside():
    seen = []

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, other=None):
            seen.append((other is self, type(other)))
            return nn.Dense(4)(x)

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            block = nn.remat(Block)()
            return block(x, block)

    variables = Model().init(KEYS, X)
    Model().apply(variables, X)
    assert set(seen) == {(True, Block)}


def test_a_closure_over_a_tracer_does_not_leak():
    @jax.jit
    def run(x, factor):
        class Scaled(nn.Module):
            @nn.compact
            def __call__(self, x):
                return x * factor

        return stack(nn.remat(Scaled), [{}] * 2).apply({}, x)

    with jax.checking_leaks():
        assert (run(X, 3.0) == 9).all()
        assert (run(X[:1], 2.0) == 4).all()
