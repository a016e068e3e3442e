"""Draw the pictures of the README of linen-summary: the table and the charts of a small vision transformer.

Run it from any folder; it writes to `packages/linen-summary/pictures`.
"""

from __future__ import annotations

import pathlib

import jax
import jax.numpy as jnp

import linen_core as nn
from linen_summary import bars, summarize, treemap

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "packages" / "linen-summary" / "pictures"


class Block(nn.Module):
    """A transformer block."""

    @nn.compact
    def __call__(self, x):
        x = x + nn.MultiHeadDotProductAttention(num_heads=3, name="attention")(nn.LayerNorm()(x))
        h = nn.gelu(nn.Dense(4 * x.shape[-1])(nn.LayerNorm()(x)))
        return x + nn.Dense(x.shape[-1])(h)


class ViT(nn.Module):
    """A small vision transformer."""

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(192, (16, 16), (16, 16), name="patches")(images)
        x = x.reshape(len(x), -1, x.shape[-1])
        x = x + self.param("positions", nn.initializers.normal(0.02), x.shape[1:])
        for number in range(2):
            x = Block(name=f"block_{number}")(x)
        return nn.Dense(1000, name="head")(nn.LayerNorm(name="norm")(x).mean(1))


def pictures() -> dict[str, str]:
    """Draw each picture and return the texts by file name."""
    images = jax.ShapeDtypeStruct((8, 224, 224, 3), jnp.float32)
    counts = {"compute_flops": True, "compute_macs": True, "compute_memory": True}
    table = summarize(ViT(), jax.random.key(0), images, **counts)
    return {
        "table.svg": table.to_svg(width=110),
        "treemap.svg": treemap(table, "flops").to_svg(height=420),
        "bars.svg": bars(table, top=8).to_svg(),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pictures().items():
        (FOLDER / name).write_text(text, "utf-8")
