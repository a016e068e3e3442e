"""Programs that print tables of models, with Linen and with the libraries that have such tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import flax.linen as fnn
import haiku as hk
import jax
import jax.numpy as jnp
import models
import peers
from flax import nnx

import linen_core as nn
from linen_summary import summarize

__all__ = ["mlp_tables", "nested_tables", "resnet_tables", "transformer_tables"]

KEY = jax.random.key(0)
CONSOLE = {"width": 200, "force_terminal": False}
LIBRARIES = {"linen": nn, "flax": fnn}

Program = Callable[[], Any]


class Level(nn.Module):
    """A layer, and a module that holds all further ones."""

    levels: int

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(8)(x))
        return Level(self.levels - 1)(x) if self.levels else x


def _tables(kind: str, x: Any, *, flops: bool, **fields: Any) -> dict[str, Program]:
    """Programs for the libraries with the API of flax.linen; their tables are the same."""

    def program(library: Any) -> Program:
        model = models.build(library)[kind](**fields)
        options = {"compute_flops": flops, "compute_vjp_flops": flops, "console_kwargs": CONSOLE}
        return lambda: library.tabulate(model, KEY, **options)(x)

    programs = {name: program(library) for name, library in LIBRARIES.items()}
    words = [
        sorted(re.findall(r"[^\s│┃━─├┤┼┡┩╇┏┓┳└┘┴]+", program())) for program in programs.values()
    ]
    if words[0] != words[1]:  # flax has its columns of collections in any order
        msg = f"the tables of {kind} differ"
        raise AssertionError(msg)
    return programs


def _of_nnx(model: Callable[[], Any], x: Any, *, flops: bool) -> Program:
    options = {"compute_flops": flops, "compute_vjp_flops": flops, "console_kwargs": CONSOLE}
    made = model()
    return lambda: nnx.tabulate(made, x, **options)


def _of_haiku(transformed: Any, x: Any) -> Program:
    return lambda: hk.experimental.tabulate(transformed)(x)


def mlp_tables(*, flops: bool) -> dict[str, Program]:
    """Print the table of 100 dense layers; haiku's tables know no FLOPs."""
    x = jnp.ones((8, 64))
    made = {
        **_tables("mlp", x, flops=flops, depth=100, features=64),
        "nnx": _of_nnx(lambda: peers.NnxMLP(100, 64, nnx.Rngs(0)), x, flops=flops),
    }
    return made if flops else {**made, "haiku": _of_haiku(peers.haiku_mlp(100, 64), x)}


def transformer_tables(*, flops: bool) -> dict[str, Program]:
    """Print the table of 24 transformer blocks; nnx raises an error where it is to count the FLOPs of attention."""
    x = jnp.ones((2, 16, 64))
    made = _tables("transformer", x, flops=flops, depth=24)
    if flops:
        return made
    model = lambda: peers.NnxTransformer(24, 64, nnx.Rngs(0))
    return {
        **made,
        "nnx": _of_nnx(model, x, flops=False),
        "haiku": _of_haiku(peers.haiku_transformer(24), x),
    }


def resnet_tables(*, flops: bool) -> dict[str, Program]:
    """Print the table of ResNet-50; haiku has that model, too."""
    x = jnp.ones((1, 64, 64, 3))
    made = _tables("resnet", x, flops=flops)
    return made if flops else {**made, "haiku": _of_haiku(peers.haiku_resnet(), x)}


def nested_tables() -> dict[str, Program]:
    """Count the FLOPs of 80 levels of modules, each of which adds a layer, and twice those of 40."""
    x = jnp.ones((4, 8))

    def program(levels: int, times: int) -> Program:
        options = {"compute_flops": True, "compute_vjp_flops": True}
        return lambda: [summarize(Level(levels), KEY, x, **options) for _ in range(times)]

    return {"2 x 40 levels": program(40, 2), "linen": program(80, 1)}
