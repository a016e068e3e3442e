"""The vision transformer (https://arxiv.org/abs/2010.11929), with checkpoints of three libraries.

`transformers_map` maps the file `model.safetensors` of transformers' ViTForImageClassification to the parameters,
`maps/vit_big_vision.toml` and `maps/vit_vision_transformer.toml` the `.npz` files of these repositories of Google:

    config = json.load(open("vit/config.json"))
    model, map = vit.from_config(config), vit.transformers_map(config)
    variables, report = linen_store.restore(model, "vit/model.safetensors", images, map=map)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

import linen_core as nn
from blocks import ACTIVATIONS, repeat, require
from linen_store.views import Map, Rule


class MLP(nn.Module):
    """Two dense layers with an activation between them."""

    hidden: int
    activation: Callable[..., Any]

    @nn.compact
    def __call__(self, x):
        h = self.activation(nn.Dense(self.hidden, name="Dense_0")(x))
        return nn.Dense(x.shape[-1], name="Dense_1")(h)


class Block(nn.Module):
    """Attention and an MLP, each on normalized features and added to them."""

    attention: Callable[..., nn.Module]
    mlp: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x):
        x += self.attention(name="attention")(self.norm(name="norm_1")(x))
        return x + self.mlp(name="mlp")(self.norm(name="norm_2")(x))


class ViT(nn.Module):
    """A classifier of images.

    Attributes:
      classes: number of classes.
      patch: height and width of a patch.
      features: size of the representation of a patch.
      layers: number of blocks.
      heads: number of heads of attention.
      hidden: size of the hidden layer of each MLP.
      activation: the activation function of the MLPs.
      epsilon: epsilon of the norms.
      scanned: whether the blocks are one module under `nn.scan`.
    """

    classes: int
    patch: int
    features: int
    layers: int
    heads: int
    hidden: int
    activation: Callable[..., Any] = nn.gelu
    epsilon: float = 1e-6
    scanned: bool = False

    @nn.compact
    def __call__(self, images):
        """Return the logits (batch, classes) of images (batch, height, width, channels)."""
        norm = functools.partial(nn.LayerNorm, self.epsilon, use_fast_variance=False)
        attention = functools.partial(nn.MultiHeadDotProductAttention, self.heads)
        mlp = functools.partial(MLP, self.hidden, self.activation)
        block = functools.partial(Block, attention, mlp, norm)
        size = (self.patch, self.patch)
        x = nn.Conv(self.features, size, size, padding="VALID", name="embedding")(images)
        x = x.reshape(x.shape[0], -1, self.features)
        cls = self.param("cls", nn.initializers.zeros, (1, 1, self.features))
        x = jnp.concatenate([jnp.broadcast_to(cls, (x.shape[0], 1, self.features)), x], axis=1)
        places = nn.initializers.normal(0.02)
        x += self.param("pos_embedding", places, (1, *x.shape[1:]))
        x = repeat(block, self.layers, self.scanned, x)
        return nn.Dense(self.classes, name="head")(norm(name="encoder_norm")(x)[:, 0])


def from_config(config: Mapping[str, Any], *, scanned: bool = False) -> ViT:
    """Return the model of a `config.json` of transformers.

    Raises:
      ValueError: the configuration asks for something that this model does not have.
    """
    require(config, hidden_act=("gelu", *ACTIVATIONS), qkv_bias=(True,))
    return ViT(
        classes=len(config["id2label"]),
        patch=config["patch_size"],
        features=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        activation=ACTIVATIONS[config["hidden_act"]],
        epsilon=config["layer_norm_eps"],
        scanned=scanned,
    )


def transformers_map(config: Mapping[str, Any]) -> Map:
    """Return the map from the file of a `config.json` of transformers; it depends on the number of heads only."""
    heads = config["num_attention_heads"]
    old, new = "vit/encoder/layer/{i}/", "params/layers_{i}/"
    mlp = [("intermediate/dense", "mlp/Dense_0"), ("output/dense", "mlp/Dense_1")]
    norms = [
        (f"{old}layernorm_before", f"{new}norm_1"),
        (f"{old}layernorm_after", f"{new}norm_2"),
        ("vit/layernorm", "params/encoder_norm"),
    ]
    dense = [(old + source, new + target) for source, target in mlp]
    dense += [("classifier", "params/head")]
    qkv, out = "attention/attention/{part:query|key|value}", "attention/output/dense"
    patches = "vit/embeddings/patch_embeddings/projection"
    split = (f"unflatten -1 {heads} -1",)
    return Map(
        (
            Rule("vit/embeddings/cls_token", "params/cls"),
            Rule("vit/embeddings/position_embeddings", "params/pos_embedding"),
            Rule(f"{patches}/weight", "params/embedding/kernel", ("transpose 2 3 1 0",)),
            Rule(f"{patches}/bias", "params/embedding/bias"),
            Rule(f"{old}{qkv}/weight", f"{new}attention/{{part}}/kernel", ("transpose", *split)),
            Rule(f"{old}{qkv}/bias", f"{new}attention/{{part}}/bias", split),
            Rule(
                f"{old}{out}/weight",
                f"{new}attention/out/kernel",
                ("transpose", f"unflatten 0 {heads} -1"),
            ),
            Rule(f"{old}{out}/bias", f"{new}attention/out/bias"),
            *(Rule(f"{a}/weight", f"{b}/kernel", ("transpose",)) for a, b in dense),
            *(Rule(f"{a}/weight", f"{b}/scale") for a, b in norms),
            *(Rule(f"{a}/bias", f"{b}/bias") for a, b in [*dense, *norms]),
        )
    )


def flax_map(config: Mapping[str, Any]) -> Map:
    """Return the map from `flax_model.msgpack`: the same modules, but kernels as Linen holds them."""
    rules = []
    for rule in transformers_map(config).rules:
        source = rule.sources[0]
        if source.endswith("/weight"):
            source = source.removesuffix("weight") + rule.targets[0].rpartition("/")[2]
        do = tuple(step for step in rule.do if not step.startswith("transpose"))
        rules.append(Rule(source, rule.target, do))
    return Map(tuple(rules))
