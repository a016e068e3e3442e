"""Measure the memory that it takes to read stacks of layers onto eight host devices, 4 x 2, in a new process.

Usage: stacked_read.py PATH, with a checkpoint of `stores.written`; prints, as JSON, the peak of host memory of each
program as a multiple of the result.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from sharded_read import peak_of

import linen_store
from linen_store import views

STEPS = ("transpose", "stack i", "transpose 0 2 1", "cast bfloat16")
MAP = views.Map((views.Rule("params/layer_{i}/kernel", "params/layers/kernel", STEPS),))


def stacked(store: Any) -> views.View:
    """Return the layers as one array."""
    return views.stack(store, r"layer_(\d+)", "layers")


PROGRAMS: dict[str, Callable[[Any], views.View]] = {
    "stack": stacked,
    "transpose, stack": lambda store: stacked(views.transpose(store, "kernel")),
    "stack, transpose": lambda store: views.transpose(stacked(store), "kernel", (0, 2, 1)),
    "stack, cast": lambda store: views.cast(stacked(store), "bfloat16"),
    "map": MAP.apply,
}


def main(path: str) -> None:
    """Print the peaks of all programs."""
    devices = np.array(jax.devices()).reshape(4, 2)
    sharding = NamedSharding(Mesh(devices, ("data", "model")), PartitionSpec(None, "data", "model"))
    peaks = {}
    with linen_store.open_store(path, cache_bytes=0) as store:
        for name, make in PROGRAMS.items():
            view = make(store)

            def read(view: views.View = view) -> list[jax.Array]:
                return view.read_placed(
                    "params", view.leaves("params"), sharding=lambda *_: sharding
                )

            peaks[name] = peak_of(read)
    print(json.dumps(peaks))


if __name__ == "__main__":
    main(sys.argv[1])
