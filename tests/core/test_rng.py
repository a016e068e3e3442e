"""RNG streams: the folding rule, suffixes and the recognition of keys."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linen_core.rng import LazyRng, fold_in_static, fold_number, is_valid_rng, is_valid_rngs

KEY = jax.random.key(0)
RAW = jax.random.PRNGKey(0)
suffixes = st.lists(st.one_of(st.text(), st.integers(0, 2**70))).map(tuple)


def same(one, other):
    return one.dtype == other.dtype and bool(jnp.all(one == other))


def number_by_the_rule(data):
    """SHA-1 over UTF-8 names and minimal-length big-endian integers; the first four bytes, big-endian."""
    text = b""
    for item in data:
        if isinstance(item, str):
            text += item.encode()
        else:
            rest, digits = item, []
            while rest:
                rest, digit = divmod(rest, 256)
                digits.insert(0, digit)
            text += bytes(digits)
    first, second, third, fourth = hashlib.sha1(text).digest()[:4]
    return ((first * 256 + second) * 256 + third) * 256 + fourth


@given(suffixes)
def test_the_number_follows_the_rule(data):
    assert fold_number(data) == number_by_the_rule(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (("a",), b"a"),
        (("a", "b"), b"ab"),
        (("a", 1), b"a\x01"),
        ((1, "a"), b"\x01a"),
        ((0,), b""),
        ((255,), b"\xff"),
        ((256,), b"\x01\x00"),
        ((1, 0), b"\x01"),
        (("é",), b"\xc3\xa9"),
    ],
)
def test_the_bytes_that_are_hashed(data, text):
    assert fold_number(data) == int.from_bytes(hashlib.sha1(text).digest()[:4], "big")


@pytest.mark.parametrize("key", [KEY, RAW], ids=["typed", "raw"])
@pytest.mark.parametrize("data", [("a",), ("encoder", "Dense_0", 1), (1,), (2**40,)])
def test_the_number_is_folded_once_as_jax_does(key, data):
    expected = jax.random.fold_in(key, np.uint32(number_by_the_rule(data)))
    assert same(fold_in_static(key, data), expected)


@pytest.mark.parametrize("key", [KEY, RAW], ids=["typed", "raw"])
def test_nothing_to_fold_leaves_the_key(key):
    assert fold_in_static(key, ()) is key
    assert LazyRng(key).as_jax_rng() is key


@pytest.mark.parametrize(
    ("item", "kind"), [(1.0, "float"), (None, "NoneType"), (b"a", "bytes"), (-1, "int")]
)
def test_other_entries_are_refused(item, kind):
    with pytest.raises(ValueError) as caught:
        fold_in_static(KEY, ("a", item))
    assert str(caught.value) == (
        f"Cannot fold {item!r} into a key: expected a str or an int of at least 0, found {kind}."
    )


def test_folding_works_under_jit_and_vmap():
    data = ("encoder", 3)
    expected = fold_in_static(KEY, data)
    assert same(jax.jit(lambda key: fold_in_static(key, data))(KEY), expected)
    keys = jax.random.split(KEY, 3)
    each = jnp.stack([fold_in_static(key, data) for key in keys])
    assert same(jax.vmap(lambda key: fold_in_static(key, data))(keys), each)


@given(suffixes, suffixes)
def test_a_suffix_grows_at_its_end(first, second):
    stream = LazyRng.create(LazyRng.create(KEY, *first), *second)
    assert stream.suffix == first + second
    assert stream.rng is KEY


def test_a_stream_draws_from_its_key_and_suffix():
    stream = LazyRng.create(KEY, "encoder", 1)
    assert same(stream.as_jax_rng(), fold_in_static(KEY, ("encoder", 1)))


def test_extending_leaves_the_stream_unchanged():
    stream = LazyRng.create(KEY, "a")
    LazyRng.create(stream, "b")
    assert stream.suffix == ("a",)


def test_a_cleared_stream_has_the_key_alone():
    cleared = LazyRng.create(KEY, "a", 1).clear_suffix()
    assert cleared.suffix == ()
    assert cleared.rng is KEY


def test_a_stream_is_a_pytree_of_its_key_with_a_static_suffix():
    stream = LazyRng.create(KEY, "a", 1)
    leaves, structure = jax.tree.flatten(stream)
    assert len(leaves) == 1
    assert leaves[0] is KEY
    assert structure != jax.tree.structure(LazyRng.create(KEY, "a", 2))
    assert jax.tree.unflatten(structure, leaves).suffix == ("a", 1)
    assert jax.tree_util.keystr(jax.tree_util.tree_leaves_with_path(stream)[0][0]) == ".rng"


def test_a_stream_passes_through_jit():
    stream = LazyRng.create(KEY, "a", 1)
    assert same(jax.jit(lambda s: LazyRng.create(s, "b").as_jax_rng())(stream),
                fold_in_static(KEY, ("a", 1, "b")))  # fmt: skip


def test_the_representation_shows_key_and_suffix():
    assert repr(LazyRng(3, ("a", 1))) == "LazyRng(rng=3, suffix=('a', 1))"


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (KEY, True),
        (RAW, True),
        (np.asarray(RAW), True),
        (LazyRng(KEY), True),
        (jax.random.split(KEY, 2), False),
        (jax.random.split(RAW, 3), False),
        (jnp.zeros(2, jnp.int32), False),
        (jnp.zeros(3, jnp.uint32), False),
        (np.zeros((), np.uint32), False),
        (0, False),
        (None, False),
        ((0, 0), False),
        ("params", False),
    ],
)
def test_recognises_single_keys(value, valid):
    assert is_valid_rng(value) is valid


def test_the_shape_of_a_raw_key_is_that_of_the_default_generator():
    wide = np.zeros(4, np.uint32)
    assert not is_valid_rng(wide)
    with jax.default_prng_impl("rbg"):
        assert is_valid_rng(wide)
        assert not is_valid_rng(RAW)


def test_recognises_keys_under_a_trace():
    seen = []
    jax.make_jaxpr(lambda *keys: seen.extend(map(is_valid_rng, keys)))(KEY, RAW, jnp.zeros(2))
    assert seen == [True, True, False]


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ({}, True),
        ({"params": KEY}, True),
        ({"params": KEY, "dropout": RAW}, True),
        ({"params": KEY, "dropout": 0}, False),
        ({0: KEY}, False),
        (KEY, False),
        ([("params", KEY)], False),
        (None, False),
    ],
)
def test_recognises_mappings_of_keys(value, valid):
    assert is_valid_rngs(value) is valid
