"""T5 (https://arxiv.org/abs/1910.10683) with the parameters of transformers' T5ForConditionalGeneration.

`maps/t5.toml` maps the file `model.safetensors` of transformers to the parameters:

    model = t5.from_config(json.load(open("t5/config.json")))
    variables, report = linen_store.restore(
        model, "t5/model.safetensors", tokens, targets, map="maps/t5.toml")
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

import linen_core as nn
from blocks import ACTIVATIONS, repeat, require


def buckets(length: int, count: int, greatest: int, both_sides: bool) -> np.ndarray:
    """Return the number of the bias of each pair of positions, (length, length).

    Near distances have a bias each, farther ones share one with their logarithmic neighbours.

    Args:
      length: the length of the text.
      count: the number of biases.
      greatest: the distance from which on all share the last bias.
      both_sides: whether later positions have half of the biases; without them, later positions have that of 0.
    """
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    offset = 0
    if both_sides:
        count //= 2
        offset = count * (distance > 0)
        distance = -np.abs(distance)
    distance = np.maximum(-distance, 0).astype(np.float32)
    exact = count // 2
    ratio = np.log(np.maximum(distance, 1) / exact) / math.log(greatest / exact)
    far = np.minimum(exact + (ratio * (count - exact)).astype(int), count - 1)
    return (offset + np.where(distance < exact, distance, far)).astype(np.int32)


class Attention(nn.Module):
    """Attention without biases and without a division by the size of the heads."""

    heads: int
    head_features: int

    @nn.compact
    def __call__(self, x, context, bias):
        def project(name, inputs):
            h = nn.Dense(self.heads * self.head_features, use_bias=False, name=name)(inputs)
            return h.reshape(*inputs.shape[:-1], self.heads, self.head_features)

        scores = jnp.einsum("bqhd,bkhd->bhqk", project("q", x), project("k", context)) + bias
        weights = nn.softmax(scores)
        h = jnp.einsum("bhqk,bkhd->bqhd", weights, project("v", context))
        return nn.Dense(x.shape[-1], use_bias=False, name="o")(h.reshape(*x.shape[:-1], -1))


class MLP(nn.Module):
    """Two dense layers, with a gate on the first if `gated`."""

    hidden: int
    activation: Callable[..., Any]
    gated: bool

    @nn.compact
    def __call__(self, x):
        dense = functools.partial(nn.Dense, use_bias=False)
        h = self.activation(dense(self.hidden, name="wi_0" if self.gated else "wi")(x))
        if self.gated:
            h *= dense(self.hidden, name="wi_1")(x)
        return dense(x.shape[-1], name="wo")(h)


class Block(nn.Module):
    """Attention to the same text, to another one if there is one, and an MLP."""

    attention: Callable[..., nn.Module]
    mlp: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x, bias, context=None, context_bias=None):
        h = self.norm(name="layer_norm_0")(x)
        x += self.attention(name="SelfAttention")(h, h, bias)
        last = "layer_norm_1"
        if context is not None:
            h = self.norm(name=last)(x)
            x += self.attention(name="EncDecAttention")(h, context, context_bias)
            last = "layer_norm_2"
        return x + self.mlp(name="DenseReluDense")(self.norm(name=last)(x))


class Stack(nn.Module):
    """The blocks of the encoder or of the decoder, with the biases of relative positions."""

    block: Callable[..., nn.Module]
    layers: int
    heads: int
    buckets: int
    greatest: int
    is_decoder: bool
    scanned: bool

    @nn.compact
    def __call__(self, x, mask, *context):
        table = nn.Embed(self.buckets, self.heads, name="relative_attention_bias")
        pairs = buckets(x.shape[1], self.buckets, self.greatest, not self.is_decoder)
        bias = table(jnp.asarray(pairs)).transpose(2, 0, 1)[None] + masked(mask)
        x = repeat(self.block, self.layers, self.scanned, x, bias, *context)
        return self.block.keywords["norm"](name="final_layer_norm")(x)


def masked(mask):
    """Return what is added to the scores of attention: 0 where a mask is True, else a large negative number."""
    return jnp.where(mask, 0.0, jnp.finfo(jnp.float32).min)


class T5(nn.Module):
    """An encoder and a decoder.

    Attributes:
      vocabulary: number of tokens.
      features: size of the representation of a token.
      encoder_layers: number of blocks of the encoder.
      decoder_layers: number of blocks of the decoder.
      heads: number of heads of attention.
      head_features: number of features of a head.
      hidden: size of the hidden layer of each MLP.
      activation: the activation function of the MLPs.
      gated: whether the MLPs have a gate.
      buckets: number of biases of relative positions.
      greatest: the distance from which on all positions share a bias.
      epsilon: epsilon of the norms.
      tied: whether the output layer is the embedding.
      scanned: whether the blocks of each side are one module under `nn.scan`.
    """

    vocabulary: int
    features: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    head_features: int
    hidden: int
    activation: Callable[..., Any] = nn.relu
    gated: bool = False
    buckets: int = 32
    greatest: int = 128
    epsilon: float = 1e-6
    tied: bool = True
    scanned: bool = False

    @nn.compact
    def __call__(self, tokens, targets, mask=None):
        """Return the logits (batch, target length, vocabulary) of the next target.

        Args:
          tokens: the tokens (batch, length) that the encoder reads.
          targets: the tokens (batch, target length) that the decoder has written so far.
          mask: True or 1 for tokens, False or 0 for padding; no padding by default.
        """
        norm = functools.partial(nn.RMSNorm, self.epsilon)
        attention = functools.partial(Attention, self.heads, self.head_features)
        mlp = functools.partial(MLP, self.hidden, self.activation, self.gated)
        block = functools.partial(Block, attention=attention, mlp=mlp, norm=norm)
        rest = (self.heads, self.buckets, self.greatest)
        shared = nn.Embed(self.vocabulary, self.features, name="shared")
        mask = jnp.ones_like(tokens) if mask is None else mask
        seen = mask[:, None, None, :] > 0

        encoder = Stack(block, self.encoder_layers, *rest, False, self.scanned, name="encoder")
        decoder = Stack(block, self.decoder_layers, *rest, True, self.scanned, name="decoder")
        x = encoder(shared(tokens), seen)
        causal = nn.make_causal_mask(targets) > 0
        x = decoder(shared(targets), causal, x, masked(seen))
        if self.tied:
            return shared.attend(x * self.features**-0.5)
        return nn.Dense(self.vocabulary, use_bias=False, name="lm_head")(x)


def from_config(config: Mapping[str, Any], *, scanned: bool = False) -> T5:
    """Return the model of a `config.json` of transformers.

    Raises:
      ValueError: the configuration asks for something that this model does not have.
    """
    name = config.get("feed_forward_proj", "relu")
    gated = name.startswith("gated-")
    activation = "gelu_new" if name == "gated-gelu" else name.removeprefix("gated-")
    require({"feed_forward_proj": activation}, feed_forward_proj=tuple(ACTIVATIONS))
    return T5(
        vocabulary=config["vocab_size"],
        features=config["d_model"],
        encoder_layers=config["num_layers"],
        decoder_layers=config.get("num_decoder_layers") or config["num_layers"],
        heads=config["num_heads"],
        head_features=config["d_kv"],
        hidden=config["d_ff"],
        activation=ACTIVATIONS[activation],
        gated=gated,
        buckets=config["relative_attention_num_buckets"],
        greatest=config["relative_attention_max_distance"],
        epsilon=config["layer_norm_epsilon"],
        tied=config.get("tie_word_embeddings", True),
        scanned=scanned,
    )
