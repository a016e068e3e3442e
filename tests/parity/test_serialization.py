"""linen_store.serialization against flax.serialization: the same bytes, both ways."""

import sys
from typing import NamedTuple

import flax.core
import flax.serialization as reference
import flax.struct
import jax
import jax.numpy as jnp
import msgpack
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState as FlaxTrainState
from hypothesis import given, settings
from hypothesis import strategies as st

import linen_core as nn
import linen_store
from linen_core.train_state import TrainState
from linen_store import serialization as ours
from linen_store.errors import (
    AmbiguousKeysError,
    BadMsgpackError,
    HandlerExistsError,
    StateKeysError,
    StateMismatchError,
    StateShapeError,
    UnsupportedStateError,
)


class Point(NamedTuple):
    x: object
    y: object


DTYPES = ["float32", "bfloat16", "int8", "bool", "complex64", "float8_e4m3fn", "uint16", "float64"]
ARRAYS = st.builds(
    lambda dtype, shape, jaxy: (jnp.asarray if jaxy else np.asarray)(
        np.arange(int(np.prod(shape))).reshape(shape).astype(jnp.dtype(dtype))
    ),
    st.sampled_from(DTYPES[:-1]),
    st.lists(st.integers(0, 3), max_size=3),
    st.booleans(),
)
LEAVES = st.one_of(
    ARRAYS,
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.none(),
    st.booleans(),
    st.complex_numbers(allow_nan=False),
    st.builds(np.float32, st.floats(0, 1)),
)
NAMES = st.one_of(st.text("ab.", max_size=2), st.integers(0, 3).map(str))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, max_size=3),
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.builds(Point, inner, inner),
        st.dictionaries(st.integers(0, 4), inner, max_size=2),
    ),
    max_leaves=8,
)
parity = settings(derandomize=True, max_examples=80, deadline=None)


def rendered(tree):
    """A form in which arrays compare by kind, dtype and bits."""
    if isinstance(tree, dict):
        return [(key, rendered(value)) for key, value in tree.items()]
    if isinstance(tree, list | tuple):
        return type(tree).__name__, [rendered(value) for value in tree]
    if hasattr(tree, "dtype"):
        return type(tree).__name__, str(tree.dtype), tree.shape, np.asarray(tree).tobytes()
    return type(tree).__name__, repr(tree)


@parity
@given(TREES)
def test_the_same_bytes_and_the_same_tree(tree):
    assert rendered(ours.to_state_dict(tree)) == rendered(reference.to_state_dict(tree))
    encoded = reference.to_bytes(tree)
    assert ours.to_bytes(tree) == encoded
    assert rendered(ours.msgpack_restore(encoded)) == rendered(reference.msgpack_restore(encoded))
    assert rendered(ours.from_bytes(tree, encoded)) == rendered(reference.from_bytes(tree, encoded))
    assert rendered(ours.from_bytes(None, encoded)) == rendered(reference.from_bytes(None, encoded))


def outcome(function, *args):
    """What a call gives, or its error."""
    try:
        return rendered(function(*args))
    except Exception as error:
        return error


@parity
@given(TREES, TREES)
def test_what_does_not_fit_is_the_same_class_of_error(target, other):
    encoded = reference.to_bytes(other)
    mine, theirs = (outcome(lib.from_bytes, target, encoded) for lib in (ours, reference))
    if isinstance(mine, StateShapeError):
        return  # flax takes arrays of any shape
    if isinstance(
        theirs, AttributeError
    ):  # a value in place of a container, and flax asks it for names
        assert isinstance(mine, StateMismatchError)
    elif isinstance(theirs, Exception):
        assert isinstance(mine, type(theirs))
    elif isinstance(mine, Exception):  # flax takes an empty string for an empty sequence
        assert isinstance(mine, StateMismatchError)
        assert any(
            leaf in ("", b"") for leaf in jax.tree.leaves(other) if isinstance(leaf, str | bytes)
        )
    else:
        assert mine == theirs


@parity
@given(TREES, st.integers(0, 200), st.integers(0, 7))
def test_damaged_bytes_are_an_error_or_what_flax_reads(tree, place, bit):
    encoded = bytearray(reference.to_bytes(tree))
    encoded[place % len(encoded)] ^= 1 << bit
    try:
        found = rendered(ours.msgpack_restore(bytes(encoded)))
    except BadMsgpackError:
        return
    assert found == rendered(reference.msgpack_restore(bytes(encoded)))


