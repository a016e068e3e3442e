"""The models of the benchmarks, written once for every library with the API of flax.linen."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

__all__ = ["STAGES", "build"]

STAGES = (3, 4, 6, 3)
"""Blocks in each stage of ResNet-50."""


def build(nn: Any) -> dict[str, Any]:
    """Return the module classes of a library."""

    class MLP(nn.Module):
        depth: int
        features: int
        act: str = "relu"

        @nn.compact
        def __call__(self, x):
            for _ in range(self.depth):
                x = getattr(nn, self.act)(nn.Dense(self.features)(x))
            return x

    class Block(nn.Module):
        heads: int = 4

        @nn.compact
        def __call__(self, x, _=None):
            h = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(self.heads, name="attention")(h)
            h = nn.Dense(4 * x.shape[-1])(nn.LayerNorm()(x))
            return x + nn.Dense(x.shape[-1])(nn.gelu(h))

    class Transformer(nn.Module):
        depth: int
        wrap: Any = None

        @nn.compact
        def __call__(self, x):
            layer = Block if self.wrap is None else self.wrap(Block)
            for number in range(self.depth):
                x = layer(name=f"Block_{number}")(x)
            return x

    class Step(Block):
        @nn.compact
        def __call__(self, x, _=None):
            h = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(self.heads, name="attention")(h)
            h = nn.Dense(4 * x.shape[-1])(nn.LayerNorm()(x))
            return x + nn.Dense(x.shape[-1])(nn.gelu(h)), None

    class Scanned(nn.Module):
        depth: int

        @nn.compact
        def __call__(self, x):
            looped = nn.scan(
                Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.depth
            )
            return looped(name="Block_0")(x, None)[0]

    class Bottleneck(nn.Module):
        features: int
        strides: int
        project: bool

        @nn.compact
        def __call__(self, x):
            def conv(features, size, strides=1, name=None):
                return nn.Conv(
                    features, (size, size), (strides, strides), use_bias=False, name=name
                )

            def norm(name=None):
                return nn.BatchNorm(use_running_average=True, name=name)

            h = nn.relu(norm()(conv(self.features, 1)(x)))
            h = nn.relu(norm()(conv(self.features, 3, self.strides)(h)))
            h = norm()(conv(4 * self.features, 1)(h))
            if self.project:
                x = conv(4 * self.features, 1, self.strides, name="project")(x)
                x = norm(name="project_norm")(x)
            return nn.relu(x + h)

    class ResNet(nn.Module):
        stages: tuple[int, ...] = STAGES

        @nn.compact
        def __call__(self, x):
            x = nn.Conv(64, (7, 7), (2, 2), use_bias=False, name="stem")(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True, name="stem_norm")(x))
            x = nn.max_pool(x, (3, 3), (2, 2), padding="SAME")
            number = 0
            for stage, blocks in enumerate(self.stages):
                for index in range(blocks):
                    strides = 2 if stage and not index else 1
                    name = f"Bottleneck_{number}"
                    x = Bottleneck(64 * 2**stage, strides, index == 0, name=name)(x)
                    number += 1
            return nn.Dense(1000, name="head")(jnp.mean(x, (1, 2)))

    class ViT(nn.Module):
        depth: int
        width: int = 192
        heads: int = 3
        patch: int = 8

        @nn.compact
        def __call__(self, x):
            size = (self.patch, self.patch)
            x = nn.Conv(self.width, size, size, padding="VALID", name="patches")(x)
            x = x.reshape(len(x), -1, self.width)
            first = self.param("first", nn.initializers.zeros, (1, 1, self.width))
            x = jnp.concatenate([jnp.broadcast_to(first, (len(x), 1, self.width)), x], 1)
            normal = nn.initializers.normal(0.02)
            x = x + self.param("positions", normal, (1, *x.shape[1:]))
            for number in range(self.depth):
                x = Block(self.heads, name=f"Block_{number}")(x)
            return nn.Dense(1000, name="head")(nn.LayerNorm(name="norm")(x)[:, 0])

    return {
        "mlp": MLP,
        "transformer": Transformer,
        "scanned": Scanned,
        "resnet": ResNet,
        "vit": ViT,
    }
