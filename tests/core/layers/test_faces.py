"""Each layer, function and initializer of flax.linen is here, with its signature, its repr, and able to be pickled."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
import linen_core.layers
from linen_core.layers.initializers import BuiltInitializer

flax_nn = pytest.importorskip("flax.linen", reason="the faces are compared with those of flax")

LAYERS = [name for name in linen_core.layers.__all__ if isinstance(getattr(nn, name), type)]
MODULES = [name for name in LAYERS if issubclass(getattr(nn, name), nn.Module)]
FUNCTIONS = [name for name in linen_core.layers.__all__ if name not in LAYERS]
IN_FLAX = [name for name in FUNCTIONS if hasattr(flax_nn, name)]
SUBMODULES = [
    "activation",
    "attention",
    "batch_apply",
    "combinators",
    "dtypes",
    "fp8_ops",
    "initializers",
    "linear",
    "normalization",
    "pooling",
    "recurrent",
    "stochastic",
]


OWN = {"out_sharding"}


def _same_default(ours, theirs):
    if "Sentinel" in repr(theirs):  # the default of `parent`
        return "the surrounding module" in repr(ours)
    if isinstance(ours, BuiltInitializer):
        key, shape = jax.random.key(0), (3, 4)
        return np.array_equal(ours(key, shape, jnp.float32), theirs(key, shape, jnp.float32))
    if callable(ours) and not isinstance(ours, type):
        return ours.__name__ == theirs.__name__
    if "factory" in repr(theirs):
        return type(ours) is object
    return (type(ours) is type(theirs) and ours == theirs) or dict(ours or {}) == dict(theirs or {})


def _same_signature(ours, theirs):
    mine, other = (inspect.signature(f).parameters for f in (ours, theirs))
    # Linen's own options are keyword-only: a call written for flax keeps its meaning.
    own = {
        name
        for name, one in mine.items()
        if name in OWN and name not in other and one.kind is one.KEYWORD_ONLY
    }
    assert [name for name in mine if name not in own] == list(other)
    for name, parameter in other.items():
        if name not in {"parent", "name"}:  # ours take them by keyword only
            assert mine[name].kind == parameter.kind, name
        if inspect.Parameter.empty in (mine[name].default, parameter.default):
            assert mine[name].default is parameter.default, name
        else:
            assert _same_default(mine[name].default, parameter.default), name


def test_nothing_is_missing():
    theirs = {
        name
        for module in SUBMODULES
        for name, value in vars(getattr(flax_nn, module)).items()
        if getattr(value, "__module__", "") == f"flax.linen.{module}" and name in vars(flax_nn)
    }
    assert len(theirs) > 40
    assert theirs <= set(linen_core.layers.__all__)


@pytest.mark.parametrize("module", SUBMODULES)
def test_names_reached_through_submodules(module):
    """Everything public that a submodule of flax.linen defines or re-exports from JAX is reachable by the same path."""
    theirs = getattr(flax_nn, module)
    wanted = {
        name
        for name, value in vars(theirs).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", "") == theirs.__name__
    }
    wanted -= {
        "Fp8MetaTyRules",
        "fp8_meta_dtype",
        "fp8_meta_dtype_wrapper",
    }  # the dtype's own workings
    wanted -= {
        name for name in wanted if name.endswith(("_fwd", "_bwd", "_jvp")) or "transpose" in name
    }
    wanted -= {
        "ndim_at_least",
        "arbitrary_mergeable_leaf",
        "merge_leading_dims",
        "split_leading_dim",
    }
    assert wanted <= set(vars(getattr(nn, module)))


def test_private_names_that_programs_reach_for():
    assert nn.linear._canonicalize_tuple(3) == (3,)
    assert nn.linear._normalize_axes((-1, 0), 3) == (0, 2)
    ours = nn.linear._conv_dimension_numbers((1, 5, 5, 3))
    assert ours == flax_nn.linear._conv_dimension_numbers((1, 5, 5, 3))
    assert nn.linear.default_embed_init((key := jax.random.key(0)), (3, 4)).shape == (3, 4)
    assert nn.linear.default_kernel_init(key, (3, 4)).shape == (3, 4)
    assert nn.normalization._canonicalize_axes(3, (-1, 0)) == (0, 2)
    assert nn.linear.PrecisionLike
    assert nn.attention.make_causal_mask is nn.make_causal_mask
    assert callable(nn.pooling.pool)
    assert {"in_qdq", "out_qdq", "dot_general_with_precision"} <= set(nn.fp8_ops.__all__)


@pytest.mark.parametrize("name", LAYERS)
def test_signature_of_layer(name):
    ours, theirs = getattr(nn, name), getattr(flax_nn, name)
    _same_signature(ours, theirs)
    _same_signature(ours.__call__, theirs.__call__)


@pytest.mark.parametrize("name", [n for n in IN_FLAX if n not in {"tanh", "normalize"}])
def test_signature_of_function(name):
    if (
        name == "standardize"
        and "algorithm" not in inspect.signature(flax_nn.standardize).parameters
    ):
        pytest.skip("flax passes on jax.nn.standardize, which has no `algorithm` before JAX 0.10.1")
    _same_signature(getattr(nn, name), getattr(flax_nn, name))


@pytest.mark.parametrize(
    "name", [n for n in nn.initializers.__all__ if n not in {"Initializer", "ones", "zeros"}]
)
def test_signature_of_initializer(name):
    _same_signature(getattr(nn.initializers, name), getattr(flax_nn.initializers, name))


ARGUMENTS = {
    "Conv": (3, (2, 2)),
    "ConvLocal": (3, (2,)),
    "ConvTranspose": (3, (2,)),
    "ConvLSTMCell": (3, (2, 2)),
    "Dense": (3,),
    "DenseGeneral": ((3, 4),),
    "Dropout": (0.5,),
    "Einsum": ((3, 4), "ab,bc->ac"),
    "Embed": (5, 3),
    "Sequential": ([],),
    **dict.fromkeys(("MultiHeadAttention", "MultiHeadDotProductAttention", "SelfAttention"), (2,)),
    **dict.fromkeys(("GRUCell", "LSTMCell", "MGUCell", "OptimizedLSTMCell", "SimpleCell"), (3,)),
}


def _made(library, name):
    if name == "RNN":
        return library.RNN(library.LSTMCell(3))
    if name == "Bidirectional":
        return library.Bidirectional(
            library.RNN(library.GRUCell(3)), library.RNN(library.GRUCell(3))
        )
    if name in {"SpectralNorm", "WeightNorm"}:
        return getattr(library, name)(library.Dense(3))
    return getattr(library, name)(*ARGUMENTS.get(name, ()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_repr(name):
    theirs = repr(_made(flax_nn, name)).replace("FrozenDict({})", "{}")
    theirs = re.sub(r"FrozenDict\(\{\s*params: False,\s*\}\)", "{'params': False}", theirs)
    assert repr(_made(nn, name)) == theirs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_layer_survives_pickling(name):
    layer = _made(nn, name)
    assert pickle.loads(pickle.dumps(layer)) == layer


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_survives_pickling(name):
    function = getattr(nn, name)
    assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize("name", ["lecun_normal", "orthogonal", "he_uniform", "uniform"])
def test_built_initializer_is_a_value(name):
    build = getattr(nn.initializers, name)
    assert build() == build()
    assert hash(build()) == hash(build())
    assert pickle.loads(pickle.dumps(build())) == build()
    assert build() != nn.initializers.normal(0.5)
    assert repr(build()).startswith(f"{name}(")


def test_built_initializers_that_draw_different_bits_differ():
    constant = nn.initializers.constant
    assert constant(0.0) != constant(-0.0)
    assert constant(np.float32(0.0)) != constant(np.float32(-0.0))
    assert len({constant(1), constant(1.0), constant(True), constant(np.float32(1))}) == 4
    assert constant(1) == constant(1)
    assert constant(np.float32(1)) == constant(np.float32(1))
    array = jnp.ones(2)
    assert constant(array) == constant(array)
    assert constant(array) != constant(jnp.ones(2))
    assert nn.initializers.variance_scaling(
        1.0, "fan_in", "normal", [0]
    ) == nn.initializers.variance_scaling(1.0, "fan_in", "normal", (0,))


def test_zeros_of_numpy_keep_their_signs_under_jit():
    zeros = [nn.initializers.constant(np.float32(value)) for value in (0.0, -0.0)]
    signs = jax.jit(lambda key: [jnp.signbit(init(key, (1,), jnp.float32)) for init in zeros])
    assert [bool(sign[0]) for sign in signs(jax.random.key(0))] == [False, True]


def test_every_name_is_declared_by_its_file():
    for name in linen_core.layers.__all__:
        value = getattr(linen_core.layers, name)
        home = sys.modules.get(getattr(value, "__module__", ""))
        if home is not None and home.__name__.startswith("linen_core."):
            assert name in home.__all__, name


def test_a_program_loads_the_layers_it_uses_and_no_others():
    code = (
        "import sys, linen_core as nn; nn.Dense\n"
        "print([m for m in sys.modules if m.startswith('linen_core.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "linen_core.layers.dense" in done.stdout
    assert "attention" not in done.stdout
    assert "recurrent" not in done.stdout
    assert "linen_core.spmd" not in done.stdout
    assert "linen_core.transforms" not in done.stdout
