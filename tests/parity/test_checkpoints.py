"""What users of flax have on disk, written by flax, Orbax and safetensors, restored into the same model."""

import flax.linen as flax_nn
import flax.serialization
import flax.training.checkpoints
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import safetensors.flax
from flax.training.train_state import TrainState
from flax.traverse_util import flatten_dict
from orbax.checkpoint import v1

import linen_core as nn
import linen_store

X = jax.random.normal(jax.random.key(1), (4, 6))


def build(lib):
    """The same model in either library: boxed and bare parameters, bfloat16, batch statistics, a key."""

    class Net(lib.Module):
        @lib.compact
        def __call__(self, x):
            boxed = lib.with_partitioning(lib.initializers.lecun_normal(), ("in", "out"))
            x = lib.Dense(5, kernel_init=boxed)(x)
            x = lib.BatchNorm(use_running_average=True)(x)
            self.variable("noise", "key", lambda: jax.random.key(7))
            return lib.Dense(3, param_dtype=jnp.bfloat16)(x)

    return Net()


class State(TrainState):
    """A train state as users extend it."""

    batch_stats: object
    noise: object


@pytest.fixture(scope="module")
def state():
    variables = build(flax_nn).init(jax.random.key(0), X)
    params = variables.pop("params")
    made = State.create(apply_fn=None, params=params, tx=optax.adamw(1e-3), **variables)
    grads = jax.tree.map(jnp.ones_like, params)
    stats = jax.tree.map(lambda leaf: leaf + 0.5, made.batch_stats)
    return made.apply_gradients(grads=grads).replace(batch_stats=stats)


def pytree(**options):
    def write(path, state):
        with ocp.PyTreeCheckpointer(**options) as checkpointer:
            checkpointer.save(path, state)

    return write


def standard(path, state):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, state)


def with_v1(**options):
    def write(path, state):
        context = v1.Context()
        for name, value in options.items():
            setattr(context.array.saving, name, value)
        with context:
            v1.save(path, state)

    return write


def managed(path, state):
    with ocp.CheckpointManager(path) as manager:
        for step in (3, 10):
            manager.save(step, args=ocp.args.StandardSave(state))


def managed_items(path, state):
    with ocp.CheckpointManager(path) as manager:
        items = {
            "state": ocp.args.PyTreeSave(state),
            "ema": ocp.args.StandardSave(jax.tree.map(jnp.zeros_like, state.params)),
        }
        manager.save(10, args=ocp.args.Composite(**items))


def of_flax(path, state):
    flax.training.checkpoints.save_checkpoint(
        path, state, 10, orbax_checkpointer=ocp.PyTreeCheckpointer()
    )


WRITERS = {
    "v0 PyTree": pytree(),
    "v0 PyTree, zarr3": pytree(use_zarr3=True),
    "v0 PyTree, a folder an array": pytree(use_ocdbt=False),
    "v0 PyTree, a folder an array, zarr3": pytree(use_ocdbt=False, use_zarr3=True),
    "v0 Standard": standard,
    "v1": with_v1(),
    "v1, zarr2": with_v1(use_zarr3=False),
    "v1, a folder an array": with_v1(use_ocdbt=False),
    "v1, a folder an array, zarr2": with_v1(use_ocdbt=False, use_zarr3=False),
    "v1, uncompressed": with_v1(use_compression=False),
    "CheckpointManager": managed,
    "CheckpointManager, items": managed_items,
    "flax.training.checkpoints": of_flax,
}


def assert_same_model(variables, state):
    """The variables are those of the state, bit for bit, and the model gives the same with them."""
    theirs = {name: getattr(state, name) for name in ("params", "batch_stats", "noise")}
    assert jax.tree.structure(nn.unbox(variables)) == jax.tree.structure(flax_nn.unbox(theirs))
    for ours, other in zip(jax.tree.leaves(variables), jax.tree.leaves(theirs), strict=True):
        assert ours.dtype == other.dtype
        assert _bytes(ours) == _bytes(other)
    output = build(nn).apply(variables, X)
    assert output.tobytes() == build(flax_nn).apply(theirs, X).tobytes()


def _bytes(array):
    is_key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(array) if is_key else array).tobytes()


@pytest.mark.filterwarnings("ignore:Flax Checkpointing will soon")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_train_state_of_flax_is_restored(tmp_path, state, write):
    write(tmp_path / "c", state)
    item = "state" if write is managed_items else None
    variables, report = linen_store.restore(build(nn), tmp_path / "c", X, item=item)
    assert_same_model(variables, state)
    assert (report.initialized, report.unexpected, report.other_dtype) == ((), (), ())
    with linen_store.open_store(tmp_path / "c", item=item) as store:
        assert store.get("step", ()) == 1
        moments = store.get("opt_state", ())[0]
    assert np.array_equal(
        moments["mu"]["Dense_1"]["bias"], state.opt_state[0].mu["Dense_1"]["bias"]
    )


@pytest.mark.parametrize("write", [pytree(), standard, with_v1()])
def test_bare_parameters_are_restored(tmp_path, state, write):
    write(tmp_path / "c", state.params)
    model = nn.Dense(3, param_dtype=jnp.bfloat16)
    root = {"params": "Dense_1"}
    variables, _ = linen_store.restore(model, tmp_path / "c", jnp.ones((1, 5)), root=root)
    assert np.array_equal(variables["params"]["kernel"], state.params["Dense_1"]["kernel"])


def without_keys(state):
    """MessagePack and safetensors hold no PRNG keys."""
    return state.replace(noise={"key": jax.random.key_data(state.noise["key"])})


def to_bytes(path, state):
    path.write_bytes(flax.serialization.to_bytes(state))


def flat(path, state):
    names = ("params", "batch_stats", "noise")
    tree = flax.serialization.to_state_dict({name: getattr(state, name) for name in names})
    safetensors.flax.save_file(flatten_dict(tree, sep="."), path)


@pytest.mark.parametrize("write", [to_bytes, flat])
def test_files_of_flax_and_safetensors_are_restored(tmp_path, state, write):
    write(tmp_path / "c", without_keys(state))
    rename = {"^noise/": None}
    variables, report = linen_store.restore(
        build(nn), tmp_path / "c", X, rename=rename, init_missing=True, rngs=jax.random.key(0)
    )
    assert report.initialized == (("noise", "key"),)
    assert_same_model(variables, state)
