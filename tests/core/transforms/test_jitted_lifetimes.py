"""What `nn.jit` remembers, and that it keeps nothing of a user's alive."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core.transforms.compile import jit as lifted_jit

KEY = jax.random.key(0)
X = jnp.ones((1, 3))


def counting(traces):
    class Layer(nn.Module):
        features: int = 3
        act: object = None

        @nn.compact
        def __call__(self, x):
            traces.append(0)
            x = nn.Dense(self.features)(x)
            return x if self.act is None else self.act(x)

    return Layer


def loop(layer, count=12, **fields):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(count):
                x = nn.jit(layer)(**fields)(x)
            return x

    return Model()


def test_a_loop_that_lifts_in_place_is_traced_once():
    traces = []
    model = loop(counting(traces))
    variables = model.init(KEY, X)
    assert len(traces) == 1
    model.apply(variables, X)
    model.apply(variables, X)
    assert len(traces) == 2  # `init` and `apply` differ


def test_applies_leave_one_class():
    layer = counting([])
    model = loop(layer, count=3)
    variables = model.init(KEY, X)
    for _ in range(20):
        model.apply(variables, X)
    assert len(layer.__subclasses__()) == 1
    gc.collect()
    assert layer.__subclasses__() == []


def test_lifting_gives_the_same_class_for_equal_options():
    first = nn.jit(nn.Dense, static_argnums=(2,))
    assert nn.jit(nn.Dense, static_argnums=2) is first
    assert nn.jit(nn.Dense, static_argnums=[2]) is first
    assert nn.jit(functools.partial(nn.Dense, 3), static_argnums=2).func is first
    others = [
        nn.jit(nn.Dense),
        nn.jit(nn.Dense, variables="params"),
        nn.jit(nn.Dense, methods=["__call__"]),
        nn.jit(nn.DenseGeneral),
    ]
    assert len({first, *others}) == 5


def test_a_method_that_is_replaced_is_lifted_anew():
    class Layer(nn.Module):
        def __call__(self, x):
            return x

    first = nn.jit(Layer)
    Layer.__call__ = lambda self, x: 2 * x
    second = nn.jit(Layer)
    assert (first().apply({}, X) == X).all()
    assert (second().apply({}, X) == 2 * X).all()


def dies(make, use):
    """Whether what `make` gives dies after `use`, while the class that nn.jit made lives on."""
    value = make()
    reference = weakref.ref(value)
    use(value)
    del value
    gc.collect()
    return reference() is None


def test_nothing_of_a_call_is_kept():
    jitted = nn.jit(counting([]))
    model = jitted()
    variables = model.init(KEY, X)

    def interceptor():
        def intercept(next_fun, args, kwargs, context):
            return next_fun(*args, **kwargs)

        return intercept

    def apply_with(intercept):
        with nn.intercept_methods(intercept):
            model.apply(variables, X)

    assert dies(interceptor, apply_with)

    def capture():
        return lambda module, name: True

    assert dies(capture, lambda f: model.apply(variables, X, capture_intermediates=f))
    assert dies(lambda: jnp.full((1, 3), 2.0), lambda x: model.apply(variables, x))
    assert dies(jitted, lambda module: module.apply(variables, X))

    class Act:
        def __call__(self, x):
            return 2 * x

    assert dies(Act, lambda act: jitted(act=act).apply(variables, X))
    assert dies(lambda: lambda x: 3 * x, lambda act: jitted(act=act).apply(variables, X))


def test_a_recorded_run_is_not_kept():
    model = nn.jit(counting([]))()
    used = nn.touched(model, model.init(KEY, X), X)
    assert used.read
    del used
    gc.collect()
    assert not [o for o in gc.get_objects() if type(o).__module__ == nn.Touched.__module__]


def test_a_new_interceptor_compiles_nothing(caplog):
    model = nn.jit(counting([]))()
    variables = model.init(KEY, X)

    def run():
        seen = []

        def note(next_fun, args, kwargs, context):
            seen.append(type(context.module).__name__)
            return next_fun(*args, **kwargs)

        with nn.intercept_methods(note):
            model.apply(variables, X)
        return seen

    assert run() == ["Layer", "Dense"]
    with jax.log_compiles(), caplog.at_level("WARNING"):
        assert run() == ["Layer", "Dense"]
    assert not [record for record in caplog.records if "Compiling" in record.getMessage()]


class Liar:
    """Equal to everything of its class, whatever it does."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x

    def __eq__(self, other):
        return isinstance(other, Liar)

    def __hash__(self):
        return 0


def test_a_callable_whose_equality_lies_is_told_apart():
    traces = []
    jitted = nn.jit(counting(traces))
    variables = jitted().init(KEY, X)
    two, three = Liar(2), Liar(3)
    y = jitted().apply(variables, X)
    for act in (two, three, two):
        assert jnp.allclose(jitted(act=act).apply(variables, X), act.factor * y)
    assert len(traces) == 4  # init, no activation, and each of the two


def test_partials_and_bound_methods_are_compared_by_parts():
    traces = []
    jitted = nn.jit(counting(traces))
    variables = jitted().init(KEY, X)
    liar = Liar(2)
    traces.clear()
    for _ in range(2):
        jitted(act=functools.partial(jnp.multiply, 2.0)).apply(variables, X)
        jitted(act=liar.__call__).apply(variables, X)
    assert len(traces) == 2


def test_a_callable_with_arrays_in_it_is_refused():
    jitted = nn.jit(counting([]))
    with pytest.raises(ValueError, match="The value at 'act/args/0' is unhashable"):
        jitted(act=functools.partial(jnp.add, jnp.ones(3))).init(KEY, X)


def test_modules_among_the_arguments_are_told_apart():
    class Calls(nn.Module):
        @nn.compact
        def __call__(self, layer, x):
            return layer(x)

    jitted = nn.jit(Calls)

    class Model(nn.Module):
        use_bias: bool

        @nn.compact
        def __call__(self, x):
            init = nn.initializers.ones
            return jitted()(nn.Dense(3, use_bias=self.use_bias, bias_init=init, name="layer"), x)

    y, variables = Model(True).init_with_output(KEY, X)
    assert jnp.allclose(Model(False).apply(variables, X), y - 1)
    assert lifted_jit is nn.jit
