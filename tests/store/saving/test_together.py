"""Several real processes save one checkpoint: what is in it, what they agree on, and what a killed process leaves.

With LINEN_KILLS=20 in the environment, each process is killed at so many random moments.
"""

import json
import os
import random
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1

from linen_store import CheckpointStore, save

VALUES = np.arange(128 * 64, dtype=np.float32).reshape(128, 64)
KILLS = int(os.environ.get("LINEN_KILLS", "1"))


SAVE = """
tree = {
    "params": {"both": put(VALUES, "x", "y"), "rows": put(VALUES + 1, "y"), "all": put(VALUES + 2)},
    "local": {
        "array": jnp.arange(5) + number, "numpy": np.arange(3), "number": 3, "name": "linen",
        "key": jax.random.key(number), "empty": jnp.zeros((0, 2), jnp.int8), "none": None,
    },
    "keys": jax.jit(
        lambda key: jax.random.split(key, 8), out_shardings=NamedSharding(mesh, PartitionSpec(("x", "y")))
    )(jax.random.key(1)),
}
linen_store.save(path, tree)
handle = linen_store.save(path + "-later", tree, wait=False)
for array in jax.tree.leaves((tree["params"], tree["keys"])):
    array.delete()
handle.wait()
tell(os.path.isdir(path + "-later"))
"""


@pytest.mark.parametrize("count", [2, 4])
def test_every_value_is_there(tmp_path, workers, same, count):
    path = tmp_path / "c"
    assert workers(SAVE, count, path).results() == [[True]] * count
    expected = {
        "params": {
            name: jnp.asarray(VALUES + add) for name, add in (("both", 0), ("rows", 1), ("all", 2))
        },
        "local": {
            "array": jnp.arange(5),
            "numpy": np.arange(3),
            "number": 3,
            "name": "linen",
            "key": jax.random.key(0),
            "empty": jnp.zeros((0, 2), jnp.int8),
            "none": None,
        },
        "keys": jax.random.split(jax.random.key(1), 8),
    }
    for one in (path, tmp_path / "c-later"):
        store = CheckpointStore(one, verify="files")
        found = store.snapshot(("params", "local"))
        found["keys"] = store.snapshot()["keys"]
        assert same(found, expected)
    assert {name for name in os.listdir(tmp_path) if "told" not in name} == {"c", "c-later"}


def test_orbax_opens_it(tmp_path, workers):
    program = """
tree = {"both": put(VALUES, "x", "y"), "all": put(VALUES + 2), "numpy": np.arange(3)}
linen_store.save(path, {"params": tree})
"""
    path = tmp_path / "c"
    workers(program, 4, path).results()
    assert v1.is_orbax_checkpoint(path)
    assert v1.metadata(path).custom_metadata == {"linen_checksums": ["state"]}
    target = {
        "both": jax.ShapeDtypeStruct(VALUES.shape, np.float32, sharding=jnp.ones(1).sharding),
        "all": jax.ShapeDtypeStruct(VALUES.shape, np.float32, sharding=jnp.ones(1).sharding),
        "numpy": np.zeros(3, np.int64),
    }
    loaded = v1.load(path, {"params": target})["params"]
    assert np.array_equal(loaded["both"], VALUES)
    assert np.array_equal(loaded["all"], VALUES + 2)
    assert np.array_equal(loaded["numpy"], np.arange(3))


def test_a_replicated_array_is_written_once(tmp_path, workers):
    program = """
values = np.random.default_rng(0).random((512, 512), np.float32)
linen_store.save(path, {"params": {"w": put(values), "v": put(values, "x")}})
"""
    path = tmp_path / "c"
    workers(program, 2, path).results()
    size = 512 * 512 * 4
    written = sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    assert 2 * size < written < 2.2 * size
    assert (path / "state" / "ocdbt.process_1").is_dir()


def test_host_local_trees_are_those_of_process_0(tmp_path, workers):
    program = """
linen_store.save(path, {"params": {"w": jnp.full(3, number), "n": np.full(2, number)}})
linen_store.convert({"params": {"w": jnp.full(3, number)}}, path + "-converted")
linen_store.convert({"params": {"w": jnp.full(3, number)}}, path + ".safetensors")
linen_store.convert(path, path + ".npz")
linen_store.convert({"params": {"w": put(VALUES, "x")}}, path + "-spread")
spread = {"params": {"w": put(VALUES, "x")}}
tell(failure(lambda: linen_store.convert(spread, path + "-spread.npz")))
tell(failure(lambda: linen_store.convert(path, path + ".npz")))
tell(sorted(os.listdir(os.path.dirname(path))))
"""
    path = tmp_path / "c"
    told = workers(program, 2, path).results()
    expected = ["c", "c-converted", "c-spread", "c.npz", "c.safetensors"]
    assert told[0] == told[1]
    for spread, exists, names in told:
        assert spread == [
            "UnsupportedLeafError",
            f"Cannot save 'params/w' to {str(path) + '-spread.npz'!r}: found an array that is spread over processes, expected a value that npz can hold. Convert or remove it, or save as an Orbax checkpoint.",
        ]
        assert exists[0] == "CheckpointExistsError"
        assert [name for name in names if "told" not in name] == expected
    store = CheckpointStore(path, verify="files")
    assert store.snapshot()["params"]["w"].tolist() == [0, 0, 0]
    assert isinstance(store.get("params", ("w",)), jax.Array)
    assert store.get("params", ("n",)).tolist() == [0, 0]
    converted = CheckpointStore(tmp_path / "c-converted", verify="files")
    assert converted.get("params", ("w",)).tolist() == [0, 0, 0]
    spread = CheckpointStore(tmp_path / "c-spread", verify="files")
    assert np.array_equal(spread.get("params", ("w",)), VALUES)


