"""Bodies that depend on more than their arguments, under transforms: each place and each call has its own value."""

import contextlib
import re

import flax.linen as flax_nn
import jax
import jax.numpy as jnp
from hypothesis import given
from hypothesis import strategies as st

import linen_core as nn
from parity._compare import parity_settings

X = jnp.arange(6.0).reshape(2, 3)
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}

# Each returns a number that depends on the place of the module or on the calls so far.
IMPURE = {
    "counter": lambda module, calls: len(calls),
    "list": lambda module, calls: sum(calls),
    "name": lambda module, calls: int(module.name[-1]),
    "name in dict": lambda module, calls: int(module.__dict__["name"][-1]),
    "path": lambda module, calls: int(module.path[-1][-1]),
    "suffix": lambda module, calls: int(module.scope.rngs["dropout"].suffix[-1][-1]),
    "streams": lambda module, calls: sum(map(int, re.findall(r"b(\d)", str(module.scope.rngs)))),
    "key": lambda module, calls: jax.random.uniform(module.make_rng("dropout")),
}
# Under jit streams begin anew, so that they say nothing of the place, and a body that counts calls is traced once for
# several of them. Under scan a body that draws keys is traced twice, as by flax.
PLACED = ("name", "name in dict", "path", "key")
TRACED_ONCE = ("counter", "list", "name", "name in dict", "path")


def block(lib, reads, calls, wrap):
    class Block(lib.Module):
        @lib.compact
        def __call__(self, x):
            calls.append(len(calls))
            for read in reads:
                x = 2 * x + IMPURE[read](self, calls)
            return lib.Dense(3)(x)

    return wrap(lib, Block)


def model_of(lib, reads, wrap):
    calls = []
    layer = block(lib, reads, calls, wrap)

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            for number in range(3):
                x = layer(name=f"b{number}")(x)
            return x

    return Model(), calls


def run(lib, reads, wrap, intercepted=False):
    """What a run gives for drawn bodies, with an interceptor that changes what blocks return."""
    model, _ = model_of(lib, reads, wrap)
    count = []

    def intercept(next_fun, args, kwargs, context):
        result = next_fun(*args, **kwargs)
        if type(context.module).__name__ == "Block" and context.method_name == "__call__":
            count.append(0)
            return result + len(count)
        return result

    with lib.intercept_methods(intercept) if intercepted else contextlib.nullcontext():
        return model.apply(VARIABLES, X, rngs=KEYS)


def plain(lib, cls):
    return cls


def remat(lib, cls):
    return lib.remat(cls)


def mapped(lib, cls):
    return lib.vmap(cls, in_axes=None, out_axes=None, axis_size=1, variable_axes={"params": None},
                    split_rngs={"params": False, "dropout": False})  # fmt: skip


def scanned(lib, cls):
    class Step(cls):
        @lib.compact
        def __call__(self, x, _=None):
            return super().__call__(x), None

    splits = {"params": False, "dropout": False}
    looped = lib.scan(Step, variable_broadcast="params", split_rngs=splits, length=1)

    class Block(looped):
        def __call__(self, x):
            return super().__call__(x, None)[0]

    return Block


def jitted(lib, cls):
    return lib.jit(cls)


VARIABLES = model_of(nn, (), plain)[0].init(KEYS, X)
READS = st.lists(st.sampled_from(sorted(IMPURE)), max_size=3)
FEW = parity_settings(share=3)


@FEW
@given(reads=READS, intercepted=st.booleans())
def test_under_remat_every_place_and_call_has_its_own(reads, intercepted):
    expected = run(nn, reads, plain, intercepted)
    ours = run(nn, reads, remat, intercepted)
    assert jnp.allclose(ours, expected, rtol=1e-6)
    assert (ours == run(flax_nn, reads, remat, intercepted)).all()


@FEW
@given(reads=READS, intercepted=st.booleans())
def test_under_vmap_every_place_and_call_has_its_own(reads, intercepted):
    expected = run(nn, reads, plain, intercepted)
    assert jnp.allclose(run(nn, reads, mapped, intercepted), expected, rtol=1e-5)


@FEW
@given(reads=st.lists(st.sampled_from(TRACED_ONCE), max_size=3))
def test_under_scan_every_place_and_call_has_its_own(reads):
    expected, ours = (model_of(nn, reads, wrap)[0].apply(VARIABLES, X) for wrap in (plain, scanned))
    assert jnp.allclose(ours, expected, rtol=1e-5)


@FEW
@given(reads=st.lists(st.sampled_from(PLACED), max_size=3))
def test_under_jit_as_flax(reads):
    ours, theirs = (run(lib, reads, jitted) for lib in (nn, flax_nn))
    assert jnp.allclose(ours, theirs, rtol=1e-6)


@FEW
@given(reads=st.lists(st.sampled_from(PLACED), max_size=3))
def test_under_jit_interceptors_run_around_every_block(reads):
    expected = run(nn, reads, plain, intercepted=True)
    if "key" in reads:  # the streams of a jitted module begin anew
        return
    assert jnp.allclose(run(nn, reads, jitted, intercepted=True), expected, rtol=1e-6)
