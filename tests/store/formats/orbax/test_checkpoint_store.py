"""CheckpointStore over what save, Orbax v0, Orbax v1 and flax write."""

import concurrent.futures
import io
import json
import multiprocessing
import os
import subprocess
import sys

import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import rich.console
from flax.training import train_state
from orbax.checkpoint import v1

import linen_core as nn
import linen_store
from linen_core.errors import StoreClosedError, StorePathError, StoreReadOnlyError
from linen_store import CheckpointStore
from linen_store.cli import main
from linen_store.errors import (
    AmbiguousCheckpointError,
    ForkedStoreError,
    RootNotFoundError,
    StoreDtypeError,
)

PARAMS = {
    "Dense_0": {"kernel": jnp.arange(12.0).reshape(3, 4), "bias": jnp.ones(4, jnp.bfloat16)},
    "dotted.name": {"w": jnp.arange(3)},
}


def _train_state():
    params = {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}
    return train_state.TrainState.create(apply_fn=lambda: None, params=params, tx=optax.adam(1e-3))


def _v0(**options):
    def write(path, tree):
        with ocp.PyTreeCheckpointer(**options) as checkpointer:
            checkpointer.save(path, tree)

    return write


WRITERS = {
    "linen": linen_store.save,
    "linen-compressed": lambda path, tree: linen_store.save(path, tree, compression=True),
    "v1": v1.save,
    "v0": _v0(),
    "v0-zarr3": _v0(use_zarr3=True),
    "v0-files": _v0(use_ocdbt=False),
    "v0-files-zarr3": _v0(use_ocdbt=False, use_zarr3=True),
}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def test_every_kind_of_value_comes_back(tmp_path, variables, same):
    linen_store.save(tmp_path / "c", variables)
    assert same(CheckpointStore(tmp_path / "c").snapshot(), variables)


def test_reads_every_writer(tmp_path, same, write):
    tree = {"params": PARAMS, "state": {"n": 3, "key": jax.random.key(2), "none": None, "e": {}}}
    write(tmp_path / "c", tree)
    store = CheckpointStore(tmp_path / "c")
    assert same(store.snapshot(), tree)
    assert store.spec("params", ("Dense_0", "bias")) == jax.ShapeDtypeStruct((4,), jnp.bfloat16)
    assert store.spec("state", ("key",)).dtype == jax.random.key(0).dtype


def test_reads_a_train_state(tmp_path, same, write):
    state = _train_state()
    write(tmp_path / "c", state)
    store = CheckpointStore(tmp_path / "c")
    assert set(store.collections()) == {"step", "params", "opt_state"}
    assert same(store.snapshot("params")["params"], state.params)
    moments = store.get("opt_state", ())[0]
    assert same(moments["mu"], state.opt_state[0].mu)
    assert store.get("step", ()) == 0
    inner = CheckpointStore(tmp_path / "c", root={"params": ("opt_state", "0", "nu")})
    assert same(inner.snapshot(), {"params": state.opt_state[0].nu})


def test_reads_partitioned_leaves(tmp_path, same, write):
    class Model(flax_nn.Module):
        @flax_nn.compact
        def __call__(self, x):
            init = flax_nn.with_partitioning(flax_nn.initializers.lecun_normal(), ("a", "b"))
            return flax_nn.Dense(3, kernel_init=init)(x)

    made = Model().init(jax.random.key(0), jnp.ones((1, 4)))
    write(tmp_path / "c", made)
    kernel = CheckpointStore(tmp_path / "c").get("params", ("Dense_0", "kernel", "value"))
    assert same(kernel, made["params"]["Dense_0"]["kernel"].value)


def test_unboxed_arrays_can_be_applied(tmp_path, same):
    boxed = nn.with_partitioning(nn.initializers.ones, ("a", None))
    model, x = nn.Sequential([nn.Dense(3, kernel_init=boxed)]), jnp.ones((1, 2))
    made = model.init(jax.random.key(0), x)
    linen_store.save(tmp_path / "c", {**made, "state": {"value": {"value": (jnp.ones(1),)}}})
    store = CheckpointStore(tmp_path / "c", unbox=True)
    assert same(model.apply(store, x), model.apply(made, x))
    assert store.leaves("state") == (("value", "value"),)


