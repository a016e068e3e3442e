"""Plans for checkpoints and clusters that this machine could not hold, and plans against what two processes read."""

import json

import jax
import pytest

import linen_core as nn
from linen_store import open_store, plan

LAYERS, WIDTH, HIDDEN, VOCABULARY = 126, 16_384, 53_248, 128_256
SHAPES = {
    "attention.query.kernel": (WIDTH, WIDTH),
    "attention.key.kernel": (WIDTH, 1024),
    "attention.value.kernel": (WIDTH, 1024),
    "attention.out.kernel": (WIDTH, WIDTH),
    "mlp.gate.kernel": (WIDTH, HIDDEN),
    "mlp.up.kernel": (WIDTH, HIDDEN),
    "mlp.down.kernel": (HIDDEN, WIDTH),
    "norm_1.scale": (WIDTH,),
    "norm_2.scale": (WIDTH,),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A safetensors file of 405 billion parameters in bfloat16: its header, and a hole in place of the arrays."""
    shapes = {"embed.embedding": (VOCABULARY, WIDTH), "head.kernel": (WIDTH, VOCABULARY)}
    for layer in range(LAYERS):
        shapes |= {f"layer_{layer}.{name}": shape for name, shape in SHAPES.items()}
    header, offset = {"__metadata__": {"format": "flax"}}, 0
    for name, shape in shapes.items():
        size = 2
        for length in shape:
            size *= length
        header[f"params.{name}"] = {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [offset, offset + size],
        }
        offset += size
    raw = json.dumps(header).encode()
    path = tmp_path_factory.mktemp("scale") / "model.safetensors"
    with open(path, "wb") as stream:
        stream.write(len(raw).to_bytes(8, "little") + raw)
        stream.truncate(8 + len(raw) + offset)
    return path, offset


def wanted(store):
    """Split the kernels over both axes of the mesh: the first axis over `data`, the last over `model`."""

    def boxed(spec):
        axes = ("data", "model") if len(spec.shape) == 2 else (None,)
        return nn.Partitioned(spec, axes)

    return jax.tree.map(boxed, {"params": store.spec("params")})


@pytest.mark.parametrize(("data", "model", "processes"), [(8, 8, 8), (256, 16, 512)])
def test_a_plan_for_a_cluster(checkpoint, data, model, processes):
    path, total = checkpoint
    with open_store(path) as store:
        found = plan(wanted(store), store, {"data": data, "model": model}, processes=processes)
    norms = LAYERS * 2 * WIDTH * 2
    assert 800e9 < found.total_bytes == total < 820e9
    assert found.device_bytes == (total - norms) // (data * model) + norms
    per_process = data * model // processes
    # Each process reads the parts of its own devices, and the norms, which all of them hold, once.
    assert set(found.process_bytes) == {(total - norms) // (data * model) * per_process + norms}
    assert len(found.process_bytes) == processes


PROGRAM = """
import linen_core as nn

tree = {"params": {"a": put(VALUES, "x", "y"), "b": put(VALUES + 1), "c": put(VALUES + 2, "y"), "d": np.ones(5)}}
linen_store.save(path, tree)
axes = {"a": ("x", "y"), "b": (), "c": (None, "x"), "d": ()}
wanted = {"params": {
    name: nn.Partitioned(jax.ShapeDtypeStruct(np.shape(tree["params"][name]), np.asarray(0, "float32" if name != "d" else "float64").dtype), axes[name])
    for name in axes
}}
found = linen_store.plan(wanted, path, mesh)
store = linen_store.open_store(
    path, sharding=lambda names, spec: NamedSharding(mesh, PartitionSpec(*axes[names[-1]])), cache_bytes=0
)
arrays = store.read("params", [(name,) for name in axes])
held = sum(shard.data.nbytes for array in arrays[:3] for shard in array.addressable_shards)
tell([store.stats.bytes, held, list(found.process_bytes), found.device_bytes, len(jax.local_devices())])
"""


def test_the_figures_are_those_of_real_reads(tmp_path, workers):
    told = workers(PROGRAM, 2, tmp_path / "c").results()
    for number, ((read, held, planned, device, devices),) in enumerate(told):
        assert read == planned[number]
        assert held == (device - 5 * 8) * devices
