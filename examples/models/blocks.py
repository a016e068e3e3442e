"""Helpers of the models of this folder: repeated blocks, and checks of a configuration."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import linen_core as nn


def repeat(block: Callable[..., nn.Module], times: int, scanned: bool, x, *shared):
    """Apply blocks one after the other, each with parameters of its own.

    Args:
      block: makes a block of a name.
      times: the number of blocks.
      scanned: False for modules `layers_0`, `layers_1`, ...; True for one module `layers` under `nn.scan`, whose
        arrays have a first axis for the layers.
      x: what the first block gets; each of the others gets what its predecessor returns.
      *shared: more arguments for each block.
    """
    if not scanned:
        for number in range(times):
            x = block(name=f"layers_{number}")(x, *shared)
        return x
    scan = nn.scan(
        lambda module, carry, *rest: (module(carry, *rest), None),
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=times,
    )
    return scan(block(name="layers"), x, *shared)[0]


def require(config: Mapping[str, Any], **expected: Any) -> None:
    """Raise if a configuration of transformers asks for something that a model of this folder does not have.

    Args:
      config: the content of `config.json`.
      **expected: the supported values of its entries, the default first; a missing entry has the default.

    Raises:
      ValueError: an entry has another value.
    """
    for name, values in expected.items():
        found = config.get(name, values[0])
        if found not in values:
            msg = f"config.json: {name} is {found!r}, expected one of {values}: extend the model"
            raise ValueError(msg)


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "gelu": functools.partial(nn.gelu, approximate=False),
    "gelu_new": nn.gelu,
    "gelu_pytorch_tanh": nn.gelu,
    "relu": nn.relu,
    "silu": nn.silu,
}
"""Activation functions by their names in transformers."""
