"""GPT-2 (https://openai.com/research/better-language-models) with the parameters of transformers' GPT2LMHeadModel.

`maps/gpt2.toml` maps the file `model.safetensors` of transformers to the parameters:

    model = gpt2.from_config(json.load(open("gpt2/config.json")))
    variables, report = linen_store.restore(model, "gpt2/model.safetensors", tokens, map="maps/gpt2.toml")
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

import linen_core as nn
from blocks import ACTIVATIONS, repeat, require


class Attention(nn.Module):
    """Each token attends to itself and those before it."""

    heads: int

    @nn.compact
    def __call__(self, x):
        features = x.shape[-1]
        parts = jnp.split(nn.Dense(3 * features, name="c_attn")(x), 3, axis=-1)
        q, k, v = (part.reshape(*x.shape[:-1], self.heads, -1) for part in parts)
        mask = nn.make_causal_mask(x[..., 0])
        x = nn.dot_product_attention(q, k, v, mask=mask).reshape(x.shape)
        return nn.Dense(features, name="c_proj")(x)


class MLP(nn.Module):
    """Two dense layers with an activation between them."""

    hidden: int
    activation: Callable[..., Any]

    @nn.compact
    def __call__(self, x):
        h = self.activation(nn.Dense(self.hidden, name="c_fc")(x))
        return nn.Dense(x.shape[-1], name="c_proj")(h)


class Block(nn.Module):
    """Attention and an MLP, each on normalized features and added to them."""

    heads: int
    hidden: int
    activation: Callable[..., Any]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x):
        x += Attention(self.heads, name="attn")(self.norm(name="ln_1")(x))
        return x + MLP(self.hidden, self.activation, name="mlp")(self.norm(name="ln_2")(x))


class GPT2(nn.Module):
    """A language model.

    Attributes:
      vocabulary: number of tokens.
      positions: the greatest length of a text.
      features: size of the representation of a token.
      layers: number of blocks.
      heads: number of heads of attention.
      hidden: size of the hidden layer of each MLP.
      activation: the activation function of the MLPs.
      epsilon: epsilon of the norms.
      scanned: whether the blocks are one module under `nn.scan`.
    """

    vocabulary: int
    positions: int
    features: int
    layers: int
    heads: int
    hidden: int
    activation: Callable[..., Any] = nn.gelu
    epsilon: float = 1e-5
    scanned: bool = False

    @nn.compact
    def __call__(self, tokens):
        """Return the logits (batch, length, vocabulary) of the tokens (batch, length)."""
        words = nn.Embed(self.vocabulary, self.features, name="wte")
        places = nn.Embed(self.positions, self.features, name="wpe")
        norm = functools.partial(nn.LayerNorm, epsilon=self.epsilon, use_fast_variance=False)
        block = functools.partial(Block, self.heads, self.hidden, self.activation, norm)
        x = words(tokens) + places(jnp.arange(tokens.shape[-1]))
        x = repeat(block, self.layers, self.scanned, x)
        return words.attend(norm(name="ln_f")(x))


def from_config(config: Mapping[str, Any], *, scanned: bool = False) -> GPT2:
    """Return the model of a `config.json` of transformers.

    Raises:
      ValueError: the configuration asks for something that this model does not have.
    """
    require(
        config,
        activation_function=("gelu_new", *ACTIVATIONS),
        tie_word_embeddings=(True,),
        scale_attn_weights=(True,),
        scale_attn_by_inverse_layer_idx=(False,),
    )
    return GPT2(
        vocabulary=config["vocab_size"],
        positions=config["n_positions"],
        features=config["n_embd"],
        layers=config["n_layer"],
        heads=config["n_head"],
        hidden=config.get("n_inner") or 4 * config["n_embd"],
        activation=ACTIVATIONS[config.get("activation_function", "gelu_new")],
        epsilon=config["layer_norm_epsilon"],
        scanned=scanned,
    )
