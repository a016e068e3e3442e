"""What is read is what was saved: nothing flipped or stale, cast as numpy casts, counted as it was read."""

import re

import flax.core
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import v1

import linen_core as nn
import linen_store
from linen_core.train_state import TrainState
from linen_store import CheckpointStore, open_store, serialization
from linen_store.cli import main
from linen_store.errors import (
    CheckpointReplacedError,
    ChecksumError,
    DamagedCheckpointError,
    StateMismatchError,
    StateTargetError,
    UnsupportedStateError,
)
from linen_store.formats.orbax import batch
from linen_store.reading import buffers


@pytest.fixture
def made():
    return nn.Dense(3).init(jax.random.key(0), jnp.ones((1, 3)))


def flip(file, place=0):
    raw = bytearray(file.read_bytes())
    raw[place] ^= 1
    file.write_bytes(raw)


def test_a_flipped_bit_in_a_string_is_told_when_it_is_read(tmp_path):
    linen_store.save(tmp_path / "c", {"a": {"name": "linen", "w": jnp.ones(2)}})
    file = tmp_path / "c" / "state" / "_strings.json"
    flip(file, file.read_bytes().index(b"linen") + 1)
    store = CheckpointStore(tmp_path / "c")
    for read in (lambda: store.get("a", ("name",)), lambda: store.spec("a")):
        with pytest.raises(ChecksumError) as caught:
            read()
        assert (caught.value.leaf, caught.value.file) == (("a", "name"), str(file))
    assert store.get("a", ("w",)).shape == (2,)
    assert CheckpointStore(tmp_path / "c", verify=False).get("a", ("name",)) != "linen"


def test_a_flipped_bit_in_what_says_how_keys_are_made(tmp_path):
    linen_store.save(tmp_path / "c", {"a": {"key": jax.random.key(0)}})
    file = tmp_path / "c" / "state" / "array_metadatas" / "process_0"
    flip(file, file.read_bytes().index(b"fry2x32") + 3)
    with pytest.raises(DamagedCheckpointError) as caught:
        CheckpointStore(tmp_path / "c")
    assert caught.value.file == str(file)


def test_checksums_that_went_missing_are_noticed(tmp_path):
    linen_store.save(tmp_path / "c", {"a": {"w": jnp.ones(2)}})
    file = tmp_path / "c" / "state" / "_linen_checksums.json"
    file.unlink()
    for path in (tmp_path / "c", tmp_path / "c" / "state"):
        with pytest.raises(DamagedCheckpointError) as caught:
            open_store(path)
        assert (caught.value.file, caught.value.reason) == (
            str(file),
            "it is missing, and was written",
        )
    assert main(["verify", str(tmp_path / "c")]) == 1
    assert open_store(tmp_path / "c", verify=False).get("a", ("w",)).shape == (2,)
    v1.save(tmp_path / "o", {"a": {"w": jnp.ones(2)}}, custom_metadata={"mine": 1})
    assert open_store(tmp_path / "o").get("a", ("w",)).shape == (2,)


@pytest.mark.parametrize("ending", ["", ".safetensors", ".npz", ".npy"])
def test_a_cache_does_not_outlive_its_checkpoint(tmp_path, ending):
    def write(number):
        value = np.full(3, number, np.float32)
        path = tmp_path / f"c{ending}"
        if ending == ".npy":
            path.mkdir(exist_ok=True)
            np.save(tmp_path / "new.npy", value)
            (tmp_path / "new.npy").replace(path / "w.npy")
        elif ending == ".npz":
            np.savez(tmp_path / "new.npz", w=value)
            (tmp_path / "new.npz").replace(path)
        else:
            source = nn.MemoryStore({"w": value})
            linen_store.convert(source, path, overwrite=True)
        return path

    store = open_store(write(1))
    assert store.get("w", ())[0] == store.get("w", ())[0] == 1
    open_again = open_store(write(2))
    with pytest.raises(CheckpointReplacedError):
        store.get("w", ())
    assert open_again.get("w", ())[0] == 2


def test_a_value_that_was_read_in_a_trace_is_not_kept(tmp_path):
    (tmp_path / "m.msgpack").write_bytes(
        serialization.to_bytes({"p": {"w": np.ones(2, np.float32)}})
    )
    store = open_store(tmp_path / "m.msgpack")
    jax.make_jaxpr(lambda: store.get("p", ("w",)))()
    assert store.get("p", ("w",)).tolist() == [1.0, 1.0]