@parity
@given(st.dictionaries(NAMES, ARRAYS, max_size=4))
def test_the_low_level_sorts_as_flax_does(tree):
    assert ours.msgpack_serialize(tree) == reference.msgpack_serialize(tree)
    assert ours.msgpack_serialize(tree, in_place=True) == reference.msgpack_serialize(
        dict(tree), in_place=True
    )


def test_train_states_are_exchanged():
    tx = optax.chain(optax.clip(1.0), optax.adamw(1e-3))
    params = {"w": jnp.arange(3.0), "b": jnp.ones(2, jnp.bfloat16)}
    theirs = FlaxTrainState.create(apply_fn=None, params=params, tx=tx)
    mine = TrainState.create(apply_fn=None, params=params, tx=tx)
    assert ours.to_bytes(mine) == reference.to_bytes(theirs)
    restored = ours.from_bytes(mine, reference.to_bytes(theirs))
    assert jax.tree.structure(restored) == jax.tree.structure(mine)
    back = reference.from_bytes(theirs, ours.to_bytes(mine))
    assert jax.tree.structure(back) == jax.tree.structure(theirs)


def test_frozen_dicts_and_boxes_are_exchanged():
    tree = {"z": {"y": 1}, "a": jnp.ones(1)}
    encoded = reference.to_bytes(flax.core.freeze(tree))
    frozen = linen_store.freeze(tree)
    assert ours.to_bytes(frozen) == encoded
    assert type(ours.from_bytes(frozen, encoded)) is linen_store.FrozenDict
    box = nn.Partitioned(jnp.ones(2), ("x",))
    assert ours.to_bytes(box) == reference.to_bytes(flax.core.meta.Partitioned(jnp.ones(2), ("x",)))
    assert ours.from_bytes(box, ours.to_bytes(box)).names == ("x",)
    partial = jax.tree_util.Partial(max, 1, key=2)
    assert ours.to_bytes(partial) == reference.to_bytes(partial)
    assert ours.from_bytes(partial, ours.to_bytes(partial)).keywords == {"key": 2}


@pytest.mark.parametrize("size", [40, 64, 100])
def test_large_arrays_are_cut_up_alike(monkeypatch, size):
    monkeypatch.setattr(ours, "MAX_CHUNK_SIZE", 64)
    monkeypatch.setattr(reference, "MAX_CHUNK_SIZE", 64)
    tree = {"a": {"b": np.arange(size, dtype=np.int16).reshape(2, -1)}, "c": jnp.arange(size)}
    encoded = reference.to_bytes(tree)
    assert ours.to_bytes(tree) == encoded
    assert rendered(ours.from_bytes(tree, encoded)) == rendered(reference.from_bytes(tree, encoded))
    bare = np.arange(size)
    assert ours.to_bytes(bare) == reference.to_bytes(bare)
    assert ours.msgpack_restore(ours.to_bytes(bare)).tolist() == bare.tolist()


def test_early_named_tuples_are_restored():
    state = {"name": "Point", "fields": {"0": "x", "1": "y"}, "values": {"0": 1, "1": 2}}
    assert ours.from_state_dict(Point(0, 0), state) == reference.from_state_dict(Point(0, 0), state)


@pytest.mark.parametrize(
    ("target", "state", "message"),
    [
        (
            {"a": 1},
            {"b": 1},
            "Cannot restore the dict at '.': expected the names ['a'], found ['b']. Restore into a target of the structure that was saved.",
        ),
        (
            {"q": [1, 2]},
            {"q": {"0": 1}},
            "Cannot restore the sequence at './q': expected the names ['0', '1'], found ['0']. Restore into a target of the structure that was saved.",
        ),
        (
            Point(1, 2),
            {"x": 1, "z": 2},
            "Cannot restore the named tuple at '.': expected the names ['x', 'y'], found ['x', 'z']. Restore into a target of the structure that was saved.",
        ),
        (
            nn.Partitioned(1, ()),
            {"value": 1, "z": 2},
            "Cannot restore the Partitioned at '.': expected the names ['value'], found ['value', 'z']. Restore into a target of the structure that was saved.",
        ),
    ],
)
def test_a_state_of_another_structure(target, state, message):
    with pytest.raises(StateMismatchError) as caught:
        ours.from_state_dict(target, state)
    assert str(caught.value) == message
    if not isinstance(target, nn.Partitioned):
        with pytest.raises(ValueError, match="do not match"):
            reference.from_state_dict(target, state)


def test_a_state_that_is_no_mapping():
    with pytest.raises(StateMismatchError, match="found int"):
        ours.from_state_dict({"a": {"b": 1}}, {"a": 3})


