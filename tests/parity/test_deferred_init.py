"""`init` gives flax's variables to the bit, eager or compiled, though it neither compiles nor runs the forward pass."""

import contextlib
import io

import flax.linen as fnn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from core._last_bits import assert_same_draw
from core._long_runs import IS_LONG
from parity._compare import assert_same_tree, needs_a_mesh, parity_settings, plain

F32 = jnp.float32

X = jnp.arange(16.0).reshape(2, 8) / 16

INITIALIZERS = st.sampled_from(
    [
        lambda lib: lib.initializers.lecun_normal(),
        lambda lib: lib.initializers.he_uniform(),
        lambda lib: lib.initializers.normal(0.02),
        lambda lib: lib.initializers.truncated_normal(0.5),
        lambda lib: lib.initializers.variance_scaling(2.0, "fan_avg", "normal"),
        lambda lib: lib.initializers.orthogonal(),
        lambda lib: lib.initializers.constant(0.25),
        lambda lib: jax.nn.initializers.glorot_uniform(),
        lambda lib: lambda key, shape, dtype=jnp.float32: jax.random.normal(key, shape, dtype) + 1,
        lambda lib: lib.with_partitioning(lib.initializers.normal(), (None, "model")),
    ]
)
LAYERS = st.sampled_from(["Dense", "Conv", "LayerNorm", "BatchNorm", "Embed", "attention", "GRU"])
WRAPPERS = st.sampled_from(["", "", "jit", "remat", "vmap", "scan"])


def layer(lib, kind, kernel_init, x):
    if kind == "Dense":
        return lib.Dense(8, kernel_init=kernel_init(lib))(x)
    if kind == "Conv":
        return lib.Conv(8, (1,))(x[None])[0]
    if kind == "LayerNorm":
        return lib.LayerNorm()(x)
    if kind == "BatchNorm":
        return lib.BatchNorm(use_running_average=False)(x)
    if kind == "Embed":
        return x + lib.Embed(5, 8)(jnp.array([1, 4]))
    if kind == "GRU":
        return lib.GRUCell(8)(x, x)[1]
    return lib.MultiHeadDotProductAttention(2)(x[None])[0]


def model(lib, plan):
    class Block(lib.Module):
        kind: str
        number: int

        @lib.compact
        def __call__(self, x, _=None):
            return layer(lib, self.kind, plan[self.number][2], x), None

    lifted = {
        "": Block,
        "jit": lib.jit(Block),
        "remat": lib.remat(Block),
        "vmap": lib.vmap(
            Block, variable_axes={"params": 0, "batch_stats": 0}, split_rngs={"params": True}
        ),
        "scan": lib.scan(
            Block,
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            length=3,
        ),
    }

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            for number, (wrapper, kind, _) in enumerate(plan):
                block = lifted[wrapper](kind, number)
                inputs = (jnp.stack([x, x]),) if wrapper == "vmap" else (x, None)
                y = block(*inputs)[0]
                x = y[0] if wrapper == "vmap" else y
            return x

    return Model()


KEYS = st.sampled_from(
    [
        jax.random.key,
        jax.random.PRNGKey,
        lambda seed: jax.random.key(seed, impl="rbg"),
    ]
)


@parity_settings(share=2)
@hypothesis.given(
    plan=st.lists(st.tuples(WRAPPERS, LAYERS, INITIALIZERS), min_size=1, max_size=3),
    make_key=KEYS,
    seed=st.integers(0, 100),
    jitted=st.booleans(),
    one_device=st.booleans(),
)
def test_variables_of_drawn_models(plan, make_key, seed, jitted, one_device):
    key = make_key(seed)
    with pytest.MonkeyPatch.context() as patch:
        if one_device:  # one loop draws all parameters; of several devices, a loop for each shape
            patch.setattr(jax, "device_count", lambda: 1)
        results = []
        for lib in (nn, fnn):
            init = model(lib, plan).init
            results.append(plain((jax.jit(init) if jitted else init)(key, X)))
    ours, theirs = (
        jax.tree.map(lambda leaf: leaf, lib.meta.unbox(tree))
        for lib, tree in zip((nn, fnn), results, strict=True)
    )
    jax.tree.map(assert_same_draw, ours, theirs)


COMPILED = [
    (initializer, dtype, devices)
    for initializer in ("normal", "lecun_normal", "uniform", "glorot_normal")
    for dtype in ("float32", "bfloat16", "float16")
    for devices in (1, 8)
]