def test_a_cast_is_that_of_numpy_for_every_kind_of_array(tmp_path):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, (4, 50_000), dtype=np.uint32).view(np.float32)
    tree = {
        "w": {
            "large": jnp.asarray(bits),
            "half": jnp.asarray(rng.random(7), jnp.float16),
            "same": jnp.ones(5, jnp.bfloat16),
            "int": jnp.arange(3),
            "numpy": rng.random(5),
            "key": jax.random.key(1),
            "empty": jnp.zeros((0, 2)),
        }
    }
    linen_store.save(tmp_path / "c", tree)
    v1.save(tmp_path / "o", {"w": {"large": tree["w"]["large"], "same": tree["w"]["same"]}})
    flat = {name: value for name, value in tree["w"].items() if name != "key"}
    linen_store.convert(nn.MemoryStore({"w": flat}), tmp_path / "m.safetensors")
    for path in ("c", "o", "m.safetensors"):
        found = open_store(tmp_path / path, dtype=jnp.bfloat16).snapshot()["w"]
        for name, value in found.items():
            if name == "key":
                assert (
                    jax.random.key_data(value).tolist()
                    == jax.random.key_data(tree["w"]["key"]).tolist()
                )
                continue
            saved = np.asarray(tree["w"][name])
            with np.errstate(all="ignore"):
                cast = saved if name == "int" else saved.astype(jnp.bfloat16)
            assert (name, value.dtype) == (name, cast.dtype)
            assert np.asarray(value).tobytes() == cast.tobytes()


def test_a_cast_never_holds_all_arrays_twice(tmp_path, monkeypatch):
    made = []
    original = buffers.aligned_empty

    def counted(shape, dtype):
        made.append((int(np.prod(shape)) * np.dtype(dtype).itemsize, np.dtype(dtype)))
        return original(shape, dtype)

    monkeypatch.setattr(buffers, "aligned_empty", counted)
    monkeypatch.setattr(batch, "_CAST_BYTES", 1 << 16)
    linen_store.save(tmp_path / "c", {"w": {str(n): jnp.ones((128, 128)) for n in range(20)}})
    open_store(tmp_path / "c", dtype=jnp.bfloat16).snapshot()
    read = sum(size for size, dtype in made if dtype == np.uint8)
    cast = sum(size for size, dtype in made if dtype == jnp.bfloat16)
    assert cast == 20 * 128 * 128 * 2
    assert read <= 2 * 128 * 128 * 4


def test_statistics_count_what_was_read(tmp_path):
    linen_store.save(tmp_path / "c", {"w": jnp.ones((8, 4)), "n": np.ones(3), "k": 3, "t": "text"})
    store = open_store(tmp_path / "c", dtype=jnp.bfloat16)
    store.snapshot()
    assert (store.stats.leaves, store.stats.bytes) == (4, 128 + 24)
    mesh = Mesh(np.array(jax.devices()), ("x",))
    for split, held in ((PartitionSpec("x"), 128), (PartitionSpec(), 8 * 128)):
        store = open_store(tmp_path / "c", sharding=NamedSharding(mesh, split), cache_bytes=1000)
        for _ in range(2):
            store.get("w", ())
        # Each part is read once, however many devices hold it; the cache counts what they hold.
        assert store.stats.bytes == (128 if held <= 1000 else 256)


def test_a_class_is_no_target_of_bytes(made):
    encoded = serialization.to_bytes(made)
    for target in (nn.Dense, TrainState, dict, {"params": nn.Dense}):
        with pytest.raises(StateTargetError):
            serialization.from_bytes(target, encoded)
    # The advice: an instance, or None.
    assert serialization.from_bytes(made, encoded)["params"].keys() == made["params"].keys()
    assert serialization.from_bytes(None, encoded)["params"].keys() == made["params"].keys()


def test_what_the_target_lacks_is_told_where_that_is_asked_for(made, same):
    encoded = serialization.to_bytes({**made, "more": {"w": jnp.ones(1)}})
    assert same(serialization.from_bytes(made, encoded)["params"].keys(), made["params"].keys())
    with pytest.raises(StateMismatchError) as caught:
        serialization.from_bytes(made, encoded, strict=True)
    assert (caught.value.expected, caught.value.found) == (["params"], ["more", "params"])
    inner = serialization.to_bytes({"params": {**made["params"], "more": jnp.ones(1)}})
    with pytest.raises(StateMismatchError, match=re.escape("at './params'")):
        serialization.from_bytes(made, inner, strict=True)
    assert (
        serialization.from_bytes(made, serialization.to_bytes(made), strict=True).keys()
        == made.keys()
    )


@pytest.mark.parametrize(
    ("tree", "advice"),
    [
        (linen_store.freeze({"a": {"w": 1}}), "Pass its `unfreeze()`, or use `to_bytes`."),
        (flax.core.freeze({"a": {"w": 1}}), "Pass its `unfreeze()`, or use `to_bytes`."),
        (optax.EmptyState(), "Use `to_bytes`, which makes a state dict of it first."),
        ({"a": (1, 2)}, "Use `to_bytes`, which makes a state dict of it first."),
    ],
)
def test_advice_for_what_has_a_state_dict_works(tree, advice):
    with pytest.raises(UnsupportedStateError) as caught:
        serialization.msgpack_serialize(tree, in_place=True)
    assert str(caught.value).endswith(advice)
    assert serialization.from_bytes(tree, serialization.to_bytes(tree)) == tree
    if hasattr(tree, "unfreeze"):
        raw = serialization.msgpack_serialize(tree.unfreeze())
        assert serialization.msgpack_restore(raw) == {"a": {"w": 1}}


def test_what_has_a_state_dict_says_so(made):
    state = TrainState.create(apply_fn=None, params=made["params"], tx=optax.sgd(0.1))
    assert serialization.is_serializable(state)
    assert serialization.is_serializable(nn.Partitioned)
