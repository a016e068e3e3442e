"""Attention as functions of a scope."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from linen_core.scope import Scope
from linen_core.scope_layers._attention_masks import (
    CacheEntry,
    attention_axes,
    make_causal_mask,
    make_padding_mask,
    update_cache,
)
from linen_core.scope_layers.linear import default_bias_init, default_kernel_init, dense_general
from linen_core.typing import Array, Dtype, Initializer, PrecisionLike, PRNGKey

__all__ = [
    "CacheEntry",
    "dot_product_attention",
    "make_padding_mask",
    "multi_head_dot_product_attention",
]


def dot_product_attention(
    scope: Scope,
    query: Array,
    key: Array,
    value: Array,
    dtype: Dtype = jnp.float32,
    bias: Array | None = None,
    axis: int | Sequence[int] | None = None,
    broadcast_dropout: bool = True,
    dropout_rng: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    precision: PrecisionLike = None,
) -> Array:
    """Attend over one or more axes; `linen_core.dot_product_attention` does over the axis before the heads.

    Args:
      scope: a scope with the RNG stream ``dropout``, if elements are dropped and ``dropout_rng`` is not given.
      query: an array of shape (batch, positions, heads, features).
      key: an array of that shape, with positions of its own.
      value: an array of the shape of the keys.
      dtype: dtype of the weights.
      bias: added to the logits, of shape (batch, heads, positions of queries, positions of keys).
      axis: the axes of the positions; by default all between the batch and the heads.
      broadcast_dropout: whether the same weights are dropped for each head and each entry of the batch.
      dropout_rng: a key to use in place of the stream.
      dropout_rate: the probability to drop a weight.
      deterministic: whether no weight is dropped.
      precision: as for `jax.lax.dot_general`.

    Returns:
      An array of the shape of the queries.

    Raises:
      ValueError: an axis is that of the batch, the heads or the features.
      AssertionError: the shapes do not fit together.

    Example:
      >>> from linen_core.scope import apply
      >>> x = jnp.ones((2, 5, 3, 4))
      >>> apply(dot_product_attention)({}, x, x, x).shape
      (2, 5, 3, 4)
    """
    _check_fit(query, key, value)
    axes = attention_axes(axis, key.ndim)
    count, last = len(axes), key.ndim - 1
    kept = tuple(number for number in range(last) if number not in axes)
    order = (*kept, *axes, last)
    batch = tuple(range(len(kept)))
    weights = lax.dot_general(
        query.transpose(order) / jnp.sqrt(query.shape[-1]).astype(dtype),
        key.transpose(order),
        (((last,), (last,)), (batch, batch)),
        precision=precision,
    )
    if bias is not None:
        weights = weights + bias
    summed = tuple(range(weights.ndim - count, weights.ndim))
    normalizer = jax.scipy.special.logsumexp(weights, axis=summed, keepdims=True)
    weights = lax.exp(weights - normalizer).astype(dtype)
    if not deterministic and dropout_rate > 0.0:
        dropout_rng = scope.make_rng("dropout") if dropout_rng is None else dropout_rng
        shape = weights.shape
        if broadcast_dropout:
            shape = (1,) * len(kept) + shape[len(kept) :]
        keep = jax.random.bernoulli(dropout_rng, 1.0 - dropout_rate, shape)
        weights = weights * (keep.astype(dtype) / jnp.asarray(1.0 - dropout_rate, dtype))
    values = value.transpose(*kept, last, *axes)
    y = lax.dot_general(
        weights,
        values,
        ((summed, tuple(range(values.ndim - count, values.ndim))), (batch, batch)),
        precision=precision,
    )
    return y.transpose(sorted(range(len(order)), key=order.__getitem__))


def _check_fit(query: Array, key: Array, value: Array) -> None:
    fit = (
        key.shape[:-1] == value.shape[:-1]
        and query.ndim == key.ndim
        and (query.shape[0], query.shape[-1]) == (key.shape[0], key.shape[-1])
    )
    if not fit:
        msg = (
            f"Cannot attend: the shapes {query.shape}, {key.shape} and {value.shape} of query, key and value do not "
            "fit together. Key and value differ in their last axis only, query and key in their positions only."
        )
        raise AssertionError(msg)


def multi_head_dot_product_attention(
    scope: Scope,
    inputs_q: Array,
    inputs_kv: Array | None,
    num_heads: int,
    dtype: Dtype = jnp.float32,
    qkv_features: int | None = None,
    out_features: int | None = None,
    attention_axis: tuple[int, ...] | None = None,
    causal_mask: bool = False,
    padding_mask: Array | None = None,
    key_padding_mask: Array | None = None,
    segmentation: Array | None = None,
    key_segmentation: Array | None = None,
    cache: bool = False,
    broadcast_dropout: bool = True,
    dropout_rng: PRNGKey | None = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    precision: PrecisionLike = None,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = default_bias_init,
    bias: bool = True,
    attention_fn: Callable[..., Array] = dot_product_attention,
) -> Array:
    """Project to queries, keys and values, attend with several heads, and project the result.

    Args:
      scope: holds the parameters of ``query``, ``key``, ``value`` and ``out``.
      inputs_q: the inputs of the queries, of shape (batch, positions, features).
      inputs_kv: the inputs of keys and values; None for ``inputs_q``.
      num_heads: number of heads; divides ``qkv_features``.
      dtype: dtype of the computation.
      qkv_features: features of queries, keys and values of all heads; those of the inputs by default.
      out_features: features of the result; those of the inputs by default.
      attention_axis: the axes of the positions; by default all between batch and features.
      causal_mask: whether a query sees no later positions.
      padding_mask: which queries are tokens, of shape (batch, positions, 1).
      key_padding_mask: which keys are tokens; ``padding_mask`` by default.
      segmentation: the segments of queries, of shape (batch, positions, 1). Tokens see their own segment only.
      key_segmentation: the segments of keys; ``segmentation`` by default.
      cache: whether to decode one position at a time, with the variable ``entry`` of the collection ``cache``.
      broadcast_dropout: as for `dot_product_attention`, as are the next two.
      dropout_rng: a key to use in place of the stream ``dropout``.
      dropout_rate: the probability to drop a weight.
      deterministic: whether no weight is dropped.
      precision: as for `jax.lax.dot_general`.
      kernel_init: initializer of the kernels.
      bias_init: initializer of the biases.
      bias: whether the projections have biases.
      attention_fn: a function with the arguments of `dot_product_attention`.

    Returns:
      An array of shape (batch, positions, out_features).

    Raises:
      AssertionError: the heads do not divide the features, or ``cache`` is used without ``causal_mask``.
      ValueError: the cache holds no arrays yet, or the input has more than one position.

    Example:
      >>> from linen_core.scope import init
      >>> y, variables = init(multi_head_dot_product_attention)(jax.random.key(0), jnp.ones((2, 5, 8)), None, 4)
      >>> y.shape, variables["params"]["query"]["kernel"].shape
      ((2, 5, 8), (8, 4, 2))
    """
    features = qkv_features or inputs_q.shape[-1]
    _check_arguments(features, num_heads, causal_mask, cache)
    options: dict[str, Any] = {
        "kernel_init": kernel_init,
        "bias_init": bias_init,
        "bias": bias,
        "dtype": dtype,
        "precision": precision,
    }
    project = functools.partial(
        dense_general, features=(num_heads, features // num_heads), axis=-1, **options
    )
    inputs_kv = inputs_q if inputs_kv is None else inputs_kv
    query = scope.child(project, "query")(inputs_q)
    key = scope.child(project, "key")(inputs_kv)
    value = scope.child(project, "value")(inputs_kv)
    axes = attention_axis or tuple(range(1, inputs_q.ndim - 1))
    entry = update_cache(scope, inputs_q, key, value, axes) if cache else None
    if entry is not None:
        key, value, key_padding_mask = entry.key, entry.value, _known_positions(entry)
    masks = [_causal(key, axes, entry)] if causal_mask else []
    shapes = (query.shape, key.shape, axes)
    for mask, key_mask, compares in (
        (padding_mask, key_padding_mask, False),
        (segmentation, key_segmentation, True),
    ):
        if mask is not None:
            key_mask = mask if key_mask is None else key_mask  # noqa: PLW2901
            masks.append(make_padding_mask(mask, key_mask, *shapes, compares))
    x = scope.child(attention_fn)(
        query,
        key,
        value,
        dtype=dtype,
        axis=axes,
        bias=_as_bias(masks, dtype),
        precision=precision,
        dropout_rng=dropout_rng,
        dropout_rate=dropout_rate,
        broadcast_dropout=broadcast_dropout,
        deterministic=deterministic,
    )
    out = functools.partial(
        dense_general, features=out_features or inputs_q.shape[-1], axis=(-2, -1), **options
    )
    return scope.child(out, "out")(x)


def _check_arguments(features: int, num_heads: int, causal_mask: bool, cache: bool) -> None:
    if cache and not causal_mask:
        msg = "Cannot use a cache without a causal mask. Pass causal_mask=True."
        raise AssertionError(msg)
    if features % num_heads:
        msg = f"Cannot split {features} features over {num_heads} heads. Choose a divisor of {features}."
        raise AssertionError(msg)


def _known_positions(entry: CacheEntry) -> Array:
    """Return which positions of a cache are filled, of shape (batch, positions, 1)."""
    batch, positions = entry.key.shape[:2]
    filled = (jnp.arange(positions) < entry.i).astype(jnp.float32)
    return jnp.broadcast_to(filled, (batch, positions))[..., None]


def _causal(key: Array, axes: tuple[int, ...], entry: CacheEntry | None) -> Array:
    if entry is None:
        return make_causal_mask(key, axes)
    sizes = tuple(key.shape[axis] for axis in axes)
    filled = jnp.arange(math.prod(sizes), dtype=jnp.uint32) < entry.i
    return filled.reshape((1,) * (key.ndim - 1) + sizes)


def _as_bias(masks: Sequence[Array], dtype: Dtype) -> Array | None:
    if not masks:
        return None
    visible = functools.reduce(jnp.logical_and, masks)
    return jnp.where(visible > 0, 0.0, -1e10).astype(dtype)
