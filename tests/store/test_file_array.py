"""Arrays read out of files: every region, however it is cut, and files that end too early."""

import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linen_core as nn
import linen_store
from linen_store._file_array import FileArray
from linen_store.errors import CheckpointReplacedError, DamagedCheckpointError
from linen_store.serialization import to_bytes

WHOLE = np.arange(6 * 5 * 400, dtype=np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("f") / "file"
    path.write_bytes(b"head" + WHOLE.tobytes())
    return str(path)


@settings(deadline=None)
@given(data=st.data())
def test_every_region_is_that_of_the_array(file, data):
    shape = data.draw(
        st.sampled_from([(12000,), (6, 2000), (2000, 6), (6, 5, 400), (5, 400, 6), (2, 3, 5, 400)])
    )
    array = FileArray(file, WHOLE.dtype, shape, 4)
    index = []
    for size in shape:
        start = data.draw(st.integers(0, size))
        stop = data.draw(st.integers(start, size))
        index.append(data.draw(st.sampled_from([slice(None), slice(start, stop)])))
    np.testing.assert_array_equal(array[tuple(index)], WHOLE.reshape(shape)[tuple(index)])


def test_arrays_without_axes_or_elements(file):
    assert FileArray(file, WHOLE.dtype, (), 4 + 4 * 7)[()] == 7
    empty = FileArray(file, WHOLE.dtype, (3, 0, 2), 4)
    assert empty[slice(1, 2), slice(None), slice(0, 1)].shape == (1, 0, 1)
    assert empty.read().shape == (3, 0, 2)


@pytest.mark.parametrize(
    "index",
    [
        (slice(None), slice(None)),
        (slice(5, 6), slice(None)),
        (slice(None), slice(1, 2000)),
        (slice(None), slice(1999, 2000)),
    ],
)
def test_a_file_that_ends_too_early(tmp_path, index):
    path = tmp_path / "short"
    path.write_bytes(bytes(4 * 11999))
    array = FileArray(str(path), WHOLE.dtype, (6, 2000), 0)
    with pytest.raises(EOFError, match="the file ends at 47996, expected"):
        array[index]


@pytest.mark.parametrize("cut", [0, 100, 1 << 20])
@pytest.mark.parametrize("ending", ["safetensors", "npz", "msgpack"])
@pytest.mark.parametrize("split", [False, True])
def test_a_file_that_is_cut_short_while_it_is_open(tmp_path, ending, cut, split):
    """The check of the file's size comes before the read: here it is cut between the two."""
    tree = {"p": {"w": jnp.arange(1 << 20, dtype=jnp.float32).reshape(1024, 1024)}}
    path = tmp_path / f"m.{ending}"
    if ending == "safetensors":
        linen_store.convert(nn.MemoryStore(tree), path)
    elif ending == "npz":
        np.savez(path, **{"p/w": tree["p"]["w"]})
    else:
        path.write_bytes(to_bytes(tree))
    program = """
import os, sys
import jax, linen_store
from linen_store import npz_store, safetensors_store
from linen_core.errors import StoreError
path, cut, split = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
mesh = jax.sharding.Mesh(jax.devices(), "x")
sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "x"))
store = linen_store.open_store(path, sharding=sharding if split else None)
checked = store._check_same if hasattr(store, "_check_same") else None
def check():
    store._check_same = checked
    checked()
    os.truncate(path, cut)
if checked:
    store._check_same = check
else:
    os.truncate(path, cut)
try:
    store.get("p", ("w",))
    print("read")
except StoreError as error:
    print(type(error).__name__)
"""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [sys.executable, "-c", program, path, str(cut), str(split)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **flags},
    )
    assert (done.returncode, done.stderr) == (0, "")
    # MessagePack was read whole when it was opened.
    assert done.stdout == ("read\n" if ending == "msgpack" else "CheckpointReplacedError\n")


def test_a_file_that_is_gone_or_cut_short_is_told_by_name(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    linen_store.convert(nn.MemoryStore({"p": {"w": jnp.ones((64, 64))}}), path)
    store = linen_store.open_store(path)
    os.truncate(path, 1000)
    with pytest.raises(CheckpointReplacedError):
        store.get("p", ("w",))
    monkeypatch.setattr(store, "_check_same", lambda: None)
    with pytest.raises(
        DamagedCheckpointError, match=r"m.safetensors is damaged .the file ends at 1000"
    ):
        store.get("p", ("w",))
    path.unlink()
    with pytest.raises(DamagedCheckpointError, match=r"m.safetensors is damaged .No such file"):
        store.get("p", ("w",))
