"""Bodies that depend on more than their arguments, under transforms: each place and each call has its own value."""

import contextlib
import re

import flax.linen as flax_nn
import jax
import jax.numpy as jnp
from hypothesis import given
from hypothesis import strategies as st

import linen_core as nn

X = jnp.arange(6.0).reshape(2, 3)
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
MAPPED = {"variable_axes": {"params": 0}, "split_rngs": {"params": False, "dropout": False}}

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
# The streams of a module below jit begin anew there, so they say nothing of the place; and a body that counts calls
# is traced once or several times.
PLACED = ("name", "name in dict", "path", "key")


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


def run(lib, reads, wrap, variables=None, intercepted=False):
    """What a run gives for drawn bodies, with an interceptor that changes what blocks return."""
    model, calls = model_of(lib, reads, wrap)
    variables = jax.jit(model.init)(KEYS, X) if variables is None else variables
    calls.clear()
    count = []

    def intercept(next_fun, args, kwargs, context):
        result = next_fun(*args, **kwargs)
        if type(context.module).__name__ == "Block" and context.method_name == "__call__":
            count.append(0)
            return result + len(count)
        return result

    apply = jax.jit(model.apply)  # one program, where the blocks would be one each
    with lib.intercept_methods(intercept) if intercepted else contextlib.nullcontext():
        return apply(variables, X, rngs=KEYS), variables


def plain(lib, cls):
    return cls


def remat(lib, cls):
    return lib.remat(cls)


def mapped(lib, cls):
    return lib.vmap(cls, in_axes=None, out_axes=None, axis_size=1, variable_axes={"params": None},
                    split_rngs={"params": False, "dropout": False})  # fmt: skip


READS = st.lists(st.sampled_from(sorted(IMPURE)), max_size=3)


@given(reads=READS, intercepted=st.booleans())
def test_under_remat_every_place_and_call_has_its_own(reads, intercepted):
    expected, variables = run(nn, reads, plain, intercepted=intercepted)
    ours, made = run(nn, reads, remat, intercepted=intercepted)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, made, variables))
    assert jnp.allclose(ours, expected, rtol=1e-6)
    ours, _ = run(nn, reads, remat, variables, intercepted)
    theirs, _ = run(flax_nn, reads, remat, variables, intercepted)
    assert (ours == theirs).all()


@given(reads=READS, intercepted=st.booleans())
def test_under_vmap_every_place_and_call_has_its_own(reads, intercepted):
    _, variables = run(nn, reads, plain)
    expected, _ = run(nn, reads, plain, variables, intercepted)
    ours, _ = run(nn, reads, mapped, variables, intercepted)
    assert jnp.allclose(ours, expected, rtol=1e-5)


def scanned(lib, cls):
    class Step(cls):
        @lib.compact
        def __call__(self, x, _=None):
            return super().__call__(x), None

    looped = lib.scan(
        Step, variable_broadcast="params", split_rngs={"params": False, "dropout": False}, length=1
    )

    class Block(looped):
        def __call__(self, x):
            return super().__call__(x, None)[0]

    return Block


@given(
    reads=st.lists(st.sampled_from(["counter", "list", "name", "name in dict", "path"]), max_size=3)
)
def test_under_scan_every_place_and_call_has_its_own(reads):
    model, calls = model_of(nn, reads, plain)
    variables = jax.jit(model.init)(KEYS["params"], X)
    calls.clear()
    expected = jax.jit(model.apply)(variables, X)
    model, calls = model_of(nn, reads, scanned)
    assert jnp.allclose(jax.jit(model.apply)(variables, X), expected, rtol=1e-5)


def jitted(lib, cls):
    return lib.jit(cls)


@given(reads=st.lists(st.sampled_from(PLACED), max_size=3))
def test_under_jit_as_flax(reads):
    _, variables = run(flax_nn, reads, plain)
    ours, theirs = (run(lib, reads, jitted, variables)[0] for lib in (nn, flax_nn))
    assert jnp.allclose(ours, theirs, rtol=1e-6)
