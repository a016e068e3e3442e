"""Loading onto a mesh: what is read, where it goes, and the plan that tells it beforehand."""

import subprocess
import sys

import flax.linen
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

import linen_core as nn
import linen_store
from linen_store.errors import MeshSizeError, RestoreMismatchError, UnevenShardingError
from linen_store.restoring.placement import partition_specs

F32 = jnp.float32


def boxed(shape, names, dtype=F32):
    return nn.Partitioned(jax.ShapeDtypeStruct(shape, dtype), names)


WANTED = {
    "params": {
        "kernel": boxed((16, 8), ("embed", "mlp")),
        "embed": boxed((32, 4), ("vocab", None)),
        "bias": jax.ShapeDtypeStruct((8,), F32),
    }
}
STORED = {
    "params": {
        "kernel": jax.ShapeDtypeStruct((16, 8), F32),
        "embed": jax.ShapeDtypeStruct((32, 4), F32),
        "bias": jax.ShapeDtypeStruct((8,), F32),
    }
}
RULES = [("embed", "data"), ("mlp", "model"), ("vocab", ("data", "model"))]


@pytest.mark.parametrize("mesh", [{"data": 4, "model": 2}, AbstractMesh((4, 2), ("data", "model"))])
def test_a_plan_counts_what_is_held_and_read(mesh):
    plan = linen_store.plan(WANTED, STORED, mesh, RULES, processes=4)
    held = {leaf.names[1]: leaf.device_bytes for leaf in plan.leaves}
    assert held == {"kernel": 512 // 8, "embed": 512 // 8, "bias": 32}
    assert plan.total_bytes == 512 + 512 + 32
    assert plan.device_bytes == 64 + 64 + 32
    # Two devices a process, in the order of the mesh: both parts of a row of the kernel.
    assert plan.process_bytes == (128 + 128 + 32,) * 4


def test_a_part_that_two_devices_of_a_process_hold_is_read_once():
    wanted = {"params": {"kernel": boxed((16, 8), (None, "model"))}}
    mesh = {"data": 4, "model": 2}
    assert linen_store.plan(wanted, STORED, mesh).process_bytes == (512,)
    assert linen_store.plan(wanted, STORED, mesh, processes=8).process_bytes == (256,) * 8
    uneven = linen_store.plan(wanted, STORED, {"data": 3, "model": 2}, processes=4)
    assert uneven.process_bytes == (512, 256, 512, 256)
    assert "reads 256 to 512 bytes" in str(uneven)


def test_a_plan_of_everything_and_in_another_dtype():
    plan = linen_store.plan(None, STORED, {"x": 2}, dtype=jnp.bfloat16)
    assert (plan.total_bytes, plan.device_bytes, plan.process_bytes) == (528, 528, (528,))
    assert str(plan).splitlines()[:3] == [
        "3 arrays, 528 bytes",
        "each device holds 528 bytes",
        "the only process reads 528 bytes",
    ]


def test_four_hundred_billion_parameters_on_a_laptop():
    layer = {f"w{n}": boxed((16384, 53248), ("embed", "mlp"), jnp.bfloat16) for n in range(3)}
    wanted = {"params": {f"layer_{n}": layer for n in range(154)}}
    stored = nn.unbox(wanted)
    plan = linen_store.plan(
        wanted,
        stored,
        {"data": 64, "model": 32},
        [("embed", "data"), ("mlp", "model")],
        processes=256,
    )
    assert plan.total_bytes == 2 * 154 * 3 * 16384 * 53248
    assert plan.device_bytes == plan.total_bytes // 2048
    assert set(plan.process_bytes) == {plan.total_bytes // 256}


def test_what_does_not_divide_or_exist_is_told():
    with pytest.raises(UnevenShardingError) as caught:
        linen_store.plan(WANTED, STORED, {"data": 3, "model": 2}, RULES)
    assert (caught.value.names, caught.value.axis) == (("params", "embed"), 0)
    with pytest.raises(UnevenShardingError, match="the mesh has no axis 'vocab'"):
        linen_store.plan(WANTED, STORED, {"other": 3})
    scalar = {"params": {"scale": boxed((), ("x",))}}
    with pytest.raises(UnevenShardingError, match="the array has 0 axes, not 1"):
        linen_store.plan(scalar, {"params": {"scale": jnp.ones(())}}, {"x": 2})
    with pytest.raises(RestoreMismatchError, match="params/more: missing"):
        linen_store.plan({"params": {"more": STORED["params"]["bias"]}}, STORED, {"x": 1})


def test_each_mesh_axis_is_used_once():
    rules = [("a", "x"), ("b", "x"), ("b", "y"), ("c", None)]
    specs = partition_specs({"w": boxed((2, 2, 2, 2), ("a", "b", "c", "d"))}, rules)
    assert specs["w",] == specs["w", "value"] == PartitionSpec("x", "y", None, None)


def test_rules_go_before_the_order_of_axes():
    rules = [("mlp", "model"), ("embed", "model")]
    specs = partition_specs({"w": boxed((4, 4), ("embed", "mlp"))}, rules)
    assert specs["w",] == flax.linen.logical_to_mesh_axes(("embed", "mlp"), rules)
    assert specs["w",] == PartitionSpec(None, "model")


@pytest.mark.parametrize(
    ("mesh", "processes"), [({"x": 0}, 1), ({"x": 2}, 0), ({"x": 2}, 3), ({"x": -2, "y": -2}, 1)]
)
def test_a_mesh_that_cannot_be(mesh, processes):
    with pytest.raises(MeshSizeError):
        linen_store.plan(None, STORED, mesh, processes=processes)


SHARDED = """
import os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
import jax, jax.numpy as jnp, numpy as np, tempfile
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import linen_core as nn, linen_store
from linen_store.formats.orbax import arrays
from linen_store.errors import ChecksumError, UnevenShardingError

mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
folder = tempfile.mkdtemp()

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        init = nn.with_partitioning(nn.initializers.lecun_normal(), ("in", "out"))
        return nn.Dense(64, kernel_init=init)(x)

x = jnp.ones((1, 128))
made = Net().init(jax.random.key(0), x)
path = os.path.join(folder, "c")
linen_store.save(path, made)

reads = []
inner = arrays.ArrayFolder.read
def counting(self, parts):
    buffers = inner(self, parts)
    reads.extend(buffer.nbytes for buffer in buffers)
    return buffers
arrays.ArrayFolder.read = counting

rules = [("in", "data"), ("out", "model")]
variables, _ = linen_store.restore(Net(), path, x, mesh=mesh, rules=rules)
kernel = variables["params"]["Dense_0"]["kernel"].value
assert kernel.sharding == NamedSharding(mesh, P("data", "model")), kernel.sharding
assert {shard.data.shape for shard in kernel.addressable_shards} == {(32, 32)}
assert variables["params"]["Dense_0"]["bias"].sharding == NamedSharding(mesh, P())
assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), variables, made)))
assert sorted(reads) == sorted([32 * 32 * 4] * 8 + [64 * 4]), reads

store = linen_store.CheckpointStore(path, sharding=lambda names, spec: NamedSharding(mesh, P(None, "model")) if spec.ndim == 2 else None)
reads.clear()
kernel = store.get("params", ("Dense_0", "kernel", "value"))
assert reads == [128 * 32 * 4] * 2, reads
assert bool((kernel == made["params"]["Dense_0"]["kernel"].value).all())

# A store over sharded arrays can be saved, and each of its parts is checked by a reader with another sharding.
again = os.path.join(folder, "again")
linen_store.save(again, variables)
store = linen_store.CheckpointStore(again, sharding=NamedSharding(mesh, P("model")))
chunks = store._checksums.chunks["params.Dense_0.kernel.value"]
assert len(chunks) == 8
chunks[5] = (chunks[5][0], chunks[5][1] ^ 1)
try:
    store.get("params", ("Dense_0", "kernel", "value"))
except ChecksumError as error:
    assert error.leaf == ("params", "Dense_0", "kernel", "value")
else:
    raise SystemExit("the checksum of a sharded array was not checked")
try:
    linen_store.restore(Net(), path, jnp.ones((1, 128)), mesh=mesh, rules=[("in", ("data", "model")), ("out", None)])
    linen_store.restore(nn.Dense(6, kernel_init=nn.with_partitioning(nn.initializers.ones, ("data", "model"))), {"params": {"kernel": jnp.ones((3, 6)), "bias": jnp.ones(6)}}, jnp.ones((1, 3)), mesh=mesh)
except UnevenShardingError:
    print("done")
"""


def test_a_sharded_read_takes_each_part_once_and_checks_it():
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_progress_is_told_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("linen_store.reading.progress._PART_BYTES", 1)
    model, x = nn.Dense(3), jnp.ones((1, 2))
    linen_store.save(tmp_path / "c", model.init(jax.random.key(0), x))
    told = []
    linen_store.restore(model, tmp_path / "c", x, progress=lambda *told_: told.append(told_))
    assert told == [(12, 36), (36, 36)]


def test_the_progress_bar_is_silent_without_rich(tmp_path, monkeypatch, capsys):
    model, x = nn.Dense(3), jnp.ones((1, 2))
    linen_store.save(tmp_path / "c", model.init(jax.random.key(0), x))
    linen_store.restore(model, tmp_path / "c", x, progress=True)
    assert "Reading" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    linen_store.restore(model, tmp_path / "c", x, progress=True)
    assert capsys.readouterr().out == ""


def test_a_plan_tells_other_shapes_and_knows_variables_of_any_name():
    stored = {"params": {"value": jnp.ones((4, 2)), "w": jnp.ones(3)}}
    wanted = {"params": {"value": boxed((4, 2), ("data", None)), "w": jnp.ones(3)}}
    plan = linen_store.plan(wanted, stored, {"data": 2})
    assert {leaf.names: leaf.device_bytes for leaf in plan.leaves} == {
        ("params", "value"): 16,
        ("params", "w"): 12,
    }
    wanted["params"]["w"] = jnp.ones(4)
    with pytest.raises(RestoreMismatchError, match=r"params/w: the store has float32\(3,\)"):
        linen_store.plan(wanted, stored, {"data": 2})


def test_the_boxes_of_flax_name_their_axes_too():
    box = flax.linen.Partitioned(jnp.ones((4, 2)), ("data", None))
    plan = linen_store.plan(
        {"params": {"w": box}}, {"params": {"w": jnp.ones((4, 2))}}, {"data": 2}
    )
    assert plan.leaves[0].partition == PartitionSpec("data", None)