def test_another_shape_is_told():
    with pytest.raises(StateShapeError) as caught:
        ours.from_bytes(
            {"a": {"w": jnp.ones((2, 3))}}, ours.to_bytes({"a": {"w": jnp.ones((3, 2))}})
        )
    assert str(caught.value) == (
        "Cannot restore the array at './a/w': expected the shape (2, 3), found (3, 2). "
        "Restore into a target of the shapes that were saved, or into None for the bare state."
    )


def test_registering():
    class Box:
        def __init__(self, item):
            self.item = item

    assert not ours.is_serializable(Box)
    paths = []

    def restore(box, state):
        paths.append(ours.current_path())
        return Box(state["item"])

    ours.register_serialization_state(Box, lambda box: {"item": box.item}, restore)
    assert ours.is_serializable(Box(1))
    assert ours.from_bytes([Box(0)], ours.to_bytes([Box(3)]))[0].item == 3
    assert paths == ["./0"]
    assert ours.current_path() == ""
    with pytest.raises(HandlerExistsError) as caught:
        ours.register_serialization_state(Box, vars, restore)
    assert str(caught.value) == (
        "Cannot register Box for serialization: it is already registered. Pass override=True to "
        "replace the registration."
    )
    ours.register_serialization_state(Box, lambda box: {1: 2}, restore, override=True)
    with pytest.raises(StateKeysError) as caught:
        ours.to_state_dict(Box(1))
    assert str(caught.value) == (
        "Cannot make a state dict of a Box: the function registered for it returned the keys [1], expected "
        "strings. Change the function that was passed to `register_serialization_state`."
    )
    reference.register_serialization_state(Box, lambda box: {1: 2}, restore)
    with pytest.raises(AssertionError):
        reference.to_state_dict(Box(1))
    assert isinstance(caught.value, AssertionError)


def test_keys_that_are_the_same_as_strings():
    with pytest.raises(AmbiguousKeysError) as caught:
        ours.to_state_dict({1: 0, "1": 0})
    assert str(caught.value) == (
        "Cannot make a state dict of a dict with the keys [1, '1']: some are the same as strings. "
        "Rename one of them."
    )
    with pytest.raises(ValueError, match="unique string"):
        reference.to_state_dict({1: 0, "1": 0})


@pytest.mark.parametrize(
    "value",
    [np.array([object()]), object(), {1, 2}, jax.random.key(0), nn.Dense(2), 2**64],
)
def test_what_cannot_be_serialized(value):
    with pytest.raises(UnsupportedStateError) as caught:
        ours.to_bytes({"a": value})
    with pytest.raises(Exception) as theirs:
        reference.to_bytes({"a": value})
    assert isinstance(caught.value, theirs.type)


@pytest.mark.parametrize(
    "value", [np.array(["text"]), np.array([b"raw"]), np.zeros(1, [("x", "f4")])]
)
def test_what_flax_could_not_read_again_is_not_written(value):
    with pytest.raises(UnsupportedStateError):
        ours.to_bytes({"a": value})


def test_numbers_of_another_byte_order_keep_their_value():
    swapped = np.arange(3, dtype=np.dtype(np.float32).newbyteorder("S"))
    assert reference.msgpack_restore(ours.to_bytes({"a": swapped}))["a"].tolist() == [0, 1, 2]


def ext(code, payload):
    return msgpack.packb(msgpack.ExtType(code, msgpack.packb(payload)))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x82\xa1a\x01",
        b"\x81\xa1a\x01trailing",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 5000 + b"\x01",
        ext(1, [[2], "float32", b"123"]),
        ext(1, [[2**40], "float32", b""]),
        ext(1, [[1], "object", b"12345678"]),
        ext(1, [[1], "nothing", b"1234"]),
        ext(1, [[-1], "int8", b"1234"]),
        ext(1, "x"),
        ext(2, [1]),
        ours.to_bytes({"__msgpack_chunked_array__": True, "shape": {"0": 2**40}, "chunks": {}}),
        ours.to_bytes({"__msgpack_chunked_array__": True, "shape": 3, "chunks": {}}),
        ours.to_bytes({"__msgpack_chunked_array__": True, "shape": {}, "chunks": {"0": 3}}),
        ext(1, [[1], 3, b"1234"]),
        ext(1, [[1], "f4,)(", b"1234"]),
    ],
    ids=range(20),
)
def test_bytes_that_are_damaged_or_hostile(raw):
    with pytest.raises(BadMsgpackError):
        ours.msgpack_restore(raw)


def test_mappings_nested_deeper_than_python_goes():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(700)  # others may have raised it
    try:
        with pytest.raises(BadMsgpackError):
            ours.msgpack_restore(b"\x81\xa1a" * 900 + b"\x01")
    finally:
        sys.setrecursionlimit(limit)
