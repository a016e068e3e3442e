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
from linen_store.errors import CheckpointReplacedError, DamagedCheckpointError
from linen_store.reading.file_array import FileArray
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


CUT_SHORT = """
import itertools, os, shutil, sys
import jax, linen_store
from linen_core.errors import StoreError
mesh = jax.sharding.Mesh(jax.devices(), "x")
sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "x"))
for path, cut, split in itertools.product(sys.argv[1:], (0, 100, 1 << 20), (False, True)):
    copy = shutil.copy(path, os.path.join(os.path.dirname(path), f"cut-{cut}-{split}-{os.path.basename(path)}"))
    print(os.path.basename(copy), end=" ", flush=True)
    store = linen_store.open_store(copy, sharding=sharding if split else None)
    checked = getattr(store, "_check_same", None)
    def check():
        store._check_same = checked
        checked()
        os.truncate(copy, cut)
    if checked:
        store._check_same = check
    else:
        os.truncate(copy, cut)
    try:
        store.get("p", ("w",))
        print("read")
    except StoreError as error:
        print(type(error).__name__)
"""


def test_a_file_that_is_cut_short_while_it_is_open(tmp_path):
    """The check of the file's size comes before the read: here it is cut between the two.

    In a process of its own, which reading what is not there any more could end.
    """
    tree = {"p": {"w": jnp.arange(1 << 20, dtype=jnp.float32).reshape(1024, 1024)}}
    files = [tmp_path / f"m.{ending}" for ending in ("safetensors", "npz", "msgpack")]
    linen_store.convert(nn.MemoryStore(tree), files[0])
    np.savez(files[1], **{"p/w": tree["p"]["w"]})
    files[2].write_bytes(to_bytes(tree))
    done = subprocess.run(
        [sys.executable, "-c", CUT_SHORT, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    # MessagePack was read whole when it was opened.
    found = dict.fromkeys(("safetensors", "npz"), "CheckpointReplacedError")
    assert done.stdout.splitlines() == [
        f"cut-{cut}-{split}-m.{ending} {found.get(ending, 'read')}"
        for ending in ("safetensors", "npz", "msgpack")
        for cut in (0, 100, 1 << 20)
        for split in (False, True)
    ]


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
