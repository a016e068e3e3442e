"""Programs that open and read checkpoints: linen-store, its peers, and plain file reads."""

from __future__ import annotations

import atexit
import functools
import json
import logging
import pathlib
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import flax.serialization
import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors.flax
from orbax.checkpoint import v1
from timing import Benchmark

import linen_core as nn
import linen_store
from linen_store import views

__all__ = ["BENCHMARKS", "folder", "orbax_v1", "random_tree"]

Programs = dict[str, Callable[[], Any]]
SMALL = (1000, (64, 64))
LARGE = (16, (4096, 4096))


@functools.cache
def folder() -> pathlib.Path:
    """Return a temporary folder that is removed at exit, and silence the log of Orbax."""
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    path = pathlib.Path(tempfile.mkdtemp(prefix="linen-bench-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def random_tree(count: int, shape: tuple[int, ...]) -> Any:
    """Return the parameters of a model: normally distributed float32 arrays."""
    random = np.random.default_rng(0)
    return {
        "params": {
            f"layer_{n}": {"kernel": random.standard_normal(shape, np.float32)}
            for n in range(count)
        }
    }


@functools.cache
def written(kind: str, size: tuple[int, tuple[int, ...]]) -> str:
    """Return the path of a checkpoint of some format, written by the library of the format."""
    path = folder() / f"{kind}-{size[0]}"
    tree = jax.tree.map(jax.device_put, random_tree(*size))
    if kind == "linen":
        linen_store.save(path, tree)
    elif kind == "compressed":
        linen_store.save(path, tree, compression=True)
    elif kind == "orbax v1":
        v1.save(path, tree)
    elif kind == "orbax v0":
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(path, tree)
    elif kind == "safetensors":
        linen_store.convert(nn.MemoryStore(tree), path, "safetensors")
    elif kind == "msgpack":
        path.write_bytes(flax.serialization.to_bytes(tree))
    else:
        with path.open("wb") as stream:
            for leaf in jax.tree.leaves(tree):
                stream.write(np.asarray(leaf).data)
    return str(path)


def targets(size: tuple[int, tuple[int, ...]], sharding: Any = None) -> Any:
    """Return the target that Orbax needs to place arrays on devices."""
    count, shape = size
    where = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    leaf = jax.ShapeDtypeStruct(shape, np.float32, sharding=where)
    return {"params": {f"layer_{n}": {"kernel": leaf} for n in range(count)}}


def linen(path: str, **options: Any) -> Callable[[], Any]:
    """Return a program that reads a whole checkpoint with linen-store, without a cache."""
    return lambda: linen_store.open_store(path, cache_bytes=0, **options).snapshot()


def orbax_v1(path: str, target: Any) -> Callable[[], Any]:
    """Return a program that reads a whole checkpoint with Orbax v1."""
    return lambda: jax.block_until_ready(v1.load(path, target))


def orbax_v0(path: str, target: Any) -> Callable[[], Any]:
    """Return a program that reads a whole checkpoint with Orbax v0."""
    arguments = jax.tree.map(lambda leaf: ocp.ArrayRestoreArgs(sharding=leaf.sharding), target)

    def program() -> Any:
        with ocp.PyTreeCheckpointer() as checkpointer:
            return jax.block_until_ready(checkpointer.restore(path, restore_args=arguments))

    return program


def from_msgpack(path: str) -> Callable[[], Any]:
    """Return a program that reads a whole file of flax and places the arrays on the device."""

    def program() -> Any:
        with open(path, "rb") as stream:
            tree = flax.serialization.msgpack_restore(stream.read())
        return jax.block_until_ready(jax.tree.map(jax.device_put, tree))

    return program


def raw_copy(path: str, size: tuple[int, tuple[int, ...]]) -> Callable[[], Any]:
    """Return a program that copies arrays from a memory-mapped file without a format."""
    count, shape = size

    def program() -> Any:
        mapped = np.memmap(path, np.float32, "r").reshape(count, *shape)
        return [np.array(mapped[n]) for n in range(count)]

    return program


def opened() -> Programs:
    """Open a checkpoint of 1,000 arrays and list their names."""
    path, theirs = written("linen", SMALL), written("orbax v1", SMALL)
    return {
        "orbax v1 metadata": lambda: v1.pytree_metadata(theirs),
        "linen": lambda: linen_store.CheckpointStore(path).leaves("params"),
        "linen, Orbax's": lambda: linen_store.CheckpointStore(theirs).leaves("params"),
        "safetensors": lambda: _safetensors_names(written("safetensors", SMALL)),
    }


def _safetensors_names(path: str) -> list[str]:
    with safetensors.safe_open(path, "flax") as file:
        return list(file.keys())


def one_array() -> Programs:
    """Open a checkpoint of 1,000 arrays and read one."""
    path, theirs = written("linen", SMALL), written("orbax v1", SMALL)
    array_path = ("layer_7", "kernel")
    target = {"params": {"layer_7": targets(SMALL)["params"]["layer_7"]}}
    partly = v1.Context()
    partly.pytree.loading.partial_load = True

    def by_orbax() -> Any:
        with partly:
            return jax.block_until_ready(v1.load(theirs, target))

    def by_safetensors() -> Any:
        with safetensors.safe_open(written("safetensors", SMALL), "flax") as file:
            return jax.block_until_ready(file.get_tensor("params.layer_7.kernel"))

    return {
        "orbax v1": by_orbax,
        "linen": lambda: linen_store.CheckpointStore(path).get("params", array_path),
        "linen, Orbax's": lambda: linen_store.CheckpointStore(theirs).get("params", array_path),
        "safetensors": by_safetensors,
    }


def every_array(size: tuple[int, tuple[int, ...]], kind: str) -> Programs:
    """Read all arrays of a checkpoint. Orbax compresses the checkpoints that it writes."""
    path, target = written(kind, size), targets(size)
    return {
        "orbax v1": orbax_v1(written("orbax v1", size), target),
        "orbax v1, Linen's": orbax_v1(path, target),
        "linen": linen(path),
        "linen, no CRC": linen(path, verify=False),
        "safetensors": lambda: jax.block_until_ready(
            safetensors.flax.load_file(written("safetensors", size))
        ),
        "raw copy": raw_copy(written("raw", size), size),
    }


def small_arrays() -> Programs:
    """Read 1,000 arrays in every format."""
    return {
        **every_array(SMALL, "linen"),
        "linen, Orbax's": linen(written("orbax v1", SMALL)),
        "linen, safetensors": linen(written("safetensors", SMALL)),
        "orbax v0": orbax_v0(written("orbax v0", SMALL), targets(SMALL)),
        "flax msgpack": from_msgpack(written("msgpack", SMALL)),
    }


def many_names() -> Programs:
    """Open a checkpoint of 100,000 arrays and list their names; the base is ten times one of 10,000."""

    def names(count: int, times: int) -> Callable[[], Any]:
        path = _names_only(count)
        return lambda: [linen_store.CheckpointStore(path).leaves("params") for _ in range(times)]

    return {"10 x 10,000 names": names(10_000, 10), "linen": names(100_000, 1)}


def _names_only(count: int) -> str:
    """Write only the metadata of a checkpoint of Orbax, because saving so many arrays takes minutes."""
    path = folder() / f"names-{count}"
    path.mkdir()
    entries = {}
    for number in range(count):
        names = ("params", f"block_{number // 10}", f"kernel_{number % 10}")
        entries[str(names)] = {
            "key_metadata": [{"key": name, "key_type": 2} for name in names],
            "value_metadata": {"value_type": "jax.Array", "skip_deserialize": False},
        }
    fields = {"tree_metadata": entries, "use_ocdbt": True, "use_zarr3": True}
    (path / "_METADATA").write_text(json.dumps(fields))
    (path / "manifest.ocdbt").touch()
    return str(path)


class _Normed(nn.Module):
    """50 dense layers, each with a normalization: 300 variables."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(50):
            x = nn.BatchNorm(use_running_average=True)(nn.Dense(64)(x))
        return x


def first_apply() -> Programs:
    """Open a checkpoint and apply a model once, eagerly: from the lazy store, or after `restore`."""
    model, x = _Normed(), np.ones((2, 64), np.float32)
    path = str(folder() / "normed")
    linen_store.save(path, model.init(jax.random.key(0), x))

    def lazy() -> Any:
        with linen_store.open_store(path) as store:
            return jax.block_until_ready(model.apply(store, x))

    def restored() -> Any:
        variables = linen_store.restore(model, path, x).variables
        return jax.block_until_ready(model.apply(variables, x))

    return {"restore and apply": restored, "linen": lazy}


def through_views() -> Programs:
    """Restore 1,000 arrays as they are stored, and renamed and transposed by views and by a map."""
    path = written("linen", SMALL)
    stored = targets(SMALL)
    wanted = {"params": {name: {"weight": one["kernel"]} for name, one in stored["params"].items()}}
    rules = (views.Rule("params/{name}/kernel", "params/{name}/weight", ("transpose",)),)
    renamed = views.Map(rules)

    def by_views() -> Any:
        with linen_store.open_store(path) as store:
            view = views.transpose(views.rename(store, {"kernel$": "weight"}), "weight")
            return jax.block_until_ready(linen_store.restore(wanted, view).variables)

    def plain() -> Any:
        return jax.block_until_ready(linen_store.restore(stored, path).variables)

    def by_map() -> Any:
        return jax.block_until_ready(linen_store.restore(wanted, path, map=renamed).variables)

    return {"restore": plain, "linen": by_map, "linen, views": by_views}


BENCHMARKS = {
    "store first apply": Benchmark(first_apply, 1.1, base="restore and apply", rounds=9),
    "store open": Benchmark(opened, 0.1, base="orbax v1 metadata", rounds=9, limit_ms=10),
    "store one array": Benchmark(one_array, 0.35, base="orbax v1", rounds=9, limit_ms=12),
    "store views": Benchmark(through_views, 1.2, base="restore", rounds=9),
    "store names": Benchmark(many_names, 1.25, base="10 x 10,000 names", rounds=3, limit_ms=4000),
    "store small": Benchmark(small_arrays, 0.22, base="orbax v1", rounds=7),
    "store large": Benchmark(
        functools.partial(every_array, LARGE, "linen"),
        0.5,
        base="orbax v1, Linen's",
        rounds=5,
        also={"raw copy": 3.5},
    ),
    "store compressed": Benchmark(
        functools.partial(every_array, LARGE, "compressed"), 1.0, base="orbax v1", rounds=3
    ),
}
