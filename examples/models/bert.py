"""BERT (https://arxiv.org/abs/1810.04805) with the parameters of transformers' BertForPreTraining.

`maps/bert.toml` maps the file `model.safetensors` of transformers to the parameters:

    model = bert.from_config(json.load(open("bert/config.json")))
    variables, report = linen_store.restore(model, "bert/model.safetensors", tokens, map="maps/bert.toml")
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

import linen_core as nn
from blocks import ACTIVATIONS, repeat, require


class Attention(nn.Module):
    """Each token attends to all tokens of its text."""

    heads: int

    @nn.compact
    def __call__(self, x, mask):
        q, k, v = (
            nn.Dense(x.shape[-1], name=name)(x).reshape(*x.shape[:-1], self.heads, -1)
            for name in ("query", "key", "value")
        )
        h = nn.dot_product_attention(q, k, v, mask=mask).reshape(x.shape)
        return nn.Dense(x.shape[-1], name="output")(h)


class Block(nn.Module):
    """Attention and an MLP, each added to its input and normalized."""

    heads: int
    hidden: int
    activation: Callable[..., Any]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x, mask):
        h = Attention(self.heads, name="attention")(x, mask)
        x = self.norm(name="attention_norm")(x + h)
        h = self.activation(nn.Dense(self.hidden, name="intermediate")(x))
        return self.norm(name="output_norm")(x + nn.Dense(x.shape[-1], name="output")(h))


class BERT(nn.Module):
    """An encoder, with the two heads of its pretraining.

    Attributes:
      vocabulary: number of tokens.
      positions: the greatest length of a text.
      types: number of types of tokens, such as those of the first and of the second sentence.
      features: size of the representation of a token.
      layers: number of blocks.
      heads: number of heads of attention.
      hidden: size of the hidden layer of each MLP.
      activation: the activation function.
      epsilon: epsilon of the norms.
      scanned: whether the blocks are one module under `nn.scan`.
    """

    vocabulary: int
    positions: int
    types: int
    features: int
    layers: int
    heads: int
    hidden: int
    activation: Callable[..., Any] = ACTIVATIONS["gelu"]
    epsilon: float = 1e-12
    scanned: bool = False

    @nn.compact
    def __call__(self, tokens, types=None, mask=None):
        """Predict the tokens, and whether the second sentence follows the first.

        Args:
          tokens: the tokens (batch, length).
          types: the type of each token; 0 by default.
          mask: True or 1 for tokens, False or 0 for padding; no padding by default.

        Returns:
          The logits of the tokens (batch, length, vocabulary), and those of the two answers (batch, 2).
        """
        norm = functools.partial(nn.LayerNorm, self.epsilon, use_fast_variance=False)
        words = nn.Embed(self.vocabulary, self.features, name="word_embeddings")
        places = nn.Embed(self.positions, self.features, name="position_embeddings")
        kinds = nn.Embed(self.types, self.features, name="token_type_embeddings")
        types = jnp.zeros_like(tokens) if types is None else types
        mask = jnp.ones_like(tokens) if mask is None else mask
        x = words(tokens) + places(jnp.arange(tokens.shape[-1])) + kinds(types)
        x = norm(name="embeddings_norm")(x)
        block = functools.partial(Block, self.heads, self.hidden, self.activation, norm)
        x = repeat(block, self.layers, self.scanned, x, mask[:, None, None, :] > 0)

        h = self.activation(nn.Dense(self.features, name="transform")(x))
        bias = self.param("output_bias", nn.initializers.zeros, (self.vocabulary,))
        logits = words.attend(norm(name="transform_norm")(h)) + bias
        pooled = jnp.tanh(nn.Dense(self.features, name="pooler")(x[:, 0]))
        return logits, nn.Dense(2, name="next_sentence")(pooled)


def from_config(config: Mapping[str, Any], *, scanned: bool = False) -> BERT:
    """Return the model of a `config.json` of transformers.

    Raises:
      ValueError: the configuration asks for something that this model does not have.
    """
    require(
        config,
        hidden_act=("gelu", *ACTIVATIONS),
        position_embedding_type=("absolute",),
        tie_word_embeddings=(True,),
        is_decoder=(False,),
    )
    return BERT(
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        types=config["type_vocab_size"],
        features=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        activation=ACTIVATIONS[config["hidden_act"]],
        epsilon=config["layer_norm_eps"],
        scanned=scanned,
    )
