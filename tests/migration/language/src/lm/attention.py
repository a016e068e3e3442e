import functools

import jax.numpy as jnp
from flax import linen as nn
from flax.linen import attention, make_causal_mask

from . import layers
from .config import Config


def causal_mask(tokens):
    """Attend to earlier tokens, and never to padding."""
    return nn.combine_masks(make_causal_mask(tokens), nn.make_attention_mask(tokens > 0, tokens > 0))


class SelfAttention(nn.Module):
    config: Config

    @nn.compact
    def __call__(self, x, mask, deterministic):
        config = self.config
        project = functools.partial(
            layers.dense, (config.heads, config.head_dim), ("embed", "heads", "kv"), config
        )
        query, key, value = (project(name=name)(x) for name in ("query", "key", "value"))
        query = nn.with_logical_constraint(query, ("batch", "length", "heads", "kv"))
        rng = None if deterministic else self.make_rng("dropout")
        y = attention.dot_product_attention(
            query,
            key,
            value,
            mask=mask,
            dropout_rng=rng,
            dropout_rate=config.dropout,
            deterministic=deterministic,
            dtype=config.dtype,
        )
        out = layers.dense(config.emb, ("heads", "kv", "embed"), config, contracted=2, name="out")
        return jnp.asarray(out(y), x.dtype)
