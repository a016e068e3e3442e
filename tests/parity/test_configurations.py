"""Flags, and identifiers, do what those of flax do."""

import copy
import os
import re
import subprocess
import sys

import flax.core
import flax.ids
import flax.linen
import jax
import jax.numpy as jnp
import pytest
from flax import configurations as flax_configurations

import linen_core as nn
import linen_store
from linen_core import configurations, ids
from linen_core.configurations import config
from linen_core.store import MemoryStore
from parity._compare import assert_same_error, assert_same_tree, plain

X = jnp.ones((2, 3))
LIBRARIES = (configurations, flax_configurations)


def adopting(lib):
    class Outer(lib.Module):
        inner: lib.Module

        def setup(self):
            self.named = lib.Dense(2)

        def __call__(self, x):
            return self.named(self.inner(x))

    return Outer(lib.Dense(3, name="mine"))


def both(flag, value, program):
    with config.temp_flip_flag(flag, value), flax_configurations.config.temp_flip_flag(flag, value):
        return program(nn), program(flax.linen)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("flag", ["preserve_adopted_names", "fix_rng_separator"])
@pytest.mark.parametrize("call", ["init", "lazy_init", "jit"])
def test_flags_that_change_names_and_keys(flag, value, call):
    def program(lib):
        model = adopting(lib)
        init = jax.jit(model.init) if call == "jit" else getattr(model, call)
        return plain(init(jax.random.key(0), X))

    ours, theirs = both(flag, value, program)
    assert_same_tree(ours, theirs)
    assert set(ours["params"]) == (
        {"mine", "named"} if flag == "preserve_adopted_names" and value else {"inner", "named"}
    )


def transformed(lib):
    class Step(lib.Module):
        @lib.compact
        def __call__(self, x, _):
            return lib.Dense(3)(x), None

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            x = lib.jit(lib.Dense)(3)(lib.remat(lib.Dense)(3)(x))
            options = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "length": 2}
            x, _ = lib.scan(Step, **options)()(x, None)
            return lib.Dropout(0.5, deterministic=False)(x)

    return Model()


def test_no_trace_of_another_flag_is_used():
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    models = {lib: transformed(lib) for lib in (nn, flax.linen)}
    for value in (False, True, False):
        run = lambda lib: models[lib].init_with_output(keys, X)
        assert_same_tree(*map(plain, both("fix_rng_separator", value, run)))


def test_keys_that_are_drawn_in_turns():
    draw = nn.Dropout(0.5, deterministic=False)
    run = lambda: draw.apply({}, X, rngs={"dropout": jax.random.key(0)}).tolist()
    before = run()
    with config.temp_flip_flag("fix_rng_separator", True):
        assert run() != before
    assert run() == before


def test_a_store_is_read_under_the_names_of_the_flag():
    model = adopting(nn)
    for flag in (True, False):
        with config.temp_flip_flag("preserve_adopted_names", flag):
            y, variables = model.init_with_output(jax.random.key(0), X)
            assert_same_tree(model.apply(MemoryStore(variables), X), y)


def test_frozen_dicts():
    ours, theirs = both(
        "return_frozendict", True, lambda lib: lib.Dense(2).init(jax.random.key(0), X)
    )
    assert (type(ours), type(theirs)) == (linen_store.FrozenDict, flax.core.FrozenDict)
    assert type(nn.Dense(2).init(jax.random.key(0), X)) is dict


def test_profile():
    model = adopting(nn)
    variables = model.init(jax.random.key(0), X)

    def names():
        return jax.jit(model.apply).lower(variables, X).as_text(debug_info=True)

    assert "named" in names()
    with config.temp_flip_flag("profile", False):
        assert "named" not in names().replace("params']['named']", "")


def test_frames():
    def depth():
        try:
            nn.Dense(2).apply({}, X)
        except Exception as error:
            trace, count = error.__traceback__, 0
            while trace is not None:
                trace, count = trace.tb_next, count + 1
            return count

    hidden = depth()
    with config.temp_flip_flag("filter_frames", False):
        assert depth() > hidden
    assert depth() == hidden


