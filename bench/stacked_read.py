"""Measure the memory that it takes to read a stack of layers onto eight host devices, 4 x 2, in a new process.

Usage: stacked_read.py PATH PROGRAM, with a checkpoint of `stores.written` and one of `PROGRAMS`; prints the peak of
host memory as a multiple of the result.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from sharded_read import peak_of

import linen_store
from linen_core import VariableStore
from linen_store import views


def stacked(store: VariableStore) -> VariableStore:
    """Return the layers as one array."""
    return views.stack(store, r"layer_(\d+)", "layers")


PROGRAMS: dict[str, Callable[[VariableStore], VariableStore]] = {
    "stack": stacked,
    "transpose, stack": lambda store: stacked(views.transpose(store, "kernel")),
    "stack, transpose": lambda store: views.transpose(stacked(store), "kernel", (0, 2, 1)),
    "stack, cast": lambda store: views.cast(stacked(store), "bfloat16"),
    "map": lambda store: views.Map(
        (views.Rule("params/layer_{i}/kernel", "params/layers/kernel", MAPPED),)
    ).apply(store),
}
MAPPED = ("transpose", "stack i", "transpose 0 2 1", "cast bfloat16")


def main(path: str, program: str) -> None:
    """Print the peak of one program."""
    devices = np.array(jax.devices()).reshape(4, 2)
    sharding = NamedSharding(Mesh(devices, ("data", "model")), PartitionSpec(None, "data", "model"))

    def read(names: str) -> list[jax.Array]:
        with linen_store.open_store(path, cache_bytes=0) as store:
            view = PROGRAMS[program](views.select(store, names))
            return view.read_placed("params", view.leaves("params"), sharding=lambda *_: sharding)  # type: ignore[attr-defined]

    read(
        "layer_0/"
    )  # what is made once is not counted: the compiled programs, the threads of tensorstore
    print(peak_of(lambda: read("")))


if __name__ == "__main__":
    main(*sys.argv[1:])
