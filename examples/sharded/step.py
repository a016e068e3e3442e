"""One training step of a small transformer, sharded over data x model, in two processes on this machine.

Run it as `python step.py`. It starts two processes with four CPU devices each, connected by `jax.distributed` on the
loopback address, and compares loss and gradients with those of one device. On a cluster, each host calls
`jax.distributed.initialize()` and then runs `work` unchanged.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys

PROCESSES = 2
DEVICES = 4
"""Number of devices of each process."""
RULES = (
    ("batch", "data"),
    ("embed", None),
    ("heads", "model"),
    ("mlp", "model"),
    ("vocab", "model"),
)
TOLERANCE = 1e-5


def start() -> int:
    """Start the processes, wait for them, and return the largest exit code."""
    with socket.socket() as free_port:
        free_port.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free_port.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    workers = [
        subprocess.Popen(  # noqa: S603 - this script
            [sys.executable, __file__, "--process", str(number), "--address", address],
            env=environment,
        )
        for number in range(PROCESSES)
    ]
    try:
        return max(abs(worker.wait(timeout=300)) for worker in workers)
    finally:
        for worker in workers:
            worker.kill()


def make_model():
    """Return the transformer, with named axes of its parameters."""
    import linen_core as nn  # noqa: PLC0415 - only the worker processes import JAX

    def named(init, *axes):
        return nn.with_logical_partitioning(init, axes)

    normal = nn.initializers.lecun_normal()

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            h = nn.LayerNorm()(x)
            x += nn.MultiHeadDotProductAttention(
                4,
                kernel_init=named(normal, "embed", "heads", None),
                out_kernel_init=named(normal, "heads", None, "embed"),
            )(h)
            h = nn.Dense(64, kernel_init=named(normal, "embed", "mlp"))(nn.LayerNorm()(x))
            h = nn.with_logical_constraint(nn.gelu(h), ("batch", None, "mlp"))
            return x + nn.Dense(32, kernel_init=named(normal, "mlp", "embed"))(h)

    class Transformer(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            x = nn.Embed(16, 32, embedding_init=named(normal, "vocab", "embed"))(tokens)
            for _ in range(2):
                x = nn.with_logical_constraint(Block()(x), ("batch", None, "embed"))
            return nn.Dense(16, kernel_init=named(normal, "embed", "vocab"))(x)

    return Transformer()


def make_step(model):
    """Return the training step, a function from variables and tokens to loss, gradients and new variables."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    def loss(variables, tokens):
        scores = jax.nn.log_softmax(model.apply(variables, tokens[:, :-1]))
        return -jnp.take_along_axis(scores, tokens[:, 1:, None], -1).mean()

    def step(variables, tokens):
        value, grads = jax.value_and_grad(loss)(variables, tokens)
        return value, grads, jax.tree.map(lambda v, g: v - 0.1 * g, variables, grads)

    return step


def work() -> float:
    """Take the step on all devices and on one device; return the largest relative difference of loss and gradients.

    The difference of gradients is relative to their largest value.
    """
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from jax.sharding import Mesh, NamedSharding, PartitionSpec  # noqa: PLC0415

    import linen_core as nn  # noqa: PLC0415

    model, key = make_model(), jax.random.key(0)
    step = make_step(model)
    tokens = np.random.default_rng(0).integers(0, 16, (8, 9))
    described = jax.ShapeDtypeStruct((8, 8), jnp.int32)

    mesh = Mesh(np.array(jax.devices()).reshape(-1, 2), ("data", "model"))
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        variables = model.lazy_init(key, described)
        rows = NamedSharding(mesh, PartitionSpec("data"))
        batch = jax.make_array_from_callback(tokens.shape, rows, lambda index: tokens[index])
        loss, grads, _ = jax.jit(step)(variables, batch)
        everywhere = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))
        sharded = jax.tree.map(
            lambda leaf: np.asarray(leaf.addressable_data(0)), everywhere(nn.unbox((loss, grads)))
        )
    kernel = nn.unbox(variables)["params"]["Block_0"]["Dense_0"]["kernel"]
    parts = {shard.data.shape for shard in kernel.addressable_shards}

    alone = jax.jit(step)(model.lazy_init(key, described), tokens)[:2]
    alone = jax.tree.map(np.asarray, nn.unbox(alone))
    pairs = list(zip(jax.tree.leaves(sharded), jax.tree.leaves(alone), strict=True))
    # All gradients share one scale: that of a key's bias is zero up to rounding, and has no meaningful relative error.
    largest = max(np.abs(theirs).max() for _, theirs in pairs[1:])
    differences = [np.abs(ours - theirs).max() for ours, theirs in pairs]
    worst = float(max(differences[0] / pairs[0][1], max(differences[1:]) / largest))
    print(
        f"process {jax.process_index()} of {jax.process_count()}: {jax.device_count()} devices, "
        f"a kernel of {kernel.shape} is split into parts of {parts}; loss {float(sharded[0]):.6f}, on one device "
        f"{float(alone[0]):.6f}; largest relative difference of loss and gradients {worst:.1e}",
        flush=True,
    )
    return worst


def main() -> int:
    """Start the processes, or run as one of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--process", type=int, help="number of this process; used internally")
    parser.add_argument("--address", help="address of process 0")
    options = parser.parse_args()
    if options.process is None:
        return start()
    import jax  # noqa: PLC0415

    jax.distributed.initialize(options.address, PROCESSES, options.process)
    return int(not work() < TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