# The usual run has each initializer, each dtype, and one and eight devices among its cases.
@pytest.mark.parametrize(
    ("initializer", "dtype", "devices"), COMPILED if IS_LONG else COMPILED[::5]
)
def test_compiled_init_has_the_bits_of_flax_compiled(initializer, dtype, devices, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    results = []
    for lib in (nn, fnn):
        make = getattr(lib.initializers, initializer)
        sizes = (8, 24, 24, 300)
        stack = lib.Sequential([lib.Dense(n, kernel_init=make(), param_dtype=dtype) for n in sizes])
        results.append(jax.jit(stack.init)(jax.random.key(1), X))
    assert_same_tree(plain(results[0]), plain(results[1]))


def initializer(lib):
    return lambda key: lib.Dense(4).init(key, X)


OF_USERS = {
    "root": lambda k, s, d=F32: jax.random.normal(k, s, d) * (jnp.sqrt(2.0 / s[0]) / 3.0),
    "product": lambda k, s, d=F32: jax.random.uniform(k, s, d) * 2.3 * 1.7,
    "quotient": lambda k, s, d=F32: jax.random.uniform(k, s, d, -1, 1) / jnp.float32(7),
    "affine": lambda k, s, d=F32: (
        jax.random.normal(k, s, d) * jnp.sqrt(jnp.float32(s[0])) / jnp.float32(1.3)
        + jnp.float32(0.1)
    ),
    "exponential": lambda k, s, d=F32: (
        jnp.exp(jax.random.uniform(k, s, d) * 0.3) * jax.lax.rsqrt(jnp.float32(s[-1]))
    ),
}


RUNS = {
    "eager": (lambda run: run, jax.random.key(0)),
    "jit": (jax.jit, jax.random.key(0)),
    "vmap": (jax.vmap, jax.random.split(jax.random.key(0))),
    "jit of vmap": (lambda run: jax.jit(jax.vmap(run)), jax.random.split(jax.random.key(0))),
}
ALL_RUNS = [
    (name, dtype, run, devices)
    for name in OF_USERS
    for dtype in ("float32", "bfloat16")
    for run in RUNS
    for devices in (1, 8)
]


# Each case compiles four programs. The usual run has each initializer, each run and each dtype among its cases.
@pytest.mark.parametrize(
    ("name", "dtype", "run", "devices"), ALL_RUNS if IS_LONG else ALL_RUNS[::19]
)
def test_initializers_of_users(name, dtype, run, devices, monkeypatch):
    """Operations are rounded as in the program that flax would run: one by one, or compiled together."""
    monkeypatch.setattr(jax, "device_count", lambda: devices)

    def initialize(lib):
        layers = [
            lib.Dense(size, kernel_init=OF_USERS[name], param_dtype=dtype) for size in (40, 48, 40)
        ]
        return lambda key: lib.Sequential(layers).init(key, jnp.ones((2, 48)))

    wrap, key = RUNS[run]
    ours, theirs = (wrap(initialize(lib)) for lib in (nn, fnn))
    assert_same_tree(plain(ours(key)), plain(theirs(key)))


@pytest.mark.parametrize("size", [3, 7, 15, 17])
@pytest.mark.parametrize("function", [jnp.exp, jnp.log])
def test_small_arrays_of_initializers_of_users(function, size):
    def draw(key, shape):
        return function(jax.random.uniform(key, shape) + 0.1)

    for seed in range(10):
        ours, theirs = (
            lib.Dense(size, bias_init=lambda key, shape, _: draw(key, shape)).init(
                jax.random.key(seed), X
            )
            for lib in (nn, fnn)
        )
        assert_same_tree(plain(ours), plain(theirs))


def test_eager_bits_do_not_depend_on_an_earlier_compilation():
    ids = jnp.array([1, 2])
    jax.jit(nn.Embed(37, 3).init)(jax.random.key(0), ids)
    for seed in range(20):
        ours, theirs = (lib.Embed(37, 3).init(jax.random.key(seed), ids) for lib in (nn, fnn))
        assert_same_tree(plain(ours), plain(theirs))


TWO, EIGHT = jnp.float32(2), jnp.arange(1.0, 9.0)
SCALES = {
    "array of results": lambda key: jnp.array([jnp.exp(TWO), TWO]).sum(),
    "element of one": lambda key: jnp.cumsum(jnp.exp(TWO)[None])[0],
    "drawn element": lambda key: jax.random.choice(key, EIGHT),
    "found element": lambda key: jnp.take(EIGHT, jnp.argmax(EIGHT)),
    "linspace": lambda key: jnp.linspace(0, 1, 5)[3],
    "padded": lambda key: jnp.pad(jnp.sin(TWO)[None], 1).sum(),
    "product of matrices": lambda key: (jnp.exp(TWO)[None, None] @ jnp.ones((1, 1)))[0, 0],
    "sorted": lambda key: jnp.sort(jnp.exp(TWO)[None])[0],
    "updated": lambda key: EIGHT.at[jnp.argmax(EIGHT)].set(TWO * 3).max(),
}


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("scale", SCALES)
def test_scales_that_are_computed_from_small_arrays(scale, size):
    def init_fn(key, shape, dtype=F32):
        return jax.random.normal(key, shape, dtype) * SCALES[scale](key)

    inputs = jnp.ones((2, size))
    ours, theirs = (
        lib.Dense(size, kernel_init=init_fn).init(jax.random.key(0), inputs) for lib in (nn, fnn)
    )
    assert_same_tree(plain(ours), plain(theirs))


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_64_bits_are_enabled(dtype, devices, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    with jax.enable_x64(True):
        for wrap in (jax.jit, lambda run: run):
            ours, theirs = (
                wrap(lib.Sequential([lib.Dense(4, param_dtype=dtype), lib.Dense(3)]).init)(
                    jax.random.key(0), X
                )
                for lib in (nn, fnn)
            )
            assert_same_tree(plain(ours), plain(theirs))


@pytest.mark.parametrize("one_device", [True, False])
def test_ensembles(one_device, monkeypatch):
    if one_device:
        monkeypatch.setattr(jax, "device_count", lambda: 1)
    keys = jax.random.split(jax.random.key(0), 3)
    for run in (jax.vmap, lambda f: lambda keys: jax.lax.map(f, keys)):
        ours, theirs = (plain(run(initializer(lib))(keys)) for lib in (nn, fnn))
        jax.tree.map(assert_same_draw, ours, theirs)


@needs_a_mesh
@pytest.mark.parametrize("one_device", [True, False])
def test_shardings_of_the_outputs(one_device, monkeypatch):
    if one_device:
        monkeypatch.setattr(jax, "device_count", lambda: 1)
    mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data", "model"))
    shardings = {"params": {"kernel": sharding}}
    ours, theirs = (
        jax.jit(lib.Dense(4, use_bias=False).init, out_shardings=shardings)(jax.random.key(0), X)
        for lib in (nn, fnn)
    )
    assert ours["params"]["kernel"].sharding == sharding
    assert_same_tree(plain(ours), plain(theirs))


OBSERVATIONS = st.sampled_from(
    [
        lambda x: print(x.shape, float(x[0, 0])),
        print,
        lambda x: print(f"{x.mean():.3f}", np.asarray(x).dtype),
        lambda x: print("positive" if x.sum() > 0 else "negative"),
        lambda x: print(x[x > 0.1].size),
        lambda x: jax.debug.print("{}", x.sum(), ordered=True),
        lambda x: print(jax.grad(lambda v: v.sum())(x)[0, 0]),
        lambda x: print(next(iter(x)).tolist()[:2]),
        lambda x: print(jnp.linalg.norm(x).item()),
        lambda x: x.reshape(3, 7),
        int,
        lambda x: [][int(x[0, 0])],
    ]
)


def looking(lib, looks):
    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            for look in looks:
                x = lib.Dense(8)(x)
                look(x)
            return x

    return Model()


@parity_settings(share=2)
@hypothesis.given(looks=st.lists(OBSERVATIONS, min_size=1, max_size=4))
def test_bodies_that_look_at_values(looks):
    seen = []
    for lib in (nn, fnn):
        out, error = io.StringIO(), None
        variables = {}
        with contextlib.redirect_stdout(out):
            try:
                variables = plain(looking(lib, looks).init(jax.random.key(0), X))
            except Exception as raised:
                error = type(raised)
            jax.effects_barrier()
        seen.append((out.getvalue(), error, variables))
    assert seen[0][:2] == seen[1][:2]
    assert_same_tree(seen[0][2], seen[1][2])
