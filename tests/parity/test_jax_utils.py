"""Helpers around `jax.pmap` do what those of flax.jax_utils and flax.training.common_utils do."""

import flax.jax_utils
import flax.training.common_utils
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linen_core import jax_utils
from linen_core.training import common_utils
from parity._compare import assert_same_tree, parity_settings

DEVICES = jax.local_device_count()
TREE = {
    "device": jnp.arange(6.0).reshape(2, 3),
    "host": np.arange(4, dtype=np.int16),
    "number": 2.5,
    "low": jnp.ones(3, jnp.bfloat16),
}
UTILS = pytest.mark.parametrize("utils", [jax_utils, flax.jax_utils], ids=["linen", "flax"])


@pytest.mark.parametrize("count", [None, 3])
def test_replicate_and_unreplicate(count):
    devices = None if count is None else jax.devices()[:count]
    ours, theirs = (
        utils.replicate(TREE, devices, axis_name="copies") for utils in (jax_utils, flax.jax_utils)
    )
    assert_same_tree(ours, theirs)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert mine.sharding == other.sharding
    assert_same_tree(jax_utils.unreplicate(ours), flax.jax_utils.unreplicate(theirs))


def test_keys_are_replicated():
    keys = jax_utils.replicate(jax.random.key(3))
    assert keys.shape == (DEVICES,)
    first = jax_utils.unreplicate(keys)
    assert (jax.random.key_data(first) == jax.random.key_data(jax.random.key(3))).all()


def test_unreplicate_takes_any_array():
    mesh = jax.make_mesh((DEVICES,), ("i",))
    whole = jax.device_put(jnp.arange(8.0), jax.NamedSharding(mesh, jax.P()))
    tree = {
        "scalar": jnp.float32(3),
        "whole": whole,
        "single": jnp.ones((2, 3)),
        "host": np.ones((2, 3)),
        "pmapped": jax.pmap(lambda x: x)(jnp.ones((DEVICES, 2))),
    }
    assert_same_tree(jax_utils.unreplicate(tree), flax.jax_utils.unreplicate(tree))


def test_unreplicate_of_several_copies_on_a_device():
    """flax fails where a device holds more than one copy."""
    mesh = jax.make_mesh((DEVICES,), ("i",))
    x = jnp.broadcast_to(jnp.arange(3.0), (2 * DEVICES, 3))
    x = jax.device_put(x, jax.NamedSharding(mesh, jax.P("i")))
    assert jax_utils.unreplicate(x).tolist() == [0, 1, 2]


def test_pmean_is_deprecated():
    with pytest.warns(DeprecationWarning, match=r"Use jax.lax.pmean"):
        out = jax.vmap(lambda x: jax_utils.pmean(x, "i"), axis_name="i")(jnp.arange(4.0))
    assert out.tolist() == [1.5] * 4


@UTILS
def test_prefetch_keeps_order_and_shards(utils):
    batches = [
        {"x": np.full((DEVICES, 2), i, np.float32), "y": jnp.full((DEVICES,), i)} for i in range(5)
    ]
    for size in (1, 2, 7):
        taken = list(utils.prefetch_to_device(iter(batches), size))
        assert [int(batch["y"][0]) for batch in taken] == list(range(5))
        assert_same_tree(taken, batches)
        assert len(taken[0]["x"].sharding.device_set) == DEVICES
    assert list(utils.prefetch_to_device(iter([]), 2)) == []


def test_prefetch_takes_any_iterable_and_looks_ahead():
    seen = []

    def batches():
        for i in range(4):
            seen.append(i)
            yield np.full(DEVICES, i)

    iterator = jax_utils.prefetch_to_device(batches(), 2)
    assert int(next(iterator)[0]) == 0
    assert seen == [0, 1]
    listed = [np.full(DEVICES, i) for i in range(3)]
    assert [int(x[0]) for x in jax_utils.prefetch_to_device(listed, 1)] == [0, 1, 2]


@UTILS
def test_partial_eval_by_shape(utils):
    def fn(x, y, n, scale=1.0):
        return {"of x": x @ y, "known": jnp.ones(n) * scale, "both": y.sum() + n}

    out = utils.partial_eval_by_shape(fn, [(2, 3), ((3, 4), jnp.bfloat16)], 2, scale=3.0)
    assert out["of x"] == jax.ShapeDtypeStruct((2, 4), jnp.float32)
    assert out["both"] == jax.ShapeDtypeStruct((), jnp.bfloat16)
    assert out["known"].tolist() == [3.0, 3.0]


@UTILS
def test_partial_eval_of_a_decision_is_an_error(utils):
    with pytest.raises(jax.errors.TracerBoolConversionError):
        utils.partial_eval_by_shape(lambda x: 1 if x.sum() > 0 else 2, [(2,)])


@parity_settings()
@hypothesis.given(
    axes=st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=3, unique=True).map(tuple),
    unroll=st.lists(st.integers(1, 2), min_size=1, max_size=1).map(tuple),
    keepdims=st.booleans(),
)
def test_scan_in_dim(axes, unroll, keepdims):
    xs = {"x": jnp.arange(24.0).reshape(2, 3, 4), "y": jnp.ones((2, 3, 4, 2))}

    def body(carry, x):
        total = carry + x["x"].sum() + x["y"].sum()
        return total, {"out": x["x"] * total, "y": x["y"] + total}

    ours, theirs = (
        utils.scan_in_dim(body, jnp.float32(0), xs, axes, unroll, keepdims)
        for utils in (jax_utils, flax.jax_utils)
    )
    assert_same_tree(ours, theirs)


def test_scan_in_one_dim():
    body = lambda c, x: (c + x, c)
    ours, theirs = (
        utils.scan_in_dim(body, jnp.zeros(2), jnp.ones((2, 5)), axis=1, unroll=5)
        for utils in (jax_utils, flax.jax_utils)
    )
    assert_same_tree(ours, theirs)


@parity_settings()
@hypothesis.given(
    size=st.integers(1, 2 * DEVICES + 1),
    least=st.sampled_from([None, 1, 4]),
    static_return=st.booleans(),
)
def test_pad_shard_unpad(size, least, static_return):
    x, y = np.arange(3.0 * size, dtype=np.float32).reshape(size, 3), np.ones(size, np.int32)

    def forward(params, x, *, y, factor):
        return {"out": x * params + factor, "y": y + 1}

    ours, theirs = (
        utils.pad_shard_unpad(forward, static_argnames=("factor",), static_return=static_return)(
            2.0, x, y=y, factor=3.0, min_device_batch=least
        )
        for utils in (jax_utils, flax.jax_utils)
    )
    assert_same_tree(ours, theirs)


@UTILS
def test_batches_of_different_sizes_are_an_error(utils):
    with pytest.raises(AssertionError, match=r"\{?\[?2, 3"):
        utils.pad_shard_unpad(lambda p, x, y: x)(1, np.ones(2), np.ones(3))


def test_common_utils():
    reference = flax.training.common_utils
    forest = [{"a": jnp.float32(i), "b": jnp.full(2, i)} for i in range(3)]
    labels = jnp.array([[0, 2], [5, -1]])
    metrics = [jax_utils.replicate({"loss": jnp.float32(i)}) for i in range(3)]
    for name, args in {
        "shard": [{"x": jnp.arange(4.0 * DEVICES).reshape(2 * DEVICES, 2)}],
        "stack_forest": [forest],
        "get_metrics": [metrics],
        "onehot": [labels, 3, 0.9, 0.1],
        "shard_prng_key": [jax.random.key(2)],
    }.items():
        assert_same_tree(getattr(common_utils, name)(*args), getattr(reference, name)(*args))