@pytest.mark.parametrize("mutable", [False, ["batch_stats"]])
def test_apply_reads_each_collection_in_one_batch(tmp_path, same, mutable):
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(50):
                x = nn.BatchNorm(use_running_average=not mutable)(nn.Dense(3)(x))
            return x

    x = jnp.ones((2, 3))
    made = Net().init(jax.random.key(0), x)
    more = {"opt_state": made["params"], "batch_stats": {**made["batch_stats"], "old": {"n": x}}}
    linen_store.save(tmp_path / "c", {**made, **more})
    batches = []

    class Counted(CheckpointStore):
        def read(self, collection, paths):
            batches.append((collection, len(paths)))
            return super().read(collection, paths)

    with Counted(tmp_path / "c") as store:
        found = Net().apply(store, x, mutable=mutable)
        assert same(found, Net().apply({**made, **more}, x, mutable=mutable))
        assert sorted(batches) == [("batch_stats", 101 if mutable else 100), ("params", 200)]
        assert store.stats.leaves == sum(size for _, size in batches)


def test_the_displays_of_notebooks_and_rich(tmp_path):
    linen_store.save(tmp_path / "c", {"params": {"<b>": np.ones(3)}, "n": 1})
    store = CheckpointStore(tmp_path / "c")
    assert "<td>params/&lt;b&gt;</td><td>float64(3,)</td>" in store._repr_html_()
    console = rich.console.Console(width=100, record=True, file=io.StringIO())
    console.print(store)
    assert "params/<b>" in console.export_text()
    store.close()
    assert "closed" in store._repr_html_()


def test_opening_reads_no_array_and_reads_are_counted(tmp_path):
    linen_store.save(tmp_path / "c", {"params": PARAMS})
    store = CheckpointStore(tmp_path / "c")
    store.spec("params")
    assert (store.stats.leaves, store.stats.bytes) == (0, 0)
    store.read("params", [("Dense_0", "kernel"), ("Dense_0", "bias")])
    assert (store.stats.leaves, store.stats.bytes, store.stats.hits) == (2, 48 + 8, 0)
    store.get("params", ("Dense_0", "kernel"))
    assert (store.stats.leaves, store.stats.hits) == (2, 1)


def test_the_cache_is_bounded(tmp_path):
    tree = {"params": {str(i): jnp.full(16, i, jnp.float32) for i in range(4)}}
    linen_store.save(tmp_path / "c", tree)
    store = CheckpointStore(tmp_path / "c", cache_bytes=128)
    for name in ("0", "1", "0", "2", "0", "1"):
        store.get("params", (name,))
    assert (store.stats.leaves, store.stats.hits) == (4, 2)
    uncached = CheckpointStore(tmp_path / "c", cache_bytes=0)
    assert uncached.get("params", ("0",)) is not uncached.get("params", ("0",))


@pytest.mark.parametrize(
    ("root", "collections"),
    [
        (None, ("model", "step")),
        ("model", ("params", "stats")),
        (("model", "params"), ("w",)),
        ({"params": ("model", "params"), "s": ("model", "stats")}, ("params", "s")),
    ],
)
def test_root_chooses_the_collections(tmp_path, root, collections):
    v1.save(tmp_path / "c", {"model": {"params": {"w": np.ones(2)}, "stats": {}}, "step": 1})
    assert CheckpointStore(tmp_path / "c", root).collections() == collections


@pytest.mark.parametrize("root", ["missing", ("model", "w", "x"), ("model", "w")])
def test_a_wrong_root_is_refused(tmp_path, root):
    v1.save(tmp_path / "c", {"model": {"w": np.ones(2)}})
    with pytest.raises(RootNotFoundError):
        CheckpointStore(tmp_path / "c", root)


def test_steps_and_items(tmp_path, same):
    one, two = {"w": jnp.ones(2)}, {"w": jnp.zeros(2)}
    with ocp.CheckpointManager(tmp_path / "m") as manager:
        for step, params in ((5, one), (10, two)):
            manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave({"params": params}),
                    ema=ocp.args.StandardSave({"params": {"w": jnp.full(2, 7.0)}}),
                    notes=ocp.args.JsonSave({"a": 1}),
                ),
            )
    for item, at_step in (("state", None), ("state", 5)):
        store = CheckpointStore(tmp_path / "m", item=item, step=at_step)
        assert same(store.snapshot()["params"], one if at_step else two)
    with pytest.raises(AmbiguousCheckpointError) as caught:
        CheckpointStore(tmp_path / "m")
    assert caught.value.choices == ("ema", "state")
    assert CheckpointStore(tmp_path / "m", item="ema").get("params", ("w",))[0] == 7.0
    assert CheckpointStore(tmp_path / "m" / "5" / "ema").get("params", ("w",))[0] == 7.0


def test_dtype_casts_floating_point_arrays_only(tmp_path):
    tree = {
        "p": {
            "f": jnp.ones(2),
            "i": jnp.ones(2, jnp.int32),
            "n": np.ones(2),
            "k": jax.random.key(0),
        }
    }
    linen_store.save(tmp_path / "c", tree)
    store = CheckpointStore(tmp_path / "c", dtype=jnp.bfloat16)
    assert store.spec("p", ("f",)).dtype == jnp.bfloat16
    values = store.snapshot()["p"]
    assert [str(values[name].dtype) for name in "fink"] == [
        "bfloat16",
        "int32",
        "bfloat16",
        "key<fry>",
    ]
    with pytest.raises(StoreDtypeError):
        CheckpointStore(tmp_path / "c", dtype=jnp.int32)


