"""Restoring pytrees: train states of Linen and flax, states of optimisers, any tree of arrays or specs."""

import flax.core
import flax.linen as flax_nn
import flax.serialization
import flax.training.checkpoints
import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from orbax.checkpoint import v1

import linen_core as nn
import linen_core.struct
import linen_store
from linen_core.train_state import TrainState
from linen_store import serialization
from linen_store.errors import RestoreMismatchError, RestoreTargetError

X = jnp.ones((2, 6))


class Extended(TrainState):
    """A train state as users extend it."""

    batch_stats: object
    ema: object = None


class FlaxExtended(flax.training.train_state.TrainState):
    """The same of flax."""

    batch_stats: object
    ema: object = None


def build(lib):
    class Net(lib.Module):
        @lib.compact
        def __call__(self, x):
            boxed = lib.with_partitioning(lib.initializers.lecun_normal(), ("in", "out"))
            x = lib.Dense(8, kernel_init=boxed)(x)
            x = lib.BatchNorm(use_running_average=True)(x)
            return lib.Dense(3, param_dtype=jnp.bfloat16)(x)

    return Net()


def optimiser():
    return optax.chain(
        optax.clip(1.0),
        optax.masked(optax.trace(0.9), lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree)),
        optax.inject_hyperparams(optax.adamw)(learning_rate=1e-3),
        optax.apply_if_finite(optax.sgd(0.1), 3),
    )


def make_state(kind, lib, steps=1):
    variables = build(lib).init(jax.random.key(0), X)
    params = variables.pop("params")
    state = kind.create(apply_fn=None, params=params, tx=optimiser(), **variables)
    for _ in range(steps):
        state = state.apply_gradients(grads=jax.tree.map(jnp.ones_like, params))
    return state


@pytest.fixture(params=["linen", "flax"])
def kinds(request):
    return (Extended, nn) if request.param == "linen" else (FlaxExtended, flax_nn)


def pytree(path, state):
    ocp.PyTreeCheckpointer().save(path, state)


def standard(path, state):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, state)


def managed(path, state):
    with ocp.CheckpointManager(path) as manager:
        manager.save(10, args=ocp.args.StandardSave(state))


def of_flax(path, state):
    flax.training.checkpoints.save_checkpoint(
        path, state, 10, orbax_checkpointer=ocp.PyTreeCheckpointer()
    )


def of_early_flax(path, state):
    path.mkdir()
    (path / "checkpoint_10").write_bytes(flax.serialization.to_bytes(as_flax(state)))


def as_flax(state):
    return flax.serialization.msgpack_restore(serialization.to_bytes(state))


WRITERS = {
    "save": linen_store.save,
    "v0 PyTree": pytree,
    "v0 Standard": standard,
    "v1": v1.save,
    "CheckpointManager": managed,
    "flax.training.checkpoints": of_flax,
    "flax.training.checkpoints, MessagePack": of_early_flax,
}


