"""What is read is what was meant: options, items, paths, layouts, patterns."""

import inspect
import json
import os

import flax.core
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
from orbax.checkpoint import v1

import linen_core as nn
import linen_store
from linen_store import CheckpointStore, open_store, restore, serialization
from linen_store.cli import main
from linen_store.errors import (
    AmbiguousCheckpointError,
    PatternUnmatchedError,
    RemotePathError,
    RestoreMismatchError,
    StoreOptionsError,
    TorchLayoutError,
    TorchNamesError,
    UnknownOptionError,
)
from linen_store.filesystem.paths import local_path

X = jnp.ones((1, 3))
SQUARE = nn.Dense(3)


@pytest.fixture
def made():
    return SQUARE.init(jax.random.key(0), X)


@pytest.mark.parametrize("metadata", [{"format": "pt"}, {"format": "mlx"}, None])
def test_a_square_kernel_of_pytorch_is_never_loaded_as_it_is(tmp_path, made, same, metadata):
    path = tmp_path / "m.safetensors"
    kernel = np.asarray(made["params"]["kernel"])
    weights = {"fc.weight": np.ascontiguousarray(kernel.T), "fc.bias": np.zeros(3, np.float32)}
    safetensors.numpy.save_file(weights, path, metadata=metadata)
    names = {"fc.weight": ("params", "kernel"), "fc.bias": ("params", "bias")}
    for call in (
        lambda: open_store(path, key_map=names),
        lambda: open_store(tmp_path, key_map=names),
        lambda: linen_store.SafetensorsStore(path, key_map=names),
        lambda: restore(SQUARE, path, X, key_map=names),
    ):
        with pytest.raises(TorchLayoutError) as caught:
            call()
        assert isinstance(caught.value, TorchNamesError) is (metadata is None)
    # The advice: a copy with the arrays and the names of the model ...
    copied = {"params": {"kernel": weights["fc.weight"].T, "bias": weights["fc.bias"]}}
    linen_store.save(tmp_path / "copy", jax.tree.map(jnp.asarray, copied))
    assert same(restore(SQUARE, tmp_path / "copy", X).variables, made)
    # ... or a statement, where they have the model's layout.
    weights["fc.weight"] = kernel
    safetensors.numpy.save_file(weights, path, metadata=metadata)
    found, _ = restore(SQUARE, path, X, key_map=names, layout="model")
    assert same(found, made)
    with pytest.raises(UnknownOptionError, match=r"layout='torch': expected one of \['model'\]"):
        open_store(path, key_map=names, layout="torch")


def test_pytorch_files_with_names_of_flax_and_in_parts(tmp_path):
    for part in "ab":
        safetensors.numpy.save_file(
            {f"params.{part}.kernel": np.eye(2)}, tmp_path / f"{part}.safetensors", {"format": "pt"}
        )
    placed = {f"params.{part}.kernel": f"{part}.safetensors" for part in "ab"}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    with pytest.raises(TorchLayoutError, match="the format 'pt' in its metadata"):
        open_store(tmp_path)
    assert open_store(tmp_path, layout="model").children("params") == ("a", "b")
    for known in ({"format": "flax"}, {"format": "tf"}, {"format": "np"}):
        safetensors.numpy.save_file({"params.kernel": np.eye(2)}, tmp_path / "m.safetensors", known)
        assert open_store(tmp_path / "m.safetensors").collections() == ("params",)


def test_names_of_pytorch_in_an_npz(tmp_path):
    np.savez(tmp_path / "m.npz", **{"fc.weight": np.eye(3), "fc.bias": np.ones(3)})
    with pytest.raises(TorchNamesError):
        open_store(tmp_path / "m.npz", key_map=lambda name: f"params/{name}")
    opened = open_store(tmp_path / "m.npz", key_map=lambda name: f"params/{name}", layout="model")
    assert opened.children("params") == ("fc.weight", "fc.bias")
    np.savez(tmp_path / "n.npz", **{"params/weight": np.eye(3)})
    assert open_store(tmp_path / "n.npz").children("params") == ("weight",)


@pytest.mark.parametrize("wrong", ["text", {"driver": "zarr", "path": "x"}, None, 3])
@pytest.mark.parametrize("form", ["dict", "msgpack", "orbax"])
def test_a_value_that_is_no_array_is_never_taken_for_one(tmp_path, made, form, wrong):
    tree = {"params": {**made["params"], "kernel": wrong}}
    source = tree
    if form == "msgpack":
        source = tmp_path / "m.msgpack"
        source.write_bytes(
            flax.serialization.msgpack_serialize({"params": dict(tree["params"])}, True)
        )
    elif form == "orbax":
        source = tmp_path / "c"
        linen_store.save(source, tree)
    if form == "msgpack" and isinstance(wrong, dict):
        with pytest.raises(linen_store.errors.NotACheckpointError):
            restore(SQUARE, source, X)
        return
    with pytest.raises(RestoreMismatchError, match=r"params/kernel: (the store has|missing)"):
        restore(SQUARE, source, X)
    with pytest.raises(RestoreMismatchError, match=r"kernel: (the store has|missing)"):
        restore(made, source)


