"""Read checkpoints onto eight host devices, 4 x 2, in a new process.

Usage: sharded_read.py small|large; prints, as JSON, the seconds of CPU time of each program, and the
peak of host memory of Linen as a multiple of what is read.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import numpy as np
import stores
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from timing import measure

import linen_store

SIZES = {"small": (1000, (64, 64)), "large": (4, (4096, 4096))}
ROUNDS = 9


def held() -> int:
    """Return the anonymous memory of this process in bytes, on Linux."""
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def peak_of(program: Callable[[], Any]) -> float:
    """Return the peak of additional memory of a program, divided by the size of its result."""
    before = peak = held()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = jax.block_until_ready(program())
    done.set()
    watcher.join()
    return (max(peak, held()) - before) / sum(leaf.nbytes for leaf in jax.tree.leaves(result))


def main(which: str) -> None:
    """Measure linen-store and Orbax on the same checkpoint, saved by Linen."""
    devices = np.array(jax.devices()).reshape(4, 2)
    sharding = NamedSharding(Mesh(devices, ("data", "model")), PartitionSpec("data", "model"))
    path = stores.written("linen", SIZES[which])
    target = stores.targets(SIZES[which], sharding)

    def linen(**options: Any) -> Callable[[], Any]:
        return lambda: linen_store.CheckpointStore(
            path, sharding=sharding, cache_bytes=0, **options
        ).snapshot()

    # Measured first: later, a program could reuse freed memory without a visible increase.
    linen_store.open_store(stores.written("linen", (1, (8, 8)))).snapshot()
    peak = peak_of(linen())
    programs = {
        "orbax v1": stores.orbax_v1(path, target),
        "linen": linen(),
        "linen, no CRC": linen(verify=False),
    }
    times = {name: figure.median for name, figure in measure(programs, ROUNDS).items()}
    print(json.dumps({"times": times, "peak": peak}))


if __name__ == "__main__":
    main(sys.argv[1])
