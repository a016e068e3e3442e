"""Views are stores: they keep the contract, compute when they are read, and place parts on devices."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from linen_core.testing import StoreTests
from linen_store import open_store, restore, save, views
from linen_store.views import Rule, evaluation


class TestMount(StoreTests):
    def make_store(self, variables, tmp_path):
        return views.mount({"inner": variables}, "", "inner") if variables else views.overlay({})


class TestOverlay(StoreTests):
    def make_store(self, variables, tmp_path):
        return views.overlay(variables)


class TestNested(StoreTests):
    def make_store(self, variables, tmp_path):
        view = views.overlay(variables)
        for _ in range(3):
            view = views.overlay(view)
        return view


class TestLazy(StoreTests):
    sorts_names = True

    def make_store(self, variables, tmp_path):
        save(tmp_path / "model", variables)
        self.store = open_store(tmp_path / "model")
        return views.overlay(self.store)

    def count_reads(self, store):
        return self.store.stats.leaves


class CountingStore(nn.MemoryStore):
    def __init__(self, variables):
        super().__init__(variables)
        self.reads = []

    def read(self, collection, paths):
        self.reads.append((collection, list(paths)))
        return super().read(collection, paths)


def layers(count=3):
    tree = {
        f"block_{i}": {"w": np.full((2, 4), i, np.float32), "b": np.full(4, i)}
        for i in range(count)
    }
    return {"params": {**tree, "head": {"w": np.ones((4, 2))}}}


def test_a_read_gathers_what_it_needs_in_one_batch():
    store = CountingStore(layers())
    view = views.transpose(views.stack(store, r"block_(\d+)", "blocks"), "head/w")
    assert store.reads == []
    assert view.spec("params")["blocks"]["w"].shape == (3, 2, 4)
    assert store.reads == []
    view.read("params", [("blocks", "w"), ("head", "w")])
    names = [f"block_{i}" for i in range(3)]
    assert store.reads == [("params", [*((name, "w") for name in names), ("head", "w")])]


def test_an_array_that_two_leaves_use_is_read_once():
    store = CountingStore({"params": {"qkv": np.arange(12.0).reshape(2, 6)}})
    view = views.split(store, "params/qkv", {"params/q": 2, "params/k": 2, "params/v": 2}, axis=1)
    snapshot = view.snapshot()["params"]
    assert store.reads == [("params", [("qkv",)])]
    np.testing.assert_array_equal(snapshot["k"], np.arange(12.0).reshape(2, 6)[:, 2:4])


def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))


@pytest.mark.parametrize(
    ("make", "name", "spec"),
    [
        (lambda s: views.rename(s, {"w$": "kernel"}), "kernel", PartitionSpec("data", "model")),
        (lambda s: views.transpose(s, "w$"), "w", PartitionSpec("model", "data")),
        (lambda s: views.cast(s, "bfloat16"), "w", PartitionSpec("data")),
        (lambda s: views.average(s, s), "w", PartitionSpec("data")),
        (lambda s: views.slice_axis(s, "w", 1, 0, 4), "w", PartitionSpec("data", "model")),
        (
            lambda s: views.concatenate(s, ["params/w", "params/w"], "params/v", 1),
            "v",
            PartitionSpec("data", "model"),
        ),
    ],
    ids=["rename", "transpose", "cast", "average", "slice", "concatenate"],
)
@pytest.mark.parametrize("small_bytes", [0, 1 << 18])
def test_sources_are_read_in_the_place_of_the_result(
    tmp_path, monkeypatch, make, name, spec, small_bytes
):
    monkeypatch.setattr("linen_store.views.evaluation._SMALL_BYTES", small_bytes)
    value = np.arange(64, dtype=np.float32).reshape(8, 8)
    save(tmp_path / "model", {"params": {"w": value}})
    store = open_store(tmp_path / "model")
    sharding = NamedSharding(mesh(), spec)
    view = make(store)
    (array,) = view.read_placed("params", [(name,)], sharding=lambda names, _: sharding)
    assert array.sharding.is_equivalent_to(sharding, 2)
    (whole,) = make({"params": {"w": value}}).read("params", [(name,)])
    np.testing.assert_array_equal(array, whole)


@pytest.mark.parametrize("spec", [PartitionSpec("data"), PartitionSpec(None, "model")])
def test_parts_of_a_stack_are_read_in_place(tmp_path, monkeypatch, spec):
    monkeypatch.setattr("linen_store.views.evaluation._SMALL_BYTES", 0)
    save(tmp_path / "model", {"params": {"ws": np.arange(64.0, dtype=np.float32).reshape(4, 8, 2)}})
    store = open_store(tmp_path / "model")
    asked = []
    read = type(store).read_placed
    monkeypatch.setattr(
        type(store),
        "read_placed",
        lambda self, *args, sharding=None, **options: (
            asked.append(sharding(("params", "ws"), None).spec),
            read(self, *args, sharding=sharding, **options),
        )[1],
    )
    sharding = NamedSharding(mesh(), spec)
    view = views.unstack(store, "ws", "w{}")
    (array,) = view.read_placed("params", [("w2",)], sharding=lambda *_: sharding)
    assert asked == [PartitionSpec(None, *spec, *[None] * (2 - len(spec)))]
    assert array.sharding.is_equivalent_to(sharding, 2)
    np.testing.assert_array_equal(array, np.arange(64.0).reshape(4, 8, 2)[2])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_stack_is_placed(tmp_path, axis):
    save(tmp_path / "model", layers(4))
    view = views.stack(open_store(tmp_path / "model"), r"block_(\d+)", "blocks", axis)
    sharding = NamedSharding(mesh(), PartitionSpec(None, "model", "data"))
    (array,) = view.read_placed("params", [("blocks", "w")], sharding=lambda *_: None)
    assert array.shape == tuple(np.stack([np.zeros((2, 4))] * 4, axis).shape)
    (placed,) = view.read_placed(
        "params", [("blocks", "w")], dtype=jnp.bfloat16, sharding=lambda *_: sharding
    )
    assert placed.sharding == sharding
    assert placed.dtype == jnp.bfloat16
    np.testing.assert_array_equal(placed.astype(np.float32), array)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("is_placed", [True, False])
def test_a_large_stack_is_joined_layer_by_layer(tmp_path, monkeypatch, axis, is_placed):
    monkeypatch.setattr("linen_store.views.evaluation._LAYERED_BYTES", 1)
    save(tmp_path / "model", layers(4))
    stacked = views.stack(open_store(tmp_path / "model"), r"block_(\d+)", "blocks", axis)
    sharding = NamedSharding(mesh(), PartitionSpec(None, "model")) if is_placed else None
    (array,) = stacked.read_placed(
        "params", [("blocks", "w")], dtype="bfloat16", sharding=lambda *_: sharding
    )
    expected = np.stack([np.full((2, 4), i, np.float32) for i in range(4)], axis)
    np.testing.assert_array_equal(array.astype(np.float32), expected)
    assert array.dtype == jnp.bfloat16
    if is_placed:
        assert array.sharding.is_equivalent_to(sharding, 3)


AROUND_A_STACK = {
    "cast": lambda stack: views.cast(stack, "bfloat16"),
    "transpose": lambda stack: views.transpose(stack, "blocks/w$", (2, 0, 1)),
    "reverse": lambda stack: views.transpose(stack, "blocks/w$"),
    "slice": lambda stack: views.slice_axis(stack, "blocks/w$", -1, 0, 2),
    "pad": lambda stack: views.pad(stack, "blocks/w$", 2, 1, 3, fill=7),
    "layers 1 and 2": lambda stack: views.slice_axis(stack, "blocks/w$", 0, 1, 3),
    "reshape": lambda stack: views.reshape(stack, "blocks/w$", (8, 4)),
    "compute": lambda stack: views.compute(stack, ["params/blocks/w"], "params/blocks/w", jnp.sin),
    "several": lambda stack: views.cast(
        views.transpose(
            views.rename(views.transpose(stack, "blocks/w$", (1, 2, 0)), {"blocks/w$": "blocks/v"}),
            "blocks/v$",
        ),
        "float16",
    ),
    "map": views.Map(
        (
            Rule("params/blocks/w", "params/v", ("transpose 0 2 1", "crop 1 0 2", "cast bfloat16")),
            Rule("params/blocks/b", "params/b"),
            Rule("params/head/w", "params/head"),
        )
    ).apply,
}


@pytest.mark.parametrize("name", AROUND_A_STACK)
@pytest.mark.parametrize("is_transposed", [True, False])
def test_operations_on_a_large_stack_are_done_to_its_layers(
    tmp_path, monkeypatch, same, name, is_transposed
):
    def view(store):
        if is_transposed:
            store = views.transpose(views.transpose(store, "w$"), "w$")
        return AROUND_A_STACK[name](views.stack(store, r"block_(\d+)", "blocks"))

    save(tmp_path / "model", jax.tree.map(jnp.asarray, layers(4)))
    expected = view(open_store(tmp_path / "model")).snapshot()
    monkeypatch.setattr("linen_store.views.evaluation._LAYERED_BYTES", 1)
    assert same(view(open_store(tmp_path / "model")).snapshot(), expected)
    arrays = jax.tree.map(np.asarray, view(layers(4)).snapshot())
    for found, array in zip(jax.tree.leaves(expected), jax.tree.leaves(arrays), strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_layers_make_the_same_stack_as_whole_arrays(tmp_path, monkeypatch, seed):
    draw = random.Random(seed)
    layers = {
        f"layer_{i}": {"w": np.arange(i, i + 128, dtype=np.float32).reshape(8, 16)}
        for i in range(3)
    }
    save(tmp_path / "c", {"params": layers})
    view, shape = open_store(tmp_path / "c", cache_bytes=0), [8, 16]
    kinds = draw.choices(["transpose", "cast", "pad", "slice"], k=4)
    for kind in [*kinds[:2], "stack", *kinds[2:]]:
        axis = draw.randrange(len(shape))
        if kind == "stack":
            view = views.stack(view, r"layer_(\d+)", "layers", axis)
            shape.insert(axis, 3)
        elif kind == "transpose":
            order = draw.sample(range(len(shape)), len(shape))
            view, shape = views.transpose(view, "w", order), [shape[one] for one in order]
        elif kind == "cast":
            view = views.cast(view, "bfloat16")
        elif kind == "pad":
            view = views.pad(view, "w", axis, 1, 2, fill=-1.0)
            shape[axis] += 3
        else:
            view = views.slice_axis(view, "w", axis, 1, shape[axis])
            shape[axis] -= 1
    assert list(view.spec("params", ("layers", "w")).shape) == shape
    whole = view.get("params", ("layers", "w"))
    monkeypatch.setattr(evaluation, "_LAYERED_BYTES", 0)
    layered = view.get("params", ("layers", "w"))
    assert (layered.shape, layered.dtype) == (whole.shape, whole.dtype)
    assert jnp.array_equal(layered, whole)


def test_numpy_layers_make_a_numpy_stack(monkeypatch):
    monkeypatch.setattr("linen_store.views.evaluation._LAYERED_BYTES", 1)
    wide = {"params": {f"l{i}": np.full((2, 3), i / 3) for i in range(3)}}
    view = views.transpose(views.stack(wide, r"l(\d)", "ls", axis=1), "ls", (1, 0, 2))
    found = view.get("params", ("ls",))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.stack(list(wide["params"].values())))


def test_restore_into_a_scanned_model_on_a_mesh(tmp_path):
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            init = nn.with_partitioning(nn.initializers.lecun_normal(), ("data", "model"))
            return nn.Dense(8, kernel_init=init)(x), None

    class Scanned(nn.Module):
        @nn.compact
        def __call__(self, x):
            blocks = nn.scan(
                Block,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                length=4,
                metadata_params={nn.PARTITION_NAME: None},
            )
            return blocks(name="blocks")(x, None)[0]

    rng = np.random.default_rng(0)
    torch_like = {
        "params": {
            f"layers.{i}": {
                "weight": rng.normal(size=(8, 8)).astype(np.float32),
                "bias": np.zeros(8, np.float32),
            }
            for i in range(4)
        }
    }
    save(tmp_path / "model", torch_like)
    view = views.stack(open_store(tmp_path / "model"), r"layers\.(\d+)", "blocks/Dense_0")
    view = views.transpose(view, "weight$", (0, 2, 1))
    view = views.rename(view, {"weight$": "kernel"})
    x = jnp.ones((2, 8))
    variables, report = restore(Scanned(), view, x, mesh=mesh(), dtype="bfloat16")
    assert report.unexpected == report.initialized == ()
    kernel = variables["params"]["blocks"]["Dense_0"]["kernel"].value
    assert kernel.shape == (4, 8, 8)
    assert kernel.sharding.spec == PartitionSpec(None, "data", "model")
    expected = x.astype(jnp.bfloat16)
    for i in range(4):
        expected = expected @ torch_like["params"][f"layers.{i}"]["weight"].T.astype(jnp.bfloat16)
    found = Scanned().apply(nn.unbox(variables), x.astype(jnp.bfloat16))
    np.testing.assert_allclose(
        np.asarray(found, np.float32), np.asarray(expected, np.float32), rtol=0.05, atol=0.2
    )


@pytest.mark.parametrize("is_file", [True, False])
def test_arrays_inside_a_value_are_placed_and_cast(tmp_path, is_file):
    moments = (
        np.arange(8, dtype=np.float32),
        {"m": np.ones((8, 2), np.float32), "n": np.arange(3)},
    )
    store = nn.MemoryStore({"opt": {"state": moments}})
    if is_file:
        save(tmp_path / "model", store)
        store = open_store(tmp_path / "model")
    sharding = NamedSharding(mesh(), PartitionSpec("data"))
    asked = {}

    def place(names, spec):
        asked[names] = str(spec.dtype)
        return sharding if names[-1] != "n" else None

    view = views.mount(store, "adam", "opt")
    ((first, second),) = view.read_placed("adam", [("state",)], dtype="bfloat16", sharding=place)
    assert asked == {
        ("adam", "state", "0"): "bfloat16",
        ("adam", "state", "1", "m"): "bfloat16",
        ("adam", "state", "1", "n"): "int64",
    }
    assert first.sharding == second["m"].sharding == sharding
    assert first.dtype == second["m"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(second["n"], [0, 1, 2])
    assert first.tolist() == list(range(8))


def test_results_are_as_free_as_what_the_store_returns(tmp_path):
    """An array that is bound to a device could not be mixed with those of a mesh."""
    save(tmp_path / "model", {"params": {"w": jnp.ones((8, 8)), "k": jax.random.key(0)}})
    store = open_store(tmp_path / "model")
    free = views.transpose(store, "w").get("params", ("w",))
    assert isinstance(free, jax.Array)
    assert free.committed is store.get("params", ("w",)).committed is False
    bound = open_store(
        tmp_path / "model", sharding=jax.sharding.SingleDeviceSharding(jax.devices()[3])
    )
    assert views.transpose(bound, "w").get("params", ("w",)).devices() == {jax.devices()[3]}
    keys = views.reshape(store, "k", (1,)).get("params", ("k",))
    assert (jax.random.key_data(keys)[0] == jax.random.key_data(jax.random.key(0))).all()


@pytest.mark.parametrize("size", [8, 512])
@pytest.mark.parametrize("is_placed", [True, False])
def test_the_dtype_of_a_store_is_that_of_its_views(tmp_path, size, is_placed):
    save(tmp_path / "model", {"params": {"w": np.ones((size, size), np.float32)}})
    sharding = NamedSharding(mesh(), PartitionSpec("data")) if is_placed else None
    spec = jax.ShapeDtypeStruct((size, size), jnp.float32, sharding=sharding)
    with open_store(tmp_path / "model", dtype="bfloat16") as store:
        for one in (store, views.transpose(store, "w"), views.rename(store, {"w": "w"})):
            found = restore({"params": {"w": spec}}, one).variables["params"]["w"]
            assert found.dtype == one.spec("params", ("w",)).dtype == jnp.bfloat16
            assert sharding is None or found.sharding == sharding


def test_small_arrays_keep_their_kind_and_are_read_once(tmp_path):
    saved = {"jax": jnp.ones((2, 3)), "numpy": np.ones((2, 3), np.float32), "wide": np.ones((2, 3))}
    save(tmp_path / "model", {"params": saved})
    store = open_store(tmp_path / "model")
    view = views.transpose(store, "")
    for _ in range(2):
        found = view.snapshot()["params"]
        assert isinstance(found["jax"], jax.Array)
        assert type(found["numpy"]) is type(found["wide"]) is np.ndarray
        assert {name: str(one.dtype) for name, one in found.items()} == {
            "jax": "float32",
            "numpy": "float32",
            "wide": "float64",
        }
    assert (store.stats.leaves, store.stats.hits) == (3, 3)
    assert isinstance(store.get("params", ("jax",)), jax.Array)


def test_apply_takes_a_view(tmp_path):
    model, x = nn.Dense(3), jnp.ones((2, 4))
    variables = model.init(jax.random.key(0), x)
    swapped = {"params": {"weight": variables["params"]["kernel"].T, "bias": jnp.zeros(3)}}
    save(tmp_path / "model", swapped)
    with open_store(tmp_path / "model") as store:
        view = views.rename(views.transpose(store, "weight"), {"weight": "kernel"})
        np.testing.assert_array_equal(model.apply(view, x), model.apply(variables, x))


def test_repr_and_close():
    view = views.select(views.overlay(layers()), "head")
    assert repr(view).startswith("View(select of View(overlay of [")
    assert repr(view).endswith("collections=['params'], 1 leaf)")
    view.close()