DISAGREE = """
tree = {"w": put(VALUES, "x"), "b": np.ones(2)}
other = {"w": put(VALUES, "x"), "b": np.ones(2 + number)}
linen_store.save(path, tree)
save = linen_store.save
tell(failure(lambda: save(path, tree)))
tell(failure(lambda: save(path + "-x" * number, tree)))
tell(failure(lambda: save(path + "-new", tree, overwrite=bool(number))))
tell(failure(lambda: save(path + "-new", other)))
tell(failure(lambda: save(path + "-new", {**tree, **({"c": 1} if number else {})})))
tell(failure(lambda: save(path + "-new", {**tree, "c": object() if number else 1})))
tell(failure(lambda: save(path, tree, wait=False).wait()))
tell(failure(lambda: save(5.0 if number else path + "-new", tree)))
tell(failure(lambda: save("hdfs://bucket/model" if number else path + "-new", tree)))
tell(failure(lambda: linen_store.convert({"b": 1}, path + "-new" + ".h5" * number)))
tell(failure(lambda: linen_store.convert({"b": 1}, path + "-new" + ".npz" * number)))
tell(failure(lambda: linen_store.convert(tree if number else {"b": 1}, path + "-new")))
tell(failure(lambda: save(path + "-after", tree)))
"""


def test_disagreement_is_one_error_in_every_process(tmp_path, workers):
    path = str(tmp_path / "c")
    first, second = workers(DISAGREE, 2, path).results()
    exists = f"Cannot save to {path!r}: it exists already. Pass overwrite=True to replace it, or choose another path."
    written = "Nothing was written. Pass the same path, options and tree in every process."
    assert first == second
    assert first == [
        ["CheckpointExistsError", exists],
        [
            "ProcessesDisagreeError",
            f"Cannot save to {path!r}: process 1 has the path {path + '-x'!r}, and process 0 has the path {path!r}. {written}",
        ],
        [
            "ProcessesDisagreeError",
            f"Cannot save to {path + '-new'!r}: process 1 has overwrite=True, and process 0 has overwrite=False. {written}",
        ],
        [
            "ProcessesDisagreeError",
            f"Cannot save to {path + '-new'!r}: process 1 has 'b' as float64(3,), and process 0 has 'b' as float64(2,). {written}",
        ],
        [
            "ProcessesDisagreeError",
            f"Cannot save to {path + '-new'!r}: process 1 has 'c' as int, and process 0 has no 'c'. {written}",
        ],
        [
            "UnsupportedLeafError",
            f"Cannot save 'c' to {path + '-new'!r}: found a object, expected an array, a number, a string or None. Convert or remove it.",
        ],
        ["CheckpointExistsError", exists],
        [
            "SaveFailedError",
            "Cannot save to '5.0': expected str, bytes or os.PathLike object, not float. An earlier checkpoint there is unchanged; free space or check the disk, then save again.",
        ],
        ["RemotePathError", first[8][1]],
        ["UnknownFormatError", first[9][1]],
        [
            "ProcessesDisagreeError",
            f"Cannot save to {path + '-new'!r}: process 1 has the path {path + '-new.npz'!r}, and process 0 has the path {path + '-new'!r}. {written}",
        ],
        [
            "ProcessesDisagreeError",
            f"Cannot save to {path + '-new'!r}: process 1 has a call of `save`, and process 0 has a call of `convert`. {written}",
        ],
        None,
    ]
    assert {name for name in os.listdir(tmp_path) if "told" not in name} == {"c", "c-after"}


def test_a_failure_while_one_process_writes_is_raised_in_all(tmp_path, workers):
    program = """
from linen_store.saving import together
write = together.write_part

def full(*arguments, **options):
    if number == int(rest[0]):
        raise OSError(28, "No space left on device")
    return write(*arguments, **options)

together.write_part = full
tell(failure(lambda: linen_store.save(path, {"w": put(VALUES, "x")}, overwrite=True)))
together.write_part = write
linen_store.save(path + "-after", {"w": put(VALUES, "x")})
"""
    for victim in (0, 1):
        path = str(tmp_path / f"c{victim}")
        save(path, {"old": jnp.ones(1)})
        told = workers(program, 2, path, victim).results()
        text = f"Cannot save to {path!r}: No space left on device. An earlier checkpoint there is unchanged; free space or choose another disk, then save again."
        assert told == [[["SaveFailedError", text]]] * 2
        assert CheckpointStore(path, verify="files").collections() == ("old",)
        assert not list(tmp_path.glob(".linen-saving-*"))


