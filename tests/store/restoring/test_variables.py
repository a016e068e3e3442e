"""Restoring: what is loaded, what is told, and what is initialised, sharded or cast."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
import linen_store
from linen_store.errors import (
    RenameCollisionError,
    RenamePatternError,
    RestoreMismatchError,
    RngsMissingError,
    StoreDtypeError,
)

X = jnp.ones((2, 6, 6, 1))
DEVICE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


class Net(nn.Module):
    """A convolutional trunk and a head."""

    head: str = "head"
    classes: int = 10

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3), name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = x.reshape(x.shape[0], -1)
        boxed = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "m"))
        return nn.Dense(self.classes, name=self.head, kernel_init=boxed)(x)


class Cached(nn.Module):
    """Reads a cache where there is one, but makes none."""

    @nn.compact
    def __call__(self, x):
        if self.has_variable("cache", "seen"):
            x += self.get_variable("cache", "seen")
        return nn.Dense(2)(x)


@pytest.fixture
def trained():
    return Net().init(jax.random.key(0), X)


@pytest.fixture
def saved(tmp_path, trained):
    linen_store.save(tmp_path / "c", trained)
    return tmp_path / "c"


@pytest.mark.parametrize("source", ["path", "store", "dict", "frozen", "memory"])
def test_gives_what_init_gives_with_the_stored_values(saved, trained, same, source):
    store = {
        "path": saved,
        "store": linen_store.CheckpointStore(saved),
        "dict": trained,
        "frozen": linen_store.FrozenDictStore(trained),
        "memory": nn.MemoryStore(trained),
    }[source]
    variables, report = linen_store.restore(Net(), store, X)
    assert same(variables, trained)
    assert type(variables) is dict
    assert len(report.loaded) == len(jax.tree.leaves(trained))
    assert (report.initialized, report.unexpected, report.other_dtype) == ((), (), ())
    assert report.bytes == sum(leaf.nbytes for leaf in jax.tree.leaves(trained))
    applied = jax.jit(lambda v: Net().apply(v, X))(variables)
    assert same(applied, jax.jit(lambda v: Net().apply(v, X))(trained))


def test_reads_only_what_the_model_uses(tmp_path, trained):
    linen_store.save(tmp_path / "c", {**trained, "opt_state": {"mu": trained["params"]}})
    store = linen_store.CheckpointStore(tmp_path / "c")
    _, report = linen_store.restore(Net(), store, X)
    assert store.stats.leaves == len(report.loaded) == 8


def test_arguments_may_be_shapes_and_flags(saved, trained, same):
    shape = jax.ShapeDtypeStruct(X.shape, X.dtype)
    variables, _ = linen_store.restore(Net(), saved, shape, True)
    assert same(variables, trained)
    variables, _ = linen_store.restore(Net(), saved, x=shape, train=True)
    assert same(variables, trained)


def test_the_factory_of_init_does_not_matter(saved, trained, same):
    with nn.default_store(linen_store.FrozenDictStore):
        variables, _ = linen_store.restore(Net(), saved, X)
    assert same(variables, trained)


def test_method_chooses_the_call(tmp_path):
    class Two(nn.Module):
        def setup(self):
            self.encoder = nn.Dense(3)
            self.decoder = nn.Dense(5)

        def __call__(self, x):
            return self.decoder(self.encoder(x))

        def encode(self, x):
            return self.encoder(x)

    x = jnp.ones((1, 2))
    linen_store.save(tmp_path / "c", Two().init(jax.random.key(0), x))
    with pytest.raises(RestoreMismatchError, match="params/decoder/kernel: unexpected"):
        linen_store.restore(Two(), tmp_path / "c", x, method="encode")
    variables, report = linen_store.restore(
        Two(), tmp_path / "c", x, method=Two.encode, strict=False
    )
    assert list(variables["params"]) == ["encoder"]
    assert len(report.unexpected) == 2


def test_what_the_call_reads_beyond_init_comes_too(tmp_path, same):
    x = jnp.ones((1, 2))
    made = {**Cached().init(jax.random.key(0), x), "cache": {"seen": jnp.full(2, 7.0)}}
    linen_store.save(tmp_path / "c", {**made, "opt_state": {"mu": jnp.ones(1)}})
    variables, report = linen_store.restore(Cached(), tmp_path / "c", x)
    assert same(variables, made)
    assert ("cache", "seen") in report.loaded


def test_everything_wrong_is_told_at_once(saved):
    with pytest.raises(RestoreMismatchError) as caught:
        linen_store.restore(Net("new", 5), {"params": _spoiled(saved)}, X)
    store = caught.value.store
    assert str(caught.value) == (
        f"Cannot restore Net from {store}: 10 leaves do not match. Map names with `rename=`, "
        "initialise missing variables with `init_missing=True`, ignore unexpected arrays with "
        "`strict=False`.\n"
        "  params/BatchNorm_0/scale: the store has int32(4,), the model expects float32(4,)\n"
        "  params/conv/kernel: the store has float32(3, 3, 1, 5), the model expects float32(3, 3, 1, 4)\n"
        "  batch_stats/BatchNorm_0/mean: missing, the model expects float32(4,)\n"
        "  batch_stats/BatchNorm_0/var: missing, the model expects float32(4,)\n"
        "  params/conv/bias: missing, the model expects float32(4,), the closest name is params/conv/bia\n"
        "  params/new/bias: missing, the model expects float32(5,), the closest name is params/head/bias\n"
        "  params/new/kernel/value: missing, the model expects float32(144, 5), the closest name is params/head/kernel/value\n"
        "  params/conv/bia: unexpected float32(4,), the model does not use it\n"
        "  params/head/bias: unexpected float32(10,), the model does not use it\n"
        "  params/head/kernel/value: unexpected float32(144, 10), the model does not use it"
    )
    assert len(caught.value.problems) == 10


def _spoiled(saved):
    params = linen_store.CheckpointStore(saved).snapshot("params")["params"]
    params["conv"]["bia"] = params["conv"].pop("bias")
    params["conv"]["kernel"] = jnp.ones((3, 3, 1, 5))
    params["BatchNorm_0"]["scale"] = jnp.ones(4, jnp.int32)
    return params


@pytest.mark.parametrize("wrong", [jnp.ones(10, jnp.int32), jnp.ones(10, bool), "text", 1.5])
def test_another_kind_of_value_is_never_taken(trained, wrong):
    trained["params"]["head"]["bias"] = wrong
    with pytest.raises(RestoreMismatchError, match="params/head/bias: the store has"):
        linen_store.restore(Net(), trained, X, strict=False)


@pytest.mark.parametrize("from_path", [True, False])
def test_floats_are_never_cast_to_integers(tmp_path, from_path):
    store = nn.Dense(2).init(jax.random.key(0), jnp.ones((1, 3)))
    linen_store.save(tmp_path / "c", store)
    source = tmp_path / "c" if from_path else store
    with pytest.raises(StoreDtypeError):
        linen_store.restore(nn.Dense(2), source, jnp.ones((1, 3)), dtype=jnp.int32)
    with pytest.raises(StoreDtypeError):
        linen_store.plan(None, source, {"x": 1}, dtype=jnp.int32)


def test_another_width_is_taken_as_it_is_and_told(trained):
    trained["params"]["head"]["bias"] = jnp.ones(10, jnp.bfloat16)
    variables, report = linen_store.restore(Net(), trained, X)
    assert variables["params"]["head"]["bias"].dtype == jnp.bfloat16
    assert report.other_dtype == ((("params", "head", "bias"), "bfloat16", "float32"),)
    assert str(report).endswith("other dtype: 1\n  params/head/bias: bfloat16, not float32")


def test_warm_start_initialises_only_what_is_missing(saved, trained, same):
    model = Net("new", 5)
    variables, report = linen_store.restore(
        model, saved, X, init_missing=True, rngs=jax.random.key(1), strict=False
    )
    fresh = model.init(jax.random.key(1), X)
    assert same(variables["params"]["new"], fresh["params"]["new"])
    assert same(variables["params"]["conv"], trained["params"]["conv"])
    assert same(variables["batch_stats"], trained["batch_stats"])
    assert report.initialized == (("params", "new", "bias"), ("params", "new", "kernel", "value"))
    assert report.unexpected == (("params", "head", "bias"), ("params", "head", "kernel", "value"))
    assert str(report) == (
        "loaded 6 variables, 224 bytes\n"
        "initialized: 2\n  params/new/bias\n  params/new/kernel/value\n"
        "unexpected: 2\n  params/head/bias\n  params/head/kernel/value"
    )


def test_initialising_needs_rngs(saved):
    with pytest.raises(RngsMissingError) as caught:
        linen_store.restore(Net("new"), saved, X, init_missing=True, strict=False)
    assert str(caught.value) == (
        "Cannot initialise 2 variables of Net that the store lacks, the first is 'params/new/bias': "
        "expected `rngs=`, found None. Pass a key or a dict of keys."
    )


def test_rename_maps_and_drops(saved, trained, same):
    variables, _ = linen_store.restore(
        Net("top"), saved, X, rename={"^params/head/": "params/top/"}
    )
    assert same(variables["params"]["top"], trained["params"]["head"])
    _, report = linen_store.restore(
        Net("top", 3), saved, X, rename={"/head/": None}, init_missing=True, rngs=jax.random.key(0)
    )
    assert (len(report.initialized), report.unexpected) == (2, ())
    with pytest.raises(RenameCollisionError) as caught:
        linen_store.restore(Net(), saved, X, rename={"kernel|bias": "x", "/value": ""})
    assert str(caught.value) == (
        "Cannot rename: 'params/conv/bias' and 'params/conv/kernel' would both be 'params/conv/x'. "
        "Make the patterns of `rename` more exact, or drop one with None."
    )


@pytest.mark.parametrize("rename", [{"(": "x"}, {"(": None}, {"params": r"\7"}])
def test_a_pattern_that_is_none_is_told(saved, rename):
    with pytest.raises(RenamePatternError):
        linen_store.restore(nn.Dense(2), saved, jnp.ones((1, 3)), rename=rename)


def test_rename_reaches_other_collections(tmp_path, trained, same):
    linen_store.save(tmp_path / "c", {"ema": trained["params"], "bs": trained["batch_stats"]})
    rename = {"^ema/": "params/", "^bs/": "batch_stats/"}
    variables, _ = linen_store.restore(Net(), tmp_path / "c", X, rename=rename)
    assert same(variables, trained)


def test_boxes_fit_with_and_without(tmp_path, trained, same):
    plain = nn.unbox(trained)
    linen_store.save(tmp_path / "plain", plain)
    boxed, _ = linen_store.restore(Net(), tmp_path / "plain", X)
    assert same(boxed, trained)

    class Plain(Net):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(10, name="head")(x.reshape(x.shape[0], -1))

    boxed_head = Net(classes=10).init(jax.random.key(0), X)["params"]["head"]
    linen_store.save(
        tmp_path / "boxed",
        {
            "params": {
                "head": {
                    "kernel": nn.Partitioned(jnp.ones((36, 10)), (None, "m")),
                    "bias": boxed_head["bias"],
                }
            }
        },
    )
    variables, _ = linen_store.restore(Plain(), tmp_path / "boxed", X)
    assert variables["params"]["head"]["kernel"].shape == (36, 10)


def test_a_checkpoint_of_bare_params_or_of_a_train_state(tmp_path, same):
    model, x = nn.Dense(3), jnp.ones((1, 2))
    made = model.init(jax.random.key(0), x)
    linen_store.save(tmp_path / "bare", made["params"])
    variables, _ = linen_store.restore(model, tmp_path / "bare", x, root={"params": ()})
    assert same(variables, made)
    linen_store.save(tmp_path / "state", {"step": 3, "model": made, "opt": (jnp.ones(2), None)})
    variables, _ = linen_store.restore(model, tmp_path / "state", x, root="model")
    assert same(variables, made)


@pytest.mark.parametrize(
    "wrap", [lambda path: path, lambda path: linen_store.CheckpointStore(path).snapshot()]
)
def test_dtype_and_sharding_apply_to_all(saved, wrap):
    seen = []

    def where(names, spec):
        seen.append((names, spec.dtype))
        return DEVICE

    variables, _ = linen_store.restore(Net(), wrap(saved), X, dtype=jnp.bfloat16, sharding=where)
    leaves = jax.tree.leaves(variables)
    assert {leaf.dtype for leaf in leaves} == {np.dtype(jnp.bfloat16)}
    assert {leaf.sharding for leaf in leaves} == {DEVICE}
    assert (("params", "head", "kernel", "value"), jnp.bfloat16) in seen


def test_a_tree_of_shardings(saved, trained):
    tree = jax.tree.map(lambda _: DEVICE, nn.unbox(trained))
    variables, _ = linen_store.restore(Net(), saved, X, sharding=tree)
    assert {leaf.sharding for leaf in jax.tree.leaves(variables)} == {DEVICE}


def test_sown_tuples_and_keys_come_back(tmp_path, same):
    class Sows(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.sow("seen", "x", x)
            self.sow("seen", "x", x + 1)
            self.variable("rng", "key", lambda: jax.random.key(5))
            return nn.Dense(1)(x)

    x = jnp.ones((1, 2))
    made = Sows().init(jax.random.key(0), x)
    linen_store.save(tmp_path / "c", made)
    variables, _ = linen_store.restore(Sows(), tmp_path / "c", x)
    assert same(variables, made)


def test_a_store_can_be_applied_directly(saved, trained, same):
    store = linen_store.CheckpointStore(saved)
    # A box that was saved is a node with its array under `value`; this model has one.
    plain = {**trained, "params": nn.unbox(trained)["params"]}
    linen_store.save(saved, plain, overwrite=True)
    store = linen_store.CheckpointStore(saved)
    assert same(Net().apply(store, X), Net().apply(plain, X))
    assert store.stats.leaves == 8
