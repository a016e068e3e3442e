"""What the tests of linen_store share."""

import json
import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def _same(one, other):
    """Tell whether two trees have the same structure, kinds, dtypes and bits."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(map(_same_leaf, jax.tree.leaves(one), jax.tree.leaves(other)))


def _same_leaf(one, other):
    if isinstance(one, jax.Array) != isinstance(other, jax.Array):
        return False
    if not hasattr(one, "dtype"):
        return type(one) is type(other) and one == other
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
        one, other = jax.random.key_data(one), jax.random.key_data(other)
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.fixture(scope="session")
def same():
    """A function that compares two trees bit for bit."""
    return _same


@pytest.fixture
def variables():
    """Several collections with every kind of value that Linen users store."""
    key = jax.random.key(0)
    return {
        "params": {
            "Dense_0": {
                "kernel": jax.random.normal(key, (3, 4)),
                "bias": jnp.arange(4, dtype=jnp.bfloat16),
            },
            "a.b": {"c": jnp.arange(3)},
            "a": {"slash/ed": jnp.float16(2.5)},
            "empty": {},
            "none": None,
        },
        "batch_stats": {"mean": jnp.array([0.0, -0.0, jnp.nan, jnp.inf])},
        "state": {
            "rng": jax.random.key(3),
            "keys": jax.random.split(jax.random.key(1), 3),
            "raw_key": jax.random.PRNGKey(7),
            "steps": (jnp.ones(2, bool), jnp.zeros((0, 3), jnp.int8), jnp.array(1 + 2j)),
            "numpy": np.arange(4),
            "number": 3,
            "fraction": 2.5,
            "name": "linen",
            "int4": jnp.array([1, -2, 3], jnp.int4),
            "fp8": jnp.array([1.0, -2.0], jnp.float8_e4m3fn),
        },
    }


class Workers:
    """Processes of JAX that run one program together on 127.0.0.1, with 8 CPU devices in all.

    The program finds `jax`, `jnp`, `np`, `linen_store`, a mesh of 4 x 2 devices, `put(values, *axes)` for a global
    array, and its arguments `path` and `rest`. `tell(value)` hands a value over: Gloo writes to the standard output.
    """

    def __init__(self, program, count, path, *rest):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        flags = f"--xla_force_host_platform_device_count={8 // count}"
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        self._told = [f"{path}.told-{number}" for number in range(count)]
        self.running = [
            subprocess.Popen(
                [sys.executable, "-c", _PROLOGUE + program, address, str(count), str(number), told]
                + [str(argument) for argument in (path, *rest)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number, told in enumerate(self._told)
        ]

    def kill(self):
        for worker in self.running:
            worker.kill()

    def told(self, number):
        """The values that a process has told so far."""
        if not os.path.exists(self._told[number]):
            return []
        with open(self._told[number]) as stream:
            return [json.loads(line) for line in stream if line.endswith("\n")]

    def results(self, *, timeout=240):
        """Wait for all processes; return what each told."""
        for number, worker in enumerate(self.running):
            _, err = worker.communicate(timeout=timeout)
            assert worker.returncode == 0, (number, err)
        return [self.told(number) for number in range(len(self.running))]


_PROLOGUE = """
import json, os, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

address, count, number, told, path, *rest = sys.argv[1:]
count, number = int(count), int(number)
jax.distributed.initialize(address, num_processes=count, process_id=number)
import linen_store
from linen_store.errors import *

def tell(value):
    with open(told, "a") as stream:
        stream.write(json.dumps(value) + "\\n")

mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"))

def put(values, *axes):
    sharding = NamedSharding(mesh, PartitionSpec(*axes))
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

def failure(call):
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]

VALUES = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)
"""


@pytest.fixture
def workers():
    """A function that starts `Workers`; they are killed at the end of the test."""
    started = []

    def start(program, count, path, *rest):
        started.append(Workers(program, count, path, *rest))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        for worker in one.running:
            worker.communicate()


_MEASURED = """
import json, sys, threading, time
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import linen_store
from linen_store import views

mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))

def held():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

def settled():
    # JAX releases memory in its own threads.
    last, now = None, held()
    while now != last:
        time.sleep(0.05)
        last, now = now, held()
    return now

def peak_of(program):
    peak = before = settled()
    stop = threading.Event()

    def watch():
        nonlocal peak
        while not stop.wait(0.001):
            peak = max(peak, held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = jax.block_until_ready(program())
    stop.set()
    watcher.join()
    return max(peak, held()) - before, result

def size_of(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) / 2**20
"""


@pytest.fixture
def measured():
    """A function that runs a program in a process with 8 CPU devices, and returns the JSON that it prints.

    The program finds `jax`, `jnp`, `np`, `linen_store`, `views`, a mesh of 4 x 2 devices, and its arguments in
    `sys.argv`. `peak_of(program)` is the memory that a function needs at most, in MiB, and its result; `size_of(tree)`
    the size of arrays. Each large array is given back to the system at once: later ones would not be seen otherwise.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("reads the memory from /proc")

    def run(program, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED + program, *map(str, arguments)],
            env={
                **os.environ,
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
                "MALLOC_MMAP_THRESHOLD_": "65536",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