def test_a_process_that_does_not_call_is_lost(tmp_path, workers):
    program = """
if number == 0:
    tell(failure(lambda: linen_store.save(path, {"w": np.ones(2)}, timeout=0.2)))
else:
    client = __import__("linen_store._jax_compat")._jax_compat.coordination_client()
    client.blocking_key_value_get("ended", 60_000)
if number == 0:
    __import__("linen_store._jax_compat")._jax_compat.coordination_client().key_value_set("ended", "")
"""
    path = str(tmp_path / "c")
    first, _ = workers(program, 2, path).results()
    text = (
        f"Cannot save to {path!r}: expected signs of life of 2 processes, found none of process 1 for 0.2 seconds. "
        "An earlier checkpoint there is unchanged, unless the new one is complete. "
        "Start the processes again; if they were only slow, pass a longer `timeout=`."
    )
    assert first == [["LostProcessError", text]]
    assert not [name for name in os.listdir(tmp_path) if "told" not in name]


SAVES = """
import threading

def tree(step):
    arrays = {str(i): put(np.full((128, 64), step, np.float32), "x", "y") for i in range(10)}
    return {"p": arrays, "step": step}

linen_store.save(path, tree(0))
tell("ready")
for step in range(1, 10_000):
    error = failure(lambda: linen_store.save(path, tree(step), True, timeout=1.5))
    if error is not None:
        tell(error)
        os._exit(0)  # JAX itself would wait for the killed process
"""


@pytest.mark.parametrize(("count", "victim"), [(2, 0), (2, 1), *([(4, None)] if KILLS > 1 else [])])
def test_kill_leaves_a_whole_checkpoint_and_ends_the_others(tmp_path, workers, count, victim):
    draw = random.Random()
    victims = [victim] if victim is not None else range(count)
    for attempt in range(KILLS):
        path = tmp_path / f"c{attempt}"
        victim = draw.choice(victims)
        started = workers(SAVES, count, path)
        while not all(started.told(number) for number in range(count)):
            assert all(worker.poll() is None for worker in started.running)
            time.sleep(0.01)
        delay = draw.uniform(0, 1.5)
        time.sleep(delay)
        started.running[victim].kill()
        for number, worker in enumerate(started.running):
            worker.communicate(timeout=60)
            if number == victim:
                continue
            told = started.told(number)
            if victim == 0 and len(told) == 1:
                assert worker.returncode != 0, delay  # JAX ends a process whose coordinator died
            else:
                assert (worker.returncode, told[1][0]) == (0, "LostProcessError"), (delay, told)
                assert f"none of process {victim} for" in told[1][1]
        values = CheckpointStore(path, verify="files").snapshot()
        assert {float(value) for one in values["p"].values() for value in one.ravel()} == {
            float(values["step"])
        }
        save(path, {"new": jnp.ones(1)}, overwrite=True)
        assert not list(tmp_path.glob(".linen-saving-*")), delay


READ = """
for axes in (("x", "y"), ("x",), ("y",)):
    sharding = NamedSharding(mesh, PartitionSpec(*axes))
    tell(failure(lambda: linen_store.open_store(path, sharding=sharding).get("params", ("w",))))
"""


def test_a_process_that_reads_its_part_checks_that_part(tmp_path, workers):
    """Change one element on the disk: only the process that reads it fails, and names the array."""
    path = tmp_path / "c"
    workers('linen_store.save(path, {"params": {"w": put(VALUES, "x", "y")}})', 2, path).results()
    needle = np.float32(VALUES[-1, -1]).tobytes()
    (file,) = [one for one in (path / "state").rglob("d/*") if one.read_bytes().count(needle) == 1]
    file.write_bytes(file.read_bytes().replace(needle, np.float32(0).tobytes()))
    told = zip(*workers(READ, 2, path).results(), strict=True)
    # The rows of "y" are split within a process, so both processes read all of them.
    for both, expected in zip(told, (1, 1, 2), strict=True):
        failed = [one for one in both if one is not None]
        assert len(failed) == expected
        for kind, text in failed:
            assert kind == "ChecksumError"
            assert "'params/w'" in text
            assert str(file) in text


def test_the_record_holds_a_crc_of_each_chunk(tmp_path, workers):
    path = tmp_path / "c"
    workers('linen_store.save(path, {"params": {"w": put(VALUES, "x", "y")}})', 2, path).results()
    item = path / "state"
    recorded = json.loads((item / "_linen_checksums.json").read_bytes().split(b"\n")[1])
    files = {str(one.relative_to(item)) for one in item.rglob("*") if one.is_file()}
    assert set(recorded["files"]) == files - {"_linen_checksums.json"}
    bounds = sorted(bounds for bounds, _ in recorded["chunks"]["params.w"])
    rows = [[start, start + 32] for start in range(0, 128, 32)]
    assert bounds == [[row, columns] for row in rows for columns in ([0, 32], [32, 64])]
