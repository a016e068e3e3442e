"""The printed table and its FLOPs equal flax's, character for character."""

import pathlib
from typing import ClassVar

import flax.linen.summary as flax_summary
import jax
import jax.numpy as jnp
import pytest
from flax import linen
from hypothesis import given
from hypothesis import strategies as st

import linen_core as nn
import linen_summary
from core._long_runs import IS_LONG
from parity._compare import parity_settings
from parity._tabulated import MODELS

RNGS = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout", "noise", "carry"))}
CONSOLE = {"force_terminal": False, "width": 160}
SEED_TABLE = pathlib.Path(__file__).with_name("seed_table.txt").read_text("utf-8")


def flax_table(module, *args, flops=False, depth=None, show_repeated=False, console=None, **kwargs):
    """Return flax's table with sorted collections. Their order in flax depends on the hashes of their names."""
    make = flax_summary._get_module_table(module, depth, show_repeated, flops, flops)
    table = make(RNGS, *args, **kwargs)
    table.collections = sorted(table.collections)
    columns = ["path", "module", "inputs", "outputs", *(["flops", "vjp_flops"] if flops else [])]
    return flax_summary._render_table(table, console or CONSOLE, {}, {}, columns)


def our_table(module, *args, flops=False, console=None, depth=None, show_repeated=False, **kwargs):
    return nn.tabulate(
        module,
        RNGS,
        depth=depth,
        show_repeated=show_repeated,
        console_kwargs=console or CONSOLE,
        compute_flops=flops,
        compute_vjp_flops=flops,
    )(*args, **kwargs)


def built(name, lib):
    module, args, *kwargs = MODELS[name](lib)
    return module, args, kwargs[0] if kwargs else {}


def assert_same_table(name, **options):
    tables = []
    for lib, print_table in ((nn, our_table), (linen, flax_table)):
        module, args, kwargs = built(name, lib)
        tables.append(print_table(module, *args, **options, **kwargs))
    ours, theirs = tables
    assert ours == theirs


class TestSeed:
    class Foo(nn.Module):
        @nn.compact
        def __call__(self, x):
            h = nn.Dense(4)(x)
            return nn.Dense(2)(h)

    options: ClassVar = {
        "compute_flops": True,
        "compute_vjp_flops": True,
        "console_kwargs": CONSOLE,
    }

    def test_table_to_the_character(self):
        text = nn.tabulate(self.Foo(), jax.random.key(0), **self.options)(jnp.ones((16, 9)))
        assert text == SEED_TABLE

    def test_method_prints_the_same(self):
        text = self.Foo().tabulate(jax.random.key(0), jnp.ones((16, 9)), **self.options)
        assert text == SEED_TABLE

    def test_shapes_suffice(self):
        x = jax.ShapeDtypeStruct((16, 9), jnp.float32)
        assert self.Foo().tabulate(jax.random.key(0), x, **self.options) == SEED_TABLE


@pytest.mark.parametrize("name", MODELS)
def test_plain_table(name):
    assert_same_table(name)


SIMILAR = {"bidirectional", "masked_decoder", "mgucell", "optimizedlstmcell", "vision_transformer"}


# The usual run leaves out models whose operations are those of others.
@pytest.mark.parametrize(
    "name", MODELS if IS_LONG else [one for one in MODELS if one not in SIMILAR]
)
def test_table_with_flops(name):
    assert_same_table(name, flops=True)


@parity_settings(2)
@given(
    name=st.sampled_from(sorted(MODELS)),
    depth=st.sampled_from([None, 0, 1, 2]),
    show_repeated=st.booleans(),
    width=st.sampled_from([40, 80, 120, 200]),
    terminal=st.booleans(),
)
def test_options(name, depth, show_repeated, width, terminal):
    # flax shows functions that a transform runs as calls without a path, and loses the variables of such modules
    show_repeated = show_repeated and name in ("shared", "transformer", "masked_decoder", "methods")
    console = {"width": width, "force_terminal": terminal}
    assert_same_table(name, depth=depth, show_repeated=show_repeated, console=console)


def test_arguments_of_rich():
    options = {
        "console_kwargs": CONSOLE,
        "table_kwargs": {"show_edge": False, "highlight": True},
        "column_kwargs": {"justify": "right", "overflow": "ellipsis", "max_width": 12},
    }
    tables = []
    for lib in (nn, linen):
        module, args, _ = built("mlp", lib)
        tables.append(lib.tabulate(module, RNGS, **options)(*args))
    assert tables[0] == tables[1]
    assert linen_summary.tabulate is nn.tabulate


LAYERS = st.sampled_from(["dense", "conv", "norm", "nested", "again", "attention", "scan"])


def drawn(lib, plan, features):
    class Inner(lib.Module):
        @lib.compact
        def __call__(self, x, _=None):
            return lib.tanh(lib.Dense(x.shape[-1])(x)), None

    class Drawn(lib.Module):
        @lib.compact
        def __call__(self, x):
            last = lib.Dense(features, name="last")
            for layer in plan:
                if layer == "dense":
                    x = lib.Dense(features)(x)
                elif layer == "conv":
                    x = lib.Conv(features, (3,))(x)
                elif layer == "norm":
                    x = lib.BatchNorm(use_running_average=False)(x)
                elif layer == "nested":
                    x = Inner()(x)[0]
                elif layer == "again":
                    x = last(lib.Dense(4, name=None)(x))
                elif layer == "attention":
                    x = lib.MultiHeadDotProductAttention(num_heads=1)(x)
                else:
                    axes, split = {"params": 0}, {"params": True}
                    x = lib.scan(Inner, variable_axes=axes, split_rngs=split, length=2)()(x, x)[0]
            return x

    return Drawn()


@parity_settings(4)
@given(plan=st.lists(LAYERS, min_size=1, max_size=4), features=st.integers(1, 5))
def test_drawn_models(plan, features):
    x = jnp.ones((2, 3, 4))
    if "again" in plan:
        features = 4
    if "scan" in plan:
        plan = [layer for layer in plan if layer != "scan"]
    ours, theirs = drawn(nn, plan, features), drawn(linen, plan, features)
    assert our_table(ours, x, flops=True) == flax_table(theirs, x, flops=True)
