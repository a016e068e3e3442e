"""Programs that print tables of models, in Linen and in the other libraries that have tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import flax.linen as fnn
import haiku as hk
import jax
import jax.numpy as jnp
import models
import numpy as np
import peers
from flax import nnx

import linen_core as nn

__all__ = ["mlp_tables", "resnet_tables", "transformer_tables"]

KEY = jax.random.key(0)
CONSOLE = {"width": 200, "force_terminal": False}
LIBRARIES = {"linen": nn, "flax": fnn}

Program = Callable[[], Any]


def _tables(kind: str, x: Any, *, flops: bool, **fields: Any) -> dict[str, Program]:
    """Return programs for the libraries with the API of flax.linen, and check that their tables are equal."""

    def program(library: Any) -> Program:
        model = models.build(library)[kind](**fields)
        options = {"compute_flops": flops, "compute_vjp_flops": flops, "console_kwargs": CONSOLE}
        return lambda: library.tabulate(model, KEY, **options)(x)

    programs = {name: program(library) for name, library in LIBRARIES.items()}
    words = [re.findall(r"[^\s│┃━─├┤┼┡┩╇┏┓┳└┘┴]+", program()) for program in programs.values()]
    texts = [sorted(word for word in found if not _is_large(word)) for found in words]
    numbers = [[int(word) for word in found if _is_large(word)] for found in words]
    if texts[0] != texts[1] or not np.allclose(*numbers, rtol=5e-6, atol=0):
        msg = f"the tables of {kind} differ"  # apart from the order of columns, which flax does not define
        raise AssertionError(msg)
    return programs


def _is_large(word: str) -> bool:
    """Return whether a word is a number of FLOPs that flax has rounded to a 32-bit float."""
    return word.isdecimal() and int(word) > 2**24


def _of_nnx(model: Callable[[], Any], x: Any, *, flops: bool) -> Program:
    options = {"compute_flops": flops, "compute_vjp_flops": flops, "console_kwargs": CONSOLE}
    instance = model()
    return lambda: nnx.tabulate(instance, x, **options)


def _of_haiku(transformed: Any, x: Any) -> Program:
    return lambda: hk.experimental.tabulate(transformed)(x)


def mlp_tables(*, flops: bool) -> dict[str, Program]:
    """Print the table of 100 dense layers; tables of haiku have no FLOPs."""
    x = jnp.ones((8, 64))
    programs = {
        **_tables("mlp", x, flops=flops, depth=100, features=64),
        "nnx": _of_nnx(lambda: peers.NnxMLP(100, 64, nnx.Rngs(0)), x, flops=flops),
    }
    return programs if flops else {**programs, "haiku": _of_haiku(peers.haiku_mlp(100, 64), x)}


def transformer_tables(*, flops: bool) -> dict[str, Program]:
    """Print the table of 24 transformer blocks; nnx cannot count the FLOPs of attention."""
    x = jnp.ones((2, 16, 64))
    programs = _tables("transformer", x, flops=flops, depth=24)
    if flops:
        return programs
    model = lambda: peers.NnxTransformer(24, 64, nnx.Rngs(0))
    return {
        **programs,
        "nnx": _of_nnx(model, x, flops=False),
        "haiku": _of_haiku(peers.haiku_transformer(24), x),
    }


def resnet_tables(*, flops: bool) -> dict[str, Program]:
    """Print the table of ResNet-50; haiku has a ResNet-50 too."""
    x = jnp.ones((1, 64, 64, 3))
    programs = _tables("resnet", x, flops=flops)
    return programs if flops else {**programs, "haiku": _of_haiku(peers.haiku_resnet(), x)}
