"""Attention functions of queries, keys and values, and functions that create masks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from linen_core.errors import LayerArgumentError, LayerShapeError, MaskShapeError
from linen_core.layers._common import where as where_of
from linen_core.layers._staging import staged
from linen_core.layers.dtypes import promote_dtype
from linen_core.module import Module
from linen_core.typing import Array, Dtype, PrecisionLike, PRNGKey

__all__ = [
    "check_mask",
    "combine_masks",
    "dot_product_attention",
    "dot_product_attention_weights",
    "make_attention_mask",
    "make_causal_mask",
]

SCORES = "...qhd,...khd->...hqk"
OUTPUT = "...hqk,...khd->...qhd"


class _Options(NamedTuple):
    """Static options of attention."""

    dtype: Any
    precision: Any
    float32_softmax: bool
    broadcast_dropout: bool
    dropout_rate: float


def _make_einsum(
    precision: PrecisionLike, dot_general: Callable[..., Any] | None
) -> Callable[..., Array]:
    return functools.partial(
        jnp.einsum, precision=precision, _dot_general=dot_general or lax.dot_general
    )


def _softmax_scores(
    query: Array,
    key: Array,
    bias: Array | None,
    mask: Array | None,
    options: _Options,
    einsum: Callable[..., Array] | None = None,
) -> Array:
    query, key = promote_dtype(query, key, dtype=options.dtype)
    dtype = query.dtype
    query = query / jnp.sqrt(query.shape[-1]).astype(dtype)
    scores = (einsum or _make_einsum(options.precision, None))(SCORES, query, key)
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        # The lowest finite number instead of -inf: a fully masked row then has equal weights instead of nan.
        lowest = jnp.finfo(dtype).min  # type: ignore[no-untyped-call]
        scores = jnp.where(mask, scores, lowest)
    if options.float32_softmax and dtype != jnp.float32:
        return jax.nn.softmax(scores.astype(jnp.float32))
    return jax.nn.softmax(scores).astype(dtype)


def _drop_weights(weights: Array, key: PRNGKey | None, options: _Options, dtype: Dtype) -> Array:
    if options.dropout_rate <= 0.0:
        return weights
    keep = 1.0 - options.dropout_rate
    shape = weights.shape
    if options.broadcast_dropout:
        shape = (1,) * (weights.ndim - 2) + shape[-2:]
    is_kept = random.bernoulli(key, keep, shape)  # type: ignore[arg-type]
    return weights * (is_kept.astype(dtype) / jnp.asarray(keep, dtype=dtype))


def _attend(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None,
    mask: Array | None,
    dropout_rng: PRNGKey | None,
    options: _Options,
) -> Array:
    # Values take part in the promotion, so the scores must not be promoted from queries and keys alone.
    query, key, value = promote_dtype(query, key, value, dtype=options.dtype)
    weights = _softmax_scores(query, key, bias, mask, options._replace(dtype=query.dtype))
    weights = _drop_weights(weights, dropout_rng, options, query.dtype)
    return _make_einsum(options.precision, None)(OUTPUT, weights, value)


_attend_staged = staged("options")(_attend)
_softmax_scores_staged = staged("options")(_softmax_scores)
_drop_weights_staged = staged("options", "dtype")(_drop_weights)


def _check_shapes(**arrays: Array) -> None:
    """Check that the shapes of queries, keys and values match."""
    where = "dot_product_attention"
    (_, query), *others = arrays.items()
    for name, array in others:
        parts = [
            ("the same rank as the queries", query, array.ndim == query.ndim),
            ("the batch axes of the queries", query, array.shape[:-3] == query.shape[:-3]),
            ("as many heads as the queries", query, array.shape[-2:-1] == query.shape[-2:-1]),
        ]
        if name == "key":
            parts.append(("the depth of the queries", query, array.shape[-1:] == query.shape[-1:]))
        else:
            key = arrays["key"]
            parts.append(("the length of the keys", key, array.shape[-3] == key.shape[-3]))
        for expected, other, is_met in parts:
            if not is_met:
                found = f"of shape {array.shape}"
                raise LayerShapeError(where, name, found, f"{expected}, of shape {other.shape}")


def check_mask(owner: Module | str, mask: Array | None, query: Array, key: Array) -> None:
    """Check that a mask broadcasts with the attention weights; ``owner`` is named in the error."""
    if mask is None:
        return
    weights = (*query.shape[:-3], query.shape[-2], query.shape[-3], key.shape[-3])
    try:
        np.broadcast_shapes(jnp.shape(mask), weights)
    except ValueError:
        raise MaskShapeError(
            owner if isinstance(owner, str) else where_of(owner),
            "mask",
            f"of shape {jnp.shape(mask)}",
            f"a shape that broadcasts to (batch..., heads, queries, keys), which is {weights}",
        ) from None


def _check_einsums(
    where: str, precision: PrecisionLike, dot_general: object, **einsums: object
) -> None:
    """Check that replacements for einsum are not combined with options of the default einsum."""
    options = {"precision": precision, "einsum_dot_general": dot_general}
    given, ignored = ([name for name in group if group[name]] for group in (einsums, options))
    if given and ignored:
        others = "` and `".join(ignored)
        raise LayerArgumentError(
            where,
            "` and `".join(given),
            f"given together with `{others}`",
            "one of the two",
            f"Leave out `{others}`: the function passed for einsum sets its own, for example "
            "functools.partial(jnp.einsum, precision=...).",
        )


def dot_product_attention_weights(
    query: Array,
    key: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Dtype | None = None,
    precision: PrecisionLike = None,
    module: Module | None = None,
    force_fp32_for_softmax: bool = False,
    einsum_dot_general: Callable[..., Array] | None = None,
    einsum: Callable[..., Array] | None = None,
) -> Array:
    """Compute attention weights: `softmax(query @ key.T / sqrt(depth) + bias)` over the keys.

    A row whose mask is false everywhere gets equal weights, unless a bias makes its scores differ.

    Args:
      query: an array of shape (batch..., queries, heads, depth).
      key: an array of shape (batch..., keys, heads, depth).
      bias: added to the scores; it broadcasts to (batch..., heads, queries, keys).
      mask: a key gets no weight where it is false (or 0); it broadcasts to the same shape.
      broadcast_dropout: drop the same weights in all batches and heads.
      dropout_rng: the key for dropout.
      dropout_rate: the probability that a weight is dropped.
      deterministic: disable dropout.
      dtype: dtype to compute in; by default the promoted dtype of queries and keys.
      precision: precision of the product, see `jax.lax.Precision`.
      module: a module that sows the weights, before dropout, as `attention_weights` in the collection
        `intermediates`.
      force_fp32_for_softmax: compute the softmax, and return the weights, in float32.
      einsum_dot_general: replacement for `jax.lax.dot_general`.
      einsum: replacement for `jax.numpy.einsum`; it excludes `precision` and `einsum_dot_general`.

    Returns:
      An array of shape (batch..., heads, queries, keys).

    Raises:
      LayerShapeError: the shapes of queries and keys do not match.
      LayerArgumentError: the shape of the mask does not match, or arguments exclude each other.

    >>> import jax.numpy as jnp
    >>> q, k = jnp.ones((3, 1, 4)), jnp.ones((2, 1, 4))
    >>> print(dot_product_attention_weights(q, k)[0, 0])
    [0.5 0.5]
    """
    name = "dot_product_attention_weights"
    _check_einsums(name, precision, einsum_dot_general, einsum=einsum)
    _check_shapes(query=query, key=key)
    check_mask(name, mask, query, key)
    query, key = promote_dtype(query, key, dtype=dtype)
    dtype = query.dtype
    rate = 0.0 if deterministic else dropout_rate
    options = _Options(dtype, precision, force_fp32_for_softmax, broadcast_dropout, rate)
    if einsum is None and einsum_dot_general is not None:
        einsum = _make_einsum(precision, einsum_dot_general)
    if einsum is None:
        weights = _softmax_scores_staged(query, key, bias, mask, options)
    else:
        weights = _softmax_scores(query, key, bias, mask, options, einsum)
    if module:
        module.sow("intermediates", "attention_weights", weights)
    return _drop_weights_staged(weights, dropout_rng, options, dtype) if rate > 0.0 else weights


def dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Dtype | None = None,
    precision: PrecisionLike = None,
    module: Module | None = None,
    force_fp32_for_softmax: bool = False,
    einsum_dot_general: Callable[..., Array] | None = None,
    qk_attn_weights_einsum: Callable[..., Array] | None = None,
    attn_weights_value_einsum: Callable[..., Array] | None = None,
) -> Array:
    """Sum the values, weighted by the similarity of their keys to each query.

    The weights are those of `dot_product_attention_weights`. Source: Vaswani et al., 2017,
    https://arxiv.org/abs/1706.03762.

    Args:
      query: an array of shape (batch..., queries, heads, depth).
      key: an array of shape (batch..., keys, heads, depth).
      value: an array of shape (batch..., keys, heads, value depth).
      bias: added to the scores; it broadcasts to (batch..., heads, queries, keys).
      mask: a key gets no weight where it is false (or 0); it broadcasts to the same shape.
      broadcast_dropout: drop the same weights in all batches and heads.
      dropout_rng: the key for dropout.
      dropout_rate: the probability that a weight is dropped.
      deterministic: disable dropout.
      dtype: dtype to compute in; by default the promoted dtype of queries, keys and values.
      precision: precision of the products, see `jax.lax.Precision`.
      module: a module that sows the weights, before dropout, as `attention_weights` in the collection
        `intermediates`.
      force_fp32_for_softmax: compute the softmax in float32.
      einsum_dot_general: replacement for `jax.lax.dot_general`.
      qk_attn_weights_einsum: replacement for `jax.numpy.einsum` in the weights. It excludes `precision` and
        `einsum_dot_general`, and needs `attn_weights_value_einsum`.
      attn_weights_value_einsum: replacement for `jax.numpy.einsum` in the sum of the values.

    Returns:
      An array of shape (batch..., queries, heads, value depth).

    Raises:
      LayerShapeError: the shapes of queries, keys and values do not match.
      LayerArgumentError: the shape of the mask does not match, or arguments exclude or need each other.

    >>> import jax.numpy as jnp
    >>> q, k, v = jnp.ones((3, 1, 4)), jnp.ones((2, 1, 4)), jnp.array([[[1.0]], [[3.0]]])
    >>> print(dot_product_attention(q, k, v)[:, 0, 0])
    [2. 2. 2.]
    """
    name = "dot_product_attention"
    einsums = {
        "qk_attn_weights_einsum": qk_attn_weights_einsum,
        "attn_weights_value_einsum": attn_weights_value_einsum,
    }
    if bool(qk_attn_weights_einsum) != bool(attn_weights_value_einsum):
        given = next(key for key, einsum in einsums.items() if einsum)
        raise LayerArgumentError(name, given, "given alone", f"both of {' and '.join(einsums)}")
    _check_einsums(name, precision, einsum_dot_general, **einsums)
    _check_shapes(query=query, key=key, value=value)
    check_mask(name, mask, query, key)
    if not module and not einsum_dot_general and not qk_attn_weights_einsum:
        rate = 0.0 if deterministic else dropout_rate
        options = _Options(dtype, precision, force_fp32_for_softmax, broadcast_dropout, rate)
        return _attend_staged(query, key, value, bias, mask, dropout_rng, options)
    query, key, value = promote_dtype(query, key, value, dtype=dtype)
    weights = dot_product_attention_weights(
        query,
        key,
        bias,
        mask,
        broadcast_dropout,
        dropout_rng,
        dropout_rate,
        deterministic,
        query.dtype,
        precision,
        module,
        force_fp32_for_softmax,
        einsum_dot_general=einsum_dot_general,
        einsum=qk_attn_weights_einsum,
    )
    einsum = attn_weights_value_einsum or _make_einsum(precision, einsum_dot_general)
    return einsum(OUTPUT, weights, value)


def make_attention_mask(
    query_input: Array,
    key_input: Array,
    pairwise_fn: Callable[..., Any] = jnp.multiply,
    extra_batch_dims: int = 0,
    dtype: Dtype = jnp.float32,
) -> Array:
    """Create an attention mask from a function of a query and a key.

    Args:
      query_input: an array of shape (batch..., queries), for example false for padding and true elsewhere.
      key_input: an array of shape (batch..., keys).
      pairwise_fn: a function of two arrays that broadcast to all pairs of a query and a key.
      extra_batch_dims: number of leading axes of size 1 to add.
      dtype: dtype of the mask.

    Returns:
      An array of shape (batch..., 1, queries, keys).

    >>> import jax.numpy as jnp
    >>> print(make_attention_mask(jnp.array([1, 1]), jnp.array([1, 0]))[0])
    [[1. 0.]
     [1. 0.]]
    """
    mask = pairwise_fn(jnp.expand_dims(query_input, axis=-1), jnp.expand_dims(key_input, axis=-2))
    mask = jnp.expand_dims(mask, axis=-3)
    mask = jnp.expand_dims(mask, axis=tuple(range(extra_batch_dims)))
    return mask.astype(dtype)


def make_causal_mask(x: Array, extra_batch_dims: int = 0, dtype: Dtype = jnp.float32) -> Array:
    """Create the mask in which each position attends to itself and to the positions before it.

    Args:
      x: an array of shape (batch..., length); only its shape matters.
      extra_batch_dims: number of leading axes of size 1 to add.
      dtype: dtype of the mask.

    Returns:
      An array of shape (batch..., 1, length, length).

    >>> import jax.numpy as jnp
    >>> print(make_causal_mask(jnp.ones(2))[0])
    [[1. 0.]
     [1. 1.]]
    """
    positions = jnp.broadcast_to(jnp.arange(x.shape[-1], dtype=jnp.int32), x.shape)
    return make_attention_mask(positions, positions, jnp.greater_equal, extra_batch_dims, dtype)


def combine_masks(*masks: Array | None, dtype: Dtype = jnp.float32) -> Array | None:
    """Combine masks by logical and.

    Args:
      *masks: arrays of the same rank that broadcast; None is skipped.
      dtype: dtype of the mask.

    Returns:
      A mask, or None if all masks are None.

    Raises:
      LayerShapeError: the ranks of the masks differ.

    >>> import jax.numpy as jnp
    >>> print(combine_masks(jnp.array([1, 1]), None, jnp.array([1, 0])))
    [1. 0.]
    """
    given = [mask for mask in masks if mask is not None]
    if not given:
        return None
    ranks = tuple(mask.ndim for mask in given)
    if len(set(ranks)) > 1:
        where = "combine_masks"
        raise LayerShapeError(where, "masks", f"of ranks {ranks}", "masks of the same rank")
    return functools.reduce(jnp.logical_and, given).astype(dtype)
