"""Measure the first initialisation of a transformer in a new process.

Usage: first_init.py linen|flax BLOCKS; prints seconds of CPU time of the first and of the second run.
"""

from __future__ import annotations

import importlib
import sys
import time

import jax
import jax.numpy as jnp
import models

NAMES = {"linen": "linen_core", "flax": "flax.linen"}


def main(library: str, depth: str) -> None:
    """Create the variables: with `lazy_init` of Linen, or with a jitted `init` of flax."""
    nn = importlib.import_module(NAMES[library])
    model = models.build(nn)["transformer"](int(depth))
    x, key = jax.block_until_ready((jnp.ones((2, 16, 64)), jax.random.key(0)))
    init = jax.jit(model.init) if library == "flax" else model.lazy_init
    start = time.process_time()
    jax.block_until_ready(init(key, x))
    taken = time.process_time() - start
    start = time.process_time()
    jax.block_until_ready(init(key, x))
    print(taken, time.process_time() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
