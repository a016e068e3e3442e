"""Two processes that read one checkpoint: each reads the slices of its own devices, and no more."""

import os
import socket
import subprocess
import sys

WORKER = """
import sys
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

address, number, path = sys.argv[1:]
jax.distributed.initialize(address, num_processes=2, process_id=int(number))

import linen_core as nn
import linen_store
from linen_store.formats.orbax import arrays

read = []
inner = arrays.ArrayFolder.read

def counting(self, parts):
    buffers = inner(self, parts)
    read.extend(buffer.nbytes for buffer in buffers)
    return buffers

arrays.ArrayFolder.read = counting

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        init = nn.with_partitioning(nn.initializers.lecun_normal(), ("in", "out"))
        return nn.Dense(64, kernel_init=init)(x)

mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
rules = [("in", "data"), ("out", "model")]
x = jax.ShapeDtypeStruct((1, 128), jnp.float32)
store = linen_store.open_store(path)
variables, report = linen_store.restore(Net(), store, x, mesh=mesh, rules=rules)
assert store.stats.bytes == sum(read), (store.stats, read)
kernel = variables["params"]["Dense_0"]["kernel"].value
expected = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)
assert kernel.shape == (128, 64) and len(kernel.addressable_shards) == 4
for shard in kernel.addressable_shards:
    assert shard.data.shape == (32, 32)
    assert np.array_equal(shard.data, expected[shard.index])
assert np.array_equal(variables["params"]["Dense_0"]["bias"].addressable_data(0), np.ones(64))

wanted = jax.eval_shape(Net().init, jax.random.key(0), x)
planned = linen_store.plan(wanted, path, mesh, rules)
assert planned.process_bytes[jax.process_index()] == sum(read), (planned, read)
assert sorted(read) == sorted([32 * 32 * 4] * 4 + [64 * 4]), read
state, _ = linen_store.restore(wanted, path, mesh=mesh, rules=rules)  # a pytree of specs
assert state["params"]["Dense_0"]["kernel"].value.sharding == kernel.sharding
assert sum(read) == 2 * store.stats.bytes
total = jax.jit(lambda kernel: kernel.sum(), out_shardings=None)(kernel)
with open(f"{path}.{number}", "w") as told:  # Gloo writes to the standard output
    told.write(f"read {store.stats.bytes} {float(total.addressable_data(0))}")
"""

SAVE = """
import sys
import numpy as np
import linen_store

kernel = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)
bias = np.ones(64, np.float32)
linen_store.save(sys.argv[1], {"params": {"Dense_0": {"kernel": kernel, "bias": bias}}})
"""


def test_each_process_reads_its_own_slices(tmp_path):
    path = str(tmp_path / "c")
    subprocess.run([sys.executable, "-c", SAVE, path], check=True, timeout=120)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    flags = "--xla_force_host_platform_device_count=4"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, address, str(number), path],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        outputs = [worker.communicate(timeout=240) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    total = float(sum(range(128 * 64)))
    for number, (worker, (_, err)) in enumerate(zip(workers, outputs, strict=True)):
        assert worker.returncode == 0, err
        told = (tmp_path / f"c.{number}").read_text()
        assert told == f"read {4 * 32 * 32 * 4 + 64 * 4} {total}"