def assert_equal(found, expected):
    """The same structure and types, and the same bits."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert isinstance(ours, type(theirs)), (type(ours), type(theirs))
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


@pytest.mark.filterwarnings("ignore:Flax Checkpointing will soon")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_train_state_is_restored(tmp_path, kinds, write):
    saved = make_state(*kinds)
    write(tmp_path / "c", saved)
    fresh = make_state(*kinds, steps=0).replace(step=0)
    for target in (fresh, saved):
        restored, report = linen_store.restore(target, tmp_path / "c")
        assert type(restored) is type(saved)
        assert restored.tx is target.tx
        assert_equal(restored.replace(tx=saved.tx), saved)
        assert (report.initialized, report.unexpected) == ((), ())
    assert report.other_dtype == ()  # the first moments are bfloat16 before the first step
    # It goes on as the saved one would.
    grads = jax.tree.map(jnp.ones_like, saved.params)
    assert_equal(
        restored.replace(tx=saved.tx).apply_gradients(grads=grads),
        saved.apply_gradients(grads=grads),
    )


@pytest.mark.parametrize("write", [linen_store.save, pytree, v1.save, of_early_flax])
def test_specs_and_parts_of_a_state(tmp_path, kinds, write):
    saved = make_state(*kinds)
    write(tmp_path / "c", saved)
    abstract = jax.eval_shape(lambda: saved.replace(step=jnp.asarray(saved.step)))
    restored, _ = linen_store.restore(abstract, tmp_path / "c")
    assert_equal(restored, saved.replace(step=jnp.asarray(saved.step)))
    opt_state, _ = linen_store.restore(saved.opt_state, tmp_path / "c", root="opt_state")
    assert_equal(opt_state, saved.opt_state)
    only = {"params": saved.params}
    params, report = linen_store.restore(only, tmp_path / "c", strict=False)
    assert_equal(params, only)
    assert ("step",) in report.unexpected
    variables, _ = linen_store.restore(build(nn), tmp_path / "c", X)
    theirs = jax.tree.leaves((saved.batch_stats, saved.params))
    assert_equal(jax.tree.leaves(variables), theirs)


@pytest.mark.parametrize("write", [linen_store.save, pytree, v1.save, of_early_flax])
def test_a_state_dict_is_what_a_store_gives(tmp_path, kinds, write):
    saved = make_state(*kinds)
    write(tmp_path / "c", saved)
    with linen_store.open_store(tmp_path / "c") as store:
        restored = serialization.from_state_dict(make_state(*kinds, steps=0), store.snapshot())
    assert_equal(restored.replace(tx=saved.tx), saved.replace(step=restored.step))
    assert int(restored.step) == 1
    tree = {name: getattr(saved, name) for name in ("step", "params", "opt_state", "batch_stats")}
    in_memory = nn.MemoryStore({**tree, "ema": None})
    restored = serialization.from_state_dict(make_state(*kinds, steps=0), in_memory.snapshot())
    assert_equal(restored.replace(tx=saved.tx), saved)


@linen_core.struct.dataclass
class Pair:
    """Any dataclass of `linen_core.struct`."""

    left: object
    right: object
    note: str = linen_core.struct.field(pytree_node=False, default="kept")


@pytest.mark.parametrize(
    "tree",
    [
        Pair({"w": jnp.arange(3)}, (jnp.ones(2), np.arange(4.0), 3, 2.5, True)),
        [jnp.ones(2), {"a": {"b": jnp.zeros((2, 2), jnp.bfloat16)}}],
        (optax.ScaleByAdamState(jnp.array(3), {"w": jnp.ones(2)}, {"w": jnp.zeros(2)}), "text"),
        {"keys": jax.random.key(3)},
        {"integers": {3: jnp.ones(1), 10: jnp.zeros(1)}},
    ],
    ids=["struct", "list", "tuple", "keys", "integers"],
)
@pytest.mark.parametrize("source", ["path", "store", "memory"])
def test_any_pytree_is_restored(tmp_path, same, tree, source):
    if source == "memory":
        state = serialization.to_state_dict(tree)
        store = nn.MemoryStore(state)
    else:
        linen_store.save(tmp_path / "c", tree)
        store = tmp_path / "c" if source == "path" else linen_store.open_store(tmp_path / "c")
    restored, _ = linen_store.restore(jax.tree.map(lambda leaf: leaf, tree), store)
    assert same(restored, tree)


def test_what_is_a_number_an_array_of_jax_or_of_numpy_is_so_again(tmp_path):
    linen_store.save(tmp_path / "c", {"a": 3, "b": jnp.array(4), "c": np.ones(2, np.float32)})
    target = {"a": jnp.array(0), "b": 0, "c": jnp.zeros(2)}
    restored, _ = linen_store.restore(target, tmp_path / "c")
    assert isinstance(restored["a"], jax.Array)
    assert (int(restored["a"]), restored["a"].dtype) == (3, jnp.int32)
    assert (restored["b"], type(restored["b"])) == (4, int)
    assert isinstance(restored["c"], np.ndarray | jax.Array)


def test_all_that_does_not_fit_is_in_one_error(tmp_path):
    saved = make_state(Extended, nn)
    linen_store.save(tmp_path / "c", saved.replace(ema={"w": jnp.ones(2)}))
    params = dict(saved.params)
    params["Dense_2"] = params.pop("Dense_1")
    params["Dense_0"] = {**params["Dense_0"], "bias": jnp.ones(9)}
    with pytest.raises(RestoreMismatchError) as caught:
        linen_store.restore(saved.replace(params=params, step=0.5), tmp_path / "c")
    assert caught.value.model == "Extended"
    assert caught.value.problems == (
        "step: the store has int64(), the pytree expects float",
        "params/Dense_0/bias: the store has float32(8,), the pytree expects float32(9,)",
        "params/Dense_2/bias: missing, the pytree expects bfloat16(3,), the closest name is params/Dense_1/bias",
        "params/Dense_2/kernel: missing, the pytree expects bfloat16(8, 3), the closest name is params/Dense_1/kernel",
        "params/Dense_1/bias: unexpected bfloat16(3,), the pytree does not use it",
        "params/Dense_1/kernel: unexpected bfloat16(8, 3), the pytree does not use it",
        "ema/w: unexpected float32(2,), the pytree does not use it",
    )


def test_the_advice_for_what_does_not_fit_works(tmp_path):
    saved = make_state(Extended, nn)
    linen_store.save(tmp_path / "c", saved)
    moved = saved.replace(params={**saved.params, "new": jnp.full(2, 7.0)}, ema={"w": jnp.ones(1)})
    restored, report = linen_store.restore(
        moved.replace(batch_stats={}),
        tmp_path / "c",
        rename={"^batch_stats/BatchNorm_0/mean$": None},
        init_missing=True,
        strict=False,
    )
    assert report.initialized == (("params", "new"), ("ema", "w"))
    assert report.unexpected == (("batch_stats", "BatchNorm_0", "var"),)
    assert restored.params["new"].tolist() == [7.0, 7.0]
    abstract = {"params": jax.ShapeDtypeStruct((2,), jnp.float32)}
    with pytest.raises(RestoreMismatchError, match="params: missing"):
        linen_store.restore(abstract, {"other": jnp.ones(2)}, init_missing=True, strict=False)


def test_what_is_no_pytree_or_is_called_is_refused(tmp_path):
    linen_store.save(tmp_path / "c", {"w": jnp.ones(2)})
    for target in (3, object(), "text", {"w": object()}, optax.adam, nn.Dense, TrainState):
        with pytest.raises(RestoreTargetError):
            linen_store.restore(target, tmp_path / "c")
    for given in ({"x": X}, {"method": "encode"}):
        with pytest.raises(RestoreTargetError, match="it is not a model, so it cannot be called"):
            linen_store.restore({"w": jnp.ones(2)}, tmp_path / "c", **given)
    with pytest.raises(RestoreTargetError, match="it is not a model"):
        linen_store.restore({"w": jnp.ones(2)}, tmp_path / "c", X)


def test_onto_the_mesh_that_the_boxes_name(tmp_path, kinds):
    mesh = jax.make_mesh((4, 2), ("data", "model"))
    saved = make_state(*kinds)
    linen_store.save(tmp_path / "c", saved)
    rules = [("in", "model"), ("out", "data")]
    restored, _ = linen_store.restore(saved, tmp_path / "c", mesh=mesh, rules=rules)
    split = NamedSharding(mesh, PartitionSpec("model", "data"))
    assert restored.params["Dense_0"]["kernel"].value.sharding == split
    moment = restored.opt_state[2].inner_state[0].mu["Dense_0"]["kernel"].value
    assert (moment.sharding, moment.addressable_shards[0].data.shape) == (split, (3, 2))
    assert restored.params["Dense_1"]["bias"].sharding == NamedSharding(mesh, PartitionSpec())
    assert_equal(jax.device_get(restored), jax.device_get(saved))


def test_arrays_go_where_the_target_has_them(tmp_path):
    mesh = jax.make_mesh((1,), ("data",))
    where = NamedSharding(mesh, PartitionSpec("data"))
    linen_store.save(tmp_path / "c", {"a": jnp.ones(4), "b": jnp.ones(4), "c": 3})
    target = {
        "a": jax.ShapeDtypeStruct((4,), jnp.float32, sharding=where),
        "b": jax.device_put(jnp.ones(4), where),
        "c": jax.device_put(jnp.array(1), NamedSharding(mesh, PartitionSpec())),
    }
    for source in (
        tmp_path / "c",
        {"a": jnp.ones(4), "b": np.ones(4, np.float32), "c": jnp.array(3)},
    ):
        restored, _ = linen_store.restore(target, source)
        assert [restored[name].sharding.spec for name in "abc"] == [
            PartitionSpec("data"),
            PartitionSpec("data"),
            PartitionSpec(),
        ]
    trees = jax.tree.map(lambda _: where, {"a": 0, "b": 0, "c": None})
    restored, _ = linen_store.restore(
        {"a": jnp.ones(4)}, tmp_path / "c", strict=False, sharding=trees
    )
    assert restored["a"].sharding == where


def test_a_tree_of_shardings_in_the_form_of_the_state(tmp_path):
    saved = make_state(Extended, nn)
    linen_store.save(tmp_path / "c", saved)
    where = NamedSharding(jax.make_mesh((1,), ("data",)), PartitionSpec())
    shardings = jax.tree.map(lambda _: where, saved)
    restored, _ = linen_store.restore(saved, tmp_path / "c", sharding=shardings)
    arrays = [leaf for leaf in jax.tree.leaves(restored) if isinstance(leaf, jax.Array)]
    assert {leaf.sharding for leaf in arrays} == {where}