class Steps(nn.Module):
    """Takes arguments of the names that `restore` has."""

    @nn.compact
    def __call__(self, x, step=0, root=None):
        return nn.Dense(3, name=f"dense_{step}_{root}")(x)


def test_restore_takes_what_open_store_takes(tmp_path, made, same):
    doubled = jax.tree.map(lambda leaf: 2 * leaf, made)
    with ocp.CheckpointManager(tmp_path / "m") as manager:
        for step in (1, 2):
            for_all = {
                "state": made if step == 1 else doubled,
                "ema": jax.tree.map(jnp.zeros_like, made),
            }
            items = {name: ocp.args.StandardSave(tree) for name, tree in for_all.items()}
            manager.save(step, args=ocp.args.Composite(**items))
    assert same(restore(SQUARE, tmp_path / "m", X, step=1, item="state").variables, made)
    assert same(restore(SQUARE, tmp_path / "m", X, item="state").variables, doubled)
    with pytest.raises(AmbiguousCheckpointError) as caught:
        restore(SQUARE, tmp_path / "m", X)
    assert caught.value.choices == ("ema", "state")
    with pytest.raises(AmbiguousCheckpointError):
        restore(SQUARE, tmp_path / "m", X, item="state", step=3)
    with pytest.raises(UnknownOptionError, match="verify='flies'"):
        restore(SQUARE, tmp_path / "m", X, item="state", verify="flies")
    planned = linen_store.plan(None, tmp_path / "m", {"x": 1}, item="ema", step=1)
    assert planned.total_bytes == 48
    linen_store.save(tmp_path / "boxed", {"params": {"w": nn.Partitioned(jnp.ones(2), ("x",))}})
    target = {"params": {"w": jnp.ones(2)}}
    for unbox in (False, True):
        found, _ = restore(target, tmp_path / "boxed", unbox=unbox, cache_bytes=0)
        assert same(found, target)


def test_every_argument_of_open_store_is_one_of_restore():
    theirs, ours = (inspect.signature(function).parameters for function in (open_store, restore))
    for name, parameter in theirs.items():
        if name not in ("path", "sharding"):
            assert parameter.default == ours[name].default


@pytest.mark.parametrize(
    "options",
    [{"step": 3}, {"item": "a"}, {"root": "params"}, {"layout": "model"}, {"verify": False}],
)
def test_options_for_a_path_are_refused_with_an_open_store(made, options):
    for source in (made, nn.MemoryStore(made)):
        with pytest.raises(StoreOptionsError) as caught:
            restore(SQUARE, source, X, **options)
        assert caught.value.options == tuple(options)
        with pytest.raises(StoreOptionsError):
            linen_store.plan(None, source, {"x": 1}, **options)


def test_a_call_that_takes_such_an_argument(tmp_path, same):
    made = Steps().init(jax.random.key(0), X, step=3, root="r")
    linen_store.save(tmp_path / "c", made)
    found, _ = restore(Steps(), tmp_path / "c", X, call_kwargs={"step": 3, "root": "r"})
    assert same(found, made)
    found, _ = restore(Steps(), made, X, call_kwargs={"step": 3, "root": "r"})
    assert same(found, made)


@pytest.mark.parametrize(
    ("rename", "closest"),
    [
        ({"^parms/": "params/"}, "params"),
        ({"params": "params", "kernal$": "kernel"}, "kernel"),
        ({"zzz": None}, None),
        ({"^params/": "weights/", "^params/bias": None}, "params/bias"),
    ],
)
def test_a_pattern_that_matches_nothing(made, rename, closest):
    with pytest.raises(PatternUnmatchedError) as caught:
        restore(SQUARE, made, X, rename=rename)
    assert (caught.value.pattern, caught.value.closest) == (list(rename)[-1], closest)
    if closest == "params":
        restore(SQUARE, made, X, rename={f"^{closest}/": "params/"})


def test_a_pattern_that_matches_what_another_leaves_out(made):
    rename = {"^params/bias$": None, "bias": None}
    report = restore(
        SQUARE, made, X, rename=rename, init_missing=True, rngs=jax.random.key(0)
    ).report
    assert report.initialized == (("params", "bias"),)


