"""Sums too large for 32-bit floats are rounded as XLA rounds them, without lowering the function."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_summary import _jaxpr_costs, summarize
from linen_summary._jaxpr_costs import JaxprCosts

KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}


class Block(nn.Module):
    train: bool

    @nn.compact
    def __call__(self, x, mask):
        attend = nn.MultiHeadDotProductAttention(4, dropout_rate=0.1, deterministic=not self.train)
        x = x + attend(nn.LayerNorm()(x), mask=mask)
        h = nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(3 * x.shape[-1])(nn.RMSNorm()(x))))
        return x + nn.Dropout(0.1, deterministic=not self.train)(h)


class Transformer(nn.Module):
    train: bool = False
    wrap: str = ""

    @nn.compact
    def __call__(self, tokens):
        embed = nn.Embed(1000, 304)
        x = embed(tokens)
        x = x + self.param("position", nn.initializers.normal(), x.shape[1:])
        mask = nn.make_causal_mask(tokens)
        block = getattr(nn, self.wrap)(Block) if self.wrap else Block
        for _ in range(2):
            x = block(self.train)(x, mask)
        return embed.attend(nn.LayerNorm()(x))


class Convolutional(nn.Module):
    train: bool = False

    @nn.compact
    def __call__(self, x):
        for features in (33, 65):
            x = nn.Conv(features, (3, 3), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not self.train)(x))
            x = nn.silu(nn.GroupNorm(1)(nn.Conv(features, (3, 3), (2, 2))(x)))
        return nn.log_softmax(nn.Dense(101)(x.mean((1, 2))))


TOKENS = jax.ShapeDtypeStruct((3, 77), jnp.int32)
IMAGES = jax.ShapeDtypeStruct((5, 57, 57, 3), jnp.float32)
MODELS = {
    "transformer": (Transformer(), TOKENS),
    "transformer in training": (Transformer(train=True), TOKENS),
    "rematerialized": (Transformer(train=True, wrap="remat"), TOKENS),
    "jitted": (Transformer(wrap="jit"), TOKENS),
    "convolutions": (Convolutional(), IMAGES),
    "convolutions in training": (Convolutional(train=True), IMAGES),
}
WITHOUT_LOWERING = set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_those_of_xla(name, monkeypatch):
    lowered = []
    ask, count = _jaxpr_costs._asked, JaxprCosts.of
    monkeypatch.setattr(_jaxpr_costs, "_asked", lambda t: lowered.append(t) or ask(t))
    counted = []

    def check(self, traced):
        counted.append((traced, count(self, traced)))
        return counted[-1][1]

    monkeypatch.setattr(JaxprCosts, "of", check)
    model, x = MODELS[name]
    table = summarize(model, KEYS, x, compute_flops=True, compute_vjp_flops=True)
    assert table.vjp_flops > table.flops > 2**24
    whole = [traced for traced, _ in counted if any(traced is other for other in lowered)]
    for traced, flops in counted:
        assert flops == ask(traced)
    assert (len(whole) == 0) == (name in WITHOUT_LOWERING)


@pytest.mark.parametrize("shape", [(4, 6), (3, 77, 33), (1, 5), ()])
@pytest.mark.parametrize("draw", ["bits", "uniform", "normal", "bernoulli", "key_data", "split"])
def test_keys_of_a_program_count_minus_one(shape, draw):
    def program(unused, key, x):
        key = jax.random.fold_in(key, 123)
        function = getattr(jax.random, draw)
        drawn = function(key) if draw in ("key_data", "split") else function(key, shape=shape)
        return drawn, x * 2

    traced = jax.jit(program).trace(KEYS["params"], KEYS["dropout"], jnp.ones(3))
    assert JaxprCosts().of(traced) == _jaxpr_costs._asked(traced)


class Shell(nn.Module):
    """The same layers, however many modules stand around them."""

    depth: int

    @nn.compact
    def __call__(self, x):
        if self.depth:
            return Shell(self.depth - 1)(x)
        return nn.Dense(4)(nn.gelu(nn.Dense(4)(x)))


def test_work_grows_linearly_with_nesting(monkeypatch):
    work = []
    count = JaxprCosts.exact
    monkeypatch.setattr(
        JaxprCosts, "exact", lambda self, jaxpr: work.append(len(jaxpr.eqns)) or count(self, jaxpr)
    )

    def traced(depth):
        work.clear()
        table = summarize(
            Shell(depth), KEYS, jnp.ones((2, 4)), compute_flops=True, compute_vjp_flops=True
        )
        assert len(table) == depth + 3
        return len(work), sum(work)

    (few, small), (some, middle), (many, large) = map(traced, (5, 10, 20))
    assert (some - few, many - some) == (10, 20)  # two traces for each further module
    assert large - middle == 2 * (middle - small)