def test_the_flags_are_those_of_flax():
    theirs = dict(flax_configurations.config._values)
    if flax.__version__ != "0.12.8":  # Linen does not have the flags that nnx got later
        later = {name for name in theirs.keys() - config._values.keys() if name.startswith("nnx_")}
        theirs = {name: value for name, value in theirs.items() if name not in later}
    assert {name: config._values[name] for name in theirs} == theirs
    added = {name for name in config._values.keys() - theirs if name.startswith(("flax", "nnx"))}
    assert not added  # programs may add flags of their own
    holders = {
        name: value.name
        for name, value in vars(flax_configurations).items()
        if isinstance(value, flax_configurations.FlagHolder) and value.name in theirs
    }
    assert {name: getattr(configurations, name).name for name in holders} == holders
    assert nn.config is config
    texts = {name: f"{name}={value}" for name, value in theirs.items()}
    assert all(text in repr(flax_configurations.config) for text in texts.values())
    assert all(text in repr(config) for text in texts.values())


@pytest.mark.parametrize("name", sorted(configurations._FLAGS_OF_NNX))
def test_flags_of_nnx_warn_once(name):
    old = getattr(config, name)
    config.update(name, old)
    message = (
        f"The flag '{name}' has no effect in Linen: it belongs to flax.nnx. Remove the update."
    )
    with pytest.warns(UserWarning, match=re.escape(message)) as caught:
        config.update(name, 3)
    config._values[name] = old
    assert len(caught) == 1


def errors(lib):
    flag = lib.flax_profile
    yield lambda: lib.config.update("flax_nothing", True)
    yield lambda: lib.config.flax_nothing
    yield lambda: bool(flag)
    yield lambda: lib.bool_flag("FLAX_PROFILE", default=True, help="")
    yield lambda: lib.static_bool_env("HOME", default=True)
    yield lambda: lib.static_int_env("HOME", default=1)
    yield lambda: lib.config.temp_flip_flag("nothing", True).__enter__()


@pytest.mark.parametrize(("ours", "theirs"), list(zip(*map(errors, LIBRARIES), strict=True)))
def test_errors(ours, theirs):
    assert_same_error(ours, theirs)


def test_new_flags(monkeypatch):
    monkeypatch.setenv("LINEN_TEST_ON", "Yes")
    monkeypatch.setenv("LINEN_TEST_NUMBER", "12")
    for lib in LIBRARIES:
        monkeypatch.setattr(lib.config, "_values", dict(lib.config._values))
        flags = [
            lib.bool_flag("linen_test_on", default=False, help="On."),
            lib.bool_flag("LINEN_TEST_OFF", default=False, help=""),
            lib.int_flag("linen_test_number", default=None, help=""),
            lib.int_flag("linen_test_no_number", default=None, help=""),
        ]
        assert [flag.value for flag in flags] == [True, False, 12, None]
        lib.config.update(flags[1], True)
        assert lib.config.linen_test_off is True


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [("FLAX_RETURN_FROZENDICT", "1", "FrozenDict"), ("FLAX_RETURN_FROZENDICT", "off", "dict")],
)
def test_environment(variable, value, expected):
    program = (
        "import jax, linen_core as nn; nn.config; "
        "print(type(nn.Dense(2).init(jax.random.key(0), jax.numpy.ones((1, 3)))).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [expected]


@pytest.mark.parametrize("lib", [ids, flax.ids])
def test_identifiers(lib):
    one, two = lib.uuid(), lib.uuid()
    assert one != two
    assert len({one, two, lib.FlaxId(one.id)}) == 2
    assert two.id == one.id + 1
    assert repr(one) == f"FlaxId({one.id})"
    assert one not in {copy.copy(one), copy.deepcopy(one)}