def test_split_that_matches_nothing(tmp_path, made, capsys):
    linen_store.save(tmp_path / "c", made)
    command = ["plan", str(tmp_path / "c"), "--mesh", "data=3"]
    assert main([*command, "--split", "kernel=data", "--split", "kernal=data"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "linen-store: Cannot use the pattern 'kernal' of `--split`: it matches the name of no stored "
        "array. The closest name is 'kernel'. Correct the pattern, or leave it out.\n"
    )
    assert main([*command, "--split", "kernel=data"]) == 0


@pytest.mark.parametrize("names", [("state", "ema"), ("params", "opt"), ("params", "state")])
def test_of_several_items_none_is_picked(tmp_path, names):
    v1.save_checkpointables(tmp_path / "c", {name: {"w": np.ones(2)} for name in names})
    for call in (CheckpointStore, open_store):
        with pytest.raises(AmbiguousCheckpointError) as caught:
            call(tmp_path / "c")
        assert caught.value.choices == tuple(sorted(names))
        assert call(tmp_path / "c", item=names[0]).get("w", ()).shape == (2,)


def test_a_single_item_and_the_default_item_need_no_name(tmp_path):
    v1.save_checkpointables(tmp_path / "one", {"anything": {"w": np.ones(2)}})
    assert open_store(tmp_path / "one").collections() == ("w",)
    v1.save_checkpointables(
        tmp_path / "two", {"default": {"w": np.ones(2)}, "x": {"v": np.ones(2)}}
    )
    assert open_store(tmp_path / "two").collections() == ("w",)


def test_integer_keys_are_integers_again_where_that_is_recorded(tmp_path, same):
    tree = {
        "p": {0: jnp.ones(1), 10: {-3: jnp.ones(2)}, 2: {"x": jnp.ones(1)}},
        "s": ({7: jnp.ones(1)}, {"7": jnp.zeros(1)}),
        "t": {"0": jnp.ones(1)},
    }
    linen_store.save(tmp_path / "c", tree)
    store = open_store(tmp_path / "c")
    assert same(store.snapshot(), tree)
    assert store.children("p") == ("0", "2", "10")
    assert set(store.get("s", ())[0]) == {7}
    (tmp_path / "m.msgpack").write_bytes(serialization.msgpack_serialize({"p": tree["p"]}))
    assert same(open_store(tmp_path / "m.msgpack").snapshot(), {"p": tree["p"]})
    # Orbax records no more than their text; the pytree that is restored tells.
    ocp.PyTreeCheckpointer().save(tmp_path / "o", tree)
    assert set(open_store(tmp_path / "o").snapshot()["p"]) == {"0", "10", "2"}
    for path in ("c", "o"):
        assert same(restore(tree, tmp_path / path).variables, tree)


def test_paths_are_made_plain_in_every_function(tmp_path, made, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    linen_store.save("~/a b", made)
    assert (tmp_path / "a b").is_dir()
    for path in ("~/a b", tmp_path.joinpath("a b").as_uri(), f"file://localhost{tmp_path}/a%20b"):
        assert open_store(path).collections() == ("params",)
        assert CheckpointStore(path).path == str(tmp_path / "a b")
        assert restore(SQUARE, path, X).report.bytes == 48
        assert linen_store.plan(None, path, {"x": 1}).total_bytes == 48
        assert main(["ls", path]) == 0
    linen_store.convert("~/a b", f"file:{tmp_path}/m.safetensors")
    assert linen_store.SafetensorsStore("~/m.safetensors").collections() == ("params",)
    linen_store.save(f"file://{tmp_path}/again", made)
    assert sorted(os.listdir(tmp_path)) == ["a b", "again", "m.safetensors"]
    assert local_path(os.fsencode(tmp_path)) == str(tmp_path)


def test_what_lies_under_the_literal_path_is_taken(tmp_path, made, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("~/c")
    linen_store.save(os.path.join("~", "c"), made, overwrite=True)
    assert os.path.isdir(tmp_path / "~" / "c" / "state")
    with pytest.raises(RemotePathError):
        open_store("file://elsewhere/c")


def test_names_of_key_map_may_be_joined_as_variables_are(tmp_path):
    path = str(tmp_path / "model.safetensors")
    safetensors.numpy.save_file({"fc.weight": np.eye(2, dtype=np.float32)}, path)
    for name in ("params/fc/kernel", "params.fc.kernel", ("params", "fc", "kernel")):
        store = open_store(path, key_map={"fc.weight": name}, layout="model")
        assert store.children("params", ("fc",)) == ("kernel",)
