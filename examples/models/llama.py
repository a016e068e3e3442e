"""Llama (https://arxiv.org/abs/2407.21783) with the parameters of transformers' LlamaForCausalLM.

`maps/llama.toml` maps the file `model.safetensors` of transformers, or its parts, to the parameters:

    model = llama.from_config(json.load(open("llama/config.json")))
    variables, report = linen_store.restore(model, "llama", tokens, map="maps/llama.toml")
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

import linen_core as nn
from blocks import repeat, require


def frequencies(size: int, base: float, scaling: Mapping[str, Any] | None) -> np.ndarray:
    """Return the frequency of each pair of features of a head, (size / 2,) in float32.

    Args:
      size: number of features of a head.
      base: the ratio of the frequencies, `rope_theta`.
      scaling: `rope_scaling` of Llama 3.1 and later, which lengthens the waves that are too short for long texts.
    """
    found = 1.0 / base ** (np.arange(0, size, 2, dtype=np.float32) / size)
    if scaling is None:
        return found.astype(np.float32)
    waves = scaling["original_max_position_embeddings"] * found / (2 * np.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    share = np.clip((waves - low) / (high - low), 0.0, 1.0)
    return ((1 - share) * found / scaling["factor"] + share * found).astype(np.float32)


def rotate(x, angles):
    """Turn pairs of features by angles.

    Args:
      x: queries or keys, (..., length, heads, features); a pair is a feature of the first half and its counterpart.
      angles: the angle of each position and pair, (length, features / 2).
    """
    cos, sin = (part[:, None, :] for part in (jnp.cos(angles), jnp.sin(angles)))
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class Attention(nn.Module):
    """Each token attends to itself and those before it; several heads may share keys and values."""

    heads: int
    kv_heads: int
    head_features: int
    bias: bool

    @nn.compact
    def __call__(self, x, angles):
        dense = functools.partial(nn.Dense, use_bias=self.bias)

        def project(name, heads):
            h = dense(heads * self.head_features, name=name)(x)
            return h.reshape(*x.shape[:-1], heads, self.head_features)

        q = rotate(project("q_proj", self.heads), angles)
        k = rotate(project("k_proj", self.kv_heads), angles)
        v = project("v_proj", self.kv_heads)
        k, v = (jnp.repeat(one, self.heads // self.kv_heads, axis=-2) for one in (k, v))
        h = nn.dot_product_attention(q, k, v, mask=nn.make_causal_mask(x[..., 0]))
        return dense(x.shape[-1], name="o_proj")(h.reshape(*x.shape[:-1], -1))


class MLP(nn.Module):
    """A dense layer, multiplied by a gate, and another dense layer."""

    hidden: int
    bias: bool

    @nn.compact
    def __call__(self, x):
        dense = functools.partial(nn.Dense, use_bias=self.bias)
        h = nn.silu(dense(self.hidden, name="gate_proj")(x)) * dense(self.hidden, name="up_proj")(x)
        return dense(x.shape[-1], name="down_proj")(h)


class Block(nn.Module):
    """Attention and an MLP, each on normalized features and added to them."""

    attention: Callable[..., nn.Module]
    mlp: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x, angles):
        x += self.attention(name="self_attn")(self.norm(name="input_layernorm")(x), angles)
        return x + self.mlp(name="mlp")(self.norm(name="post_attention_layernorm")(x))


class Llama(nn.Module):
    """A language model.

    Attributes:
      vocabulary: number of tokens.
      features: size of the representation of a token.
      layers: number of blocks.
      heads: number of heads of attention.
      kv_heads: number of heads of keys and values.
      head_features: number of features of a head.
      hidden: size of the hidden layer of each MLP.
      epsilon: epsilon of the norms.
      base: the ratio of the frequencies of rotary positions.
      scaling: `rope_scaling` of transformers, of the type llama3; None for none.
      attention_bias: whether attention has biases.
      mlp_bias: whether the MLPs have biases.
      tied: whether the output layer is the embedding.
      scanned: whether the blocks are one module under `nn.scan`.
    """

    vocabulary: int
    features: int
    layers: int
    heads: int
    kv_heads: int
    head_features: int
    hidden: int
    epsilon: float = 1e-6
    base: float = 10000.0
    scaling: Mapping[str, Any] | None = None
    attention_bias: bool = False
    mlp_bias: bool = False
    tied: bool = False
    scanned: bool = False

    @nn.compact
    def __call__(self, tokens):
        """Return the logits (batch, length, vocabulary) of the tokens (batch, length)."""
        embed = nn.Embed(self.vocabulary, self.features, name="embed_tokens")
        turns = frequencies(self.head_features, self.base, self.scaling)
        angles = jnp.arange(tokens.shape[-1], dtype=jnp.float32)[:, None] * turns
        heads = (self.heads, self.kv_heads, self.head_features)
        attention = functools.partial(Attention, *heads, self.attention_bias)
        mlp = functools.partial(MLP, self.hidden, self.mlp_bias)
        norm = functools.partial(nn.RMSNorm, self.epsilon)
        block = functools.partial(Block, attention, mlp, norm)
        x = repeat(block, self.layers, self.scanned, embed(tokens), angles)
        x = norm(name="norm")(x)
        if self.tied:
            return embed.attend(x)
        return nn.Dense(self.vocabulary, use_bias=False, name="lm_head")(x)


def from_config(config: Mapping[str, Any], *, scanned: bool = False) -> Llama:
    """Return the model of a `config.json` of transformers.

    Raises:
      ValueError: the configuration asks for something that this model does not have.
    """
    require(config, hidden_act=("silu",))
    scaling = config.get("rope_scaling")
    if scaling is not None:
        require(scaling, rope_type=("llama3",))
    return Llama(
        vocabulary=config["vocab_size"],
        features=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_features=config.get("head_dim")
        or config["hidden_size"] // config["num_attention_heads"],
        hidden=config["intermediate_size"],
        epsilon=config["rms_norm_eps"],
        base=config.get("rope_theta", 10000.0),
        scaling=scaling,
        attention_bias=config.get("attention_bias", False),
        mlp_bias=config.get("mlp_bias", False),
        tied=config.get("tie_word_embeddings", False),
        scanned=scanned,
    )
