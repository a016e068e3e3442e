"""Save the same arrays from one process, or from several that each hold a part, in new processes.

Usage: saves.py PROCESSES small|large; prints the seconds of each program as JSON. The processes start together, and a
save lasts until it has returned in process 0.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import v1

import linen_store

SIZES = {"small": (1000, (64, 64)), "large": (16, (4096, 4096))}
ROUNDS = 7


def arrays(size: str) -> dict[str, Any]:
    """Return arrays whose rows are divided among the processes."""
    count, shape = SIZES[size]
    mesh = Mesh(np.array(jax.devices()), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    random = np.random.default_rng(0)
    values = random.standard_normal(shape, np.float32)
    return {
        f"layer_{n}": jax.make_array_from_callback(shape, sharding, values.__getitem__)
        for n in range(count)
    }


def measure(size: str, folder: pathlib.Path) -> dict[str, float]:
    """Return the median times of linen-store and Orbax, which take turns."""
    tree = {"params": arrays(size)}
    programs = {
        "orbax v1": lambda path: v1.save(path, tree),
        "linen": lambda path: linen_store.save(path, tree),
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(ROUNDS + 1):
        for name, program in programs.items():
            path = folder / f"{name} {number}"
            multihost_utils.sync_global_devices(str(path))
            start = time.perf_counter()
            program(path)
            if number:  # the first call imports and compiles
                times[name].append(time.perf_counter() - start)
            multihost_utils.sync_global_devices(f"{path} saved")
            if jax.process_index() == 0:
                shutil.rmtree(path)
    return {name: statistics.median(taken) for name, taken in times.items()}


def run(count: int, size: str) -> str:
    """Measure in so many processes, and return the output of the first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="linen-bench-") as folder:
        command = [sys.executable, __file__, str(count), size, folder, address]
        workers = [
            subprocess.Popen(
                [*command, str(number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for number in range(count)
        ]
        outputs = [worker.communicate() for worker in workers]
        if any(worker.returncode for worker in workers):
            raise RuntimeError("\n".join(error for _, error in outputs))
    return outputs[0][0].splitlines()[-1]


def main(count: str, size: str, *worker: str) -> None:
    """Start the processes, or be one of them."""
    if not worker:
        print(run(int(count), size))
        return
    folder, address, number = worker
    if int(count) > 1:
        jax.distributed.initialize(address, num_processes=int(count), process_id=int(number))
    print(json.dumps(measure(size, pathlib.Path(folder))))


if __name__ == "__main__":
    main(*sys.argv[1:])
