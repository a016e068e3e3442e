"""FLOPs above 2**24 are exact, within 1e-6 of XLA's rounded sums, and computed without lowering the model."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_summary import summarize
from linen_summary.costs import flops as flops_module
from linen_summary.costs.flops import FlopCounter

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


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_within_a_millionth_of_those_of_xla(name, monkeypatch):
    lowered, counted = [], []
    ask, count = flops_module._xla_flops, FlopCounter.count

    def keep(self, traced):
        counted.append((traced, count(self, traced)))
        return counted[-1][1]

    monkeypatch.setattr(
        flops_module, "_xla_flops", lambda traced: lowered.append(traced) or ask(traced)
    )
    monkeypatch.setattr(FlopCounter, "count", keep)
    model, x = MODELS[name]
    table = summarize(model, KEYS, x, compute_flops=True, compute_vjp_flops=True)
    assert table.vjp_flops > table.flops > 2**24
    assert not any(traced is other for traced, _ in counted for other in lowered)
    for traced, flops in counted:
        tolerance = 0 if flops < 2**24 else 1e-6
        assert flops == pytest.approx(ask(traced), rel=tolerance, abs=0)


@pytest.mark.parametrize("name", ["transformer", "convolutions in training"])
def test_a_batch_of_twice_the_size_costs_twice(name):
    """Only exact sums grow linearly with the batch."""
    model, x = MODELS[name]
    flops = []
    for times in (1, 2, 3):
        batch = jax.ShapeDtypeStruct((times * x.shape[0], *x.shape[1:]), x.dtype)
        table = summarize(model, KEYS, batch, compute_flops=True, compute_vjp_flops=True)
        flops.append((table.flops, table.vjp_flops))
    for one, two, three in zip(*flops, strict=True):
        assert three - two == two - one > 0
