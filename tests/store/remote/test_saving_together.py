"""Several processes save to a bucket, without a disk that they share."""

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1

from linen_store import open_store, save
from linen_store.filesystem.remote import RemoteFolder

VALUES = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)
OWN_FOLDER = """
import tempfile
tempfile.tempdir = f"{path}-temporary-{number}"
os.mkdir(tempfile.tempdir)
"""


def test_processes_save_to_one_checkpoint(tmp_path, s3, address, workers):
    program = f"""{OWN_FOLDER}
tree = {{
    "w": put(VALUES, "x", "y"),
    "all": put(VALUES + 1),
    "n": number,
}}
linen_store.save(rest[0], {{"params": tree}})
tell(os.listdir(tempfile.tempdir))
tell(failure(lambda: linen_store.save(rest[0], {{"params": {{"w": put(VALUES, "x", "y")}}}})))
store = linen_store.open_store(rest[0], sharding=NamedSharding(mesh, PartitionSpec("x")))
own = store.get("params", ("w",)).addressable_shards
tell(all(np.array_equal(shard.data, VALUES[shard.index]) for shard in own))
"""
    told = workers(program, 2, tmp_path / "c", address).results()
    for left, error, equal in told:
        assert left == []
        assert error[0] == "RemoteExistsError"
        assert equal
    store = open_store(address, verify="files")
    assert np.array_equal(store.get("params", ("w",)), VALUES)
    assert np.array_equal(store.get("params", ("all",)), VALUES + 1)
    assert store.get("params", ("n",)) == 0
    assert not [
        name for name in RemoteFolder(address).names() if "LINEN_" in name or "part_" in name
    ]


def test_orbax_opens_a_copy(tmp_path, s3, address, workers):
    program = f"""{OWN_FOLDER}
linen_store.save(rest[0], {{"params": {{"w": put(VALUES, "x"), "v": put(VALUES + 1)}}}}, wait=False).wait()
"""
    workers(program, 4, tmp_path / "c", address).results()
    remote = RemoteFolder(address)
    for name, data in remote.read(remote.names()).items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(data)
    like = jax.ShapeDtypeStruct(VALUES.shape, np.float32, sharding=jnp.ones(1).sharding)
    loaded = v1.load(tmp_path / "copy", {"params": {"w": like, "v": like}})["params"]
    assert np.array_equal(loaded["w"], VALUES)
    assert np.array_equal(loaded["v"], VALUES + 1)


def test_a_failed_part_fails_in_all_and_the_next_save_works(tmp_path, s3, address, workers):
    program = f"""{OWN_FOLDER}
tell(failure(lambda: linen_store.save(rest[0], {{"w": put(VALUES, "x")}})))
tell(os.listdir(tempfile.tempdir))
"""
    s3.fault = lambda _number, text: "503" if "ocdbt.process_1" in text else None
    told = workers(program, 2, tmp_path / "c", address).results()
    assert told[0] == told[1]
    (name, message), left = told[0]
    assert left == []
    assert name == "RemoteFailedError"
    assert f"{address}/state/ocdbt.process_1/" in message
    s3.forget()
    save(address, {"w": jnp.zeros(3)})
    assert open_store(address, verify="files").get("w", ()).shape == (3,)
