"""Measure the first initialisation of a transformer in a new process.

Usage: first_init.py linen|flax BLOCKS [sharded]; prints seconds of CPU time of the first and of the second run. With
"sharded", a jitted `init` spreads the kernels over 8 devices.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

if "sharded" in sys.argv:
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import models
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

NAMES = {"linen": "linen_core", "flax": "flax.linen"}


def initializer(library: str, model: Any, way: str, key: Any, x: Any) -> Callable[..., Any]:
    """Return what creates the variables: `lazy_init` of Linen, or a jitted `init`."""
    if way == "sharded":
        mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"))
        shardings = jax.tree.map(
            lambda leaf: NamedSharding(mesh, PartitionSpec(*"xy"[: leaf.ndim - 1])),
            jax.eval_shape(model.init, key, x),
        )
        return jax.jit(model.init, out_shardings=shardings)
    return jax.jit(model.init) if library == "flax" else model.lazy_init


def main(library: str, depth: str, way: str = "") -> None:
    """Create the variables twice."""
    nn = importlib.import_module(NAMES[library])
    model = models.build(nn)["transformer"](int(depth))
    x, key = jax.block_until_ready((jnp.ones((2, 16, 64)), jax.random.key(0)))
    init = initializer(library, model, way, key, x)
    start = time.process_time()
    jax.block_until_ready(init(key, x))
    taken = time.process_time() - start
    start = time.process_time()
    jax.block_until_ready(init(key, x))
    print(taken, time.process_time() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