def test_misuse(tmp_path):
    linen_store.save(tmp_path / "c", {"params": PARAMS})
    with CheckpointStore(tmp_path / "c") as store:
        for path in ((), ("Dense_0",), ("Dense_0", "missing"), ("Dense_0", "bias", "x")):
            with pytest.raises(StorePathError):
                store.read("params", [("Dense_0", "bias"), path])
        with pytest.raises(StorePathError):
            store.children("missing")
        with pytest.raises(StoreReadOnlyError):
            store.put("params", ("x",), 1)
        assert store.stats.leaves == 0
    with pytest.raises(StoreClosedError):
        store.collections()
    store.close()


def test_numpy_values_cannot_be_changed_behind_the_cache(tmp_path):
    linen_store.save(tmp_path / "c", {"params": {"w": np.ones(3)}})
    with pytest.raises(ValueError, match="read-only"):
        CheckpointStore(tmp_path / "c").get("params", ("w",))[0] = 2


def test_an_array_that_was_donated_is_read_again(tmp_path):
    linen_store.save(tmp_path / "c", {"params": {"w": jnp.arange(3.0), "v": jnp.arange(3.0)}})
    store = CheckpointStore(tmp_path / "c")
    step = jax.jit(lambda x: 2 * x, donate_argnums=0)
    w, v = store.read("params", [("w",), ("v",)])
    assert step(w).tolist() == [0, 2, 4]
    assert v.tolist() == [0, 1, 2]
    assert store.get("params", ("w",)).tolist() == [0, 1, 2]
    assert store.stats.leaves == 3


def test_closed_by_another_thread_while_it_waits(tmp_path, monkeypatch):
    linen_store.save(tmp_path / "c", {"params": {"w": jnp.arange(3.0)}})
    store = CheckpointStore(tmp_path / "c")
    find = store._find
    monkeypatch.setattr(store, "_find", lambda *address: (find(*address), store.close())[0])
    with pytest.raises(StoreClosedError):
        store.get("params", ("w",))


def test_eight_threads_read_each_leaf_once(tmp_path):
    tree = {"params": {str(i): jnp.full((32, 32), i, jnp.float32) for i in range(40)}}
    linen_store.save(tmp_path / "c", tree)
    store = CheckpointStore(tmp_path / "c")

    def read(_):
        return [float(v[0, 0]) for v in store.read("params", [(str(i),) for i in range(40)])]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(read, range(16)))
    assert results == [[float(i) for i in range(40)]] * 16
    assert store.stats.leaves == 40


def test_a_forked_child_gets_an_error(tmp_path):
    script = (
        "import os, sys, warnings; warnings.simplefilter('ignore')\n"
        "import linen_store\n"
        "from linen_store.errors import ForkedStoreError\n"
        f"store = linen_store.CheckpointStore({str(tmp_path / 'c')!r})\n"
        "store.snapshot()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        store.snapshot()\n"
        "    except ForkedStoreError:\n"
        "        os._exit(7)\n"
        "    os._exit(1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    linen_store.save(tmp_path / "c", {"params": PARAMS})
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 7
    assert issubclass(ForkedStoreError, RuntimeError)


def test_a_spawned_child_reads(tmp_path, capfd):
    linen_store.save(tmp_path / "c", {"params": {"w": np.ones(3)}})
    spawn = multiprocessing.get_context("spawn")
    # A function of the package: the child may not find that of a test.
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as pool:
        assert pool.submit(main, ["show", str(tmp_path / "c"), "params/w", "--json"]).result() == 0
    assert json.loads(capfd.readouterr().out)["values"] == "[1.0, 1.0, 1.0]"


def test_import_is_cheap():
    script = (
        "import sys, linen_store\n"
        "heavy = {'orbax', 'tensorstore', 'rich', 'msgpack', 'safetensors', 'flax', 'absl'}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & heavy))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "[]"


def test_the_repr_tells_what_it_is(tmp_path):
    linen_store.save(tmp_path / "c", {"params": PARAMS})
    store = CheckpointStore(tmp_path / "c")
    store.get("params", ("Dense_0", "bias"))
    path = os.fspath(tmp_path / "c")
    assert repr(store) == f"CheckpointStore({path!r}, collections=['params'], 3 leaves, 1 read)"
    store.close()
    assert repr(store) == f"CheckpointStore({path!r}, collections=['params'], closed)"
