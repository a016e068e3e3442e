"""Attention layers: MultiHeadDotProductAttention and its variants. Also exports the attention functions."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
from jax import lax

from linen_core._jax_compat import Tracer
from linen_core.errors import LayerArgumentError, LayerShapeError
from linen_core.layers import initializers
from linen_core.layers._attention_functions import (
    check_mask,
    combine_masks,
    dot_product_attention,
    dot_product_attention_weights,
    make_attention_mask,
    make_causal_mask,
)
from linen_core.layers._common import default_kernel_init, where
from linen_core.layers.dense import DenseGeneral
from linen_core.layers.dtypes import promote_dtype as promote_dtype
from linen_core.layers.normalization import LayerNorm
from linen_core.module import Module, compact, merge_param, nowrap
from linen_core.typing import Array, DotGeneralT, Dtype, Initializer, PrecisionLike, PRNGKey

__all__ = [
    "MultiHeadAttention",
    "MultiHeadDotProductAttention",
    "SelfAttention",
    "combine_masks",
    "dot_product_attention",
    "dot_product_attention_weights",
    "make_attention_mask",
    "make_causal_mask",
]


def _zero_index() -> Array:
    return jnp.array(0, dtype=jnp.int32)


def _warn_of_ignored(layer: Module, arguments: dict[str, Any], parameters: Iterable[str]) -> None:
    """Warn of arguments that change the result, but that the attention function does not take."""
    names = ["mask", "qk_attn_weights_einsum", "attn_weights_value_einsum"]
    if arguments["dropout_rate"] > 0.0 and not arguments["deterministic"]:
        names.append("dropout_rate")
    ignored = [name for name in names if name not in parameters and arguments[name] is not None]
    if ignored:
        msg = (
            f"{where(layer)} ignores {', '.join(ignored)}: its `attention_fn` has no parameter of that name. Name it "
            "in the function's signature; **kwargs do not receive it."
        )
        warnings.warn(msg, RuntimeWarning, stacklevel=3)


class MultiHeadDotProductAttention(Module):
    """Multi-head attention: project to queries, keys and values, attend in each head, project back.

    The parameters are those of the DenseGeneral layers `query`, `key` and `value`, each with (num_heads,
    qkv_features / num_heads) features, and `out`. Source: Vaswani et al., 2017,
    https://arxiv.org/abs/1706.03762.

    Attributes:
      num_heads: number of heads.
      dtype: dtype to compute in; by default the promoted dtype of inputs and parameters.
      param_dtype: dtype of the parameters.
      qkv_features: number of features of queries, keys and values, in all heads together; by default that of the input.
      out_features: number of features of the output; by default that of the input.
      broadcast_dropout: drop the same weights in all batches and heads.
      dropout_rate: the probability that an attention weight is dropped.
      deterministic: disable dropout. With a dropout rate it is given here or in the call.
      precision: precision of the products, see `jax.lax.Precision`.
      kernel_init: initializer of the kernels.
      out_kernel_init: initializer of the last kernel; by default `kernel_init`.
      bias_init: initializer of the biases.
      out_bias_init: initializer of the last bias; by default `bias_init`.
      use_bias: whether to add biases.
      attention_fn: function with the arguments of `dot_product_attention`, or some of them. It gets the arguments that
        its signature names; `**kwargs` gets none. If that drops a mask, dropout or an einsum replacement, the layer
        raises a RuntimeWarning. A missing `dtype` or `precision` is ignored silently.
      decode: attend to one position after another, and keep keys and values in the collection
        `cache`. `init` with an input of full length creates the cache. Decoding beyond that length overwrites the
        last position. Outside of JAX transforms, which hide the position, it also raises a RuntimeWarning.
      normalize_qk: normalize queries and keys by LayerNorm (Dehghani et al., 2023,
        https://arxiv.org/abs/2302.05442).
      force_fp32_for_softmax: compute the softmax in float32.
      qkv_dot_general: replacement for `jax.lax.dot_general` in the first projections.
      out_dot_general: such a replacement in the last projection.
      qkv_dot_general_cls: class of such a replacement for the first projections, created without arguments.
        It takes precedence over `qkv_dot_general`.
      out_dot_general_cls: class of such a replacement for the last projection, created without arguments. It
        takes precedence over `out_dot_general`.
      qk_attn_weights_einsum_cls: class of a replacement for `jax.numpy.einsum` in the attention weights,
        created without arguments.
      attn_weights_value_einsum_cls: class of such a replacement in the sum of the values.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=8)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 3, 5)))
    >>> print(y.shape, variables["params"]["query"]["kernel"].shape)
    (1, 3, 5) (5, 2, 4)
    """

    num_heads: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    qkv_features: int | None = None
    out_features: int | None = None
    broadcast_dropout: bool = True
    dropout_rate: float = 0.0
    deterministic: bool | None = None
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    out_kernel_init: Initializer | None = None
    bias_init: Initializer = initializers.zeros_init()
    out_bias_init: Initializer | None = None
    use_bias: bool = True
    attention_fn: Callable[..., Array] = dot_product_attention
    decode: bool = False
    normalize_qk: bool = False
    force_fp32_for_softmax: bool = False
    qkv_dot_general: DotGeneralT | None = None
    out_dot_general: DotGeneralT | None = None
    qkv_dot_general_cls: Any = None
    out_dot_general_cls: Any = None
    qk_attn_weights_einsum_cls: Callable[..., Callable[..., Array]] | None = None
    attn_weights_value_einsum_cls: Callable[..., Callable[..., Array]] | None = None

    @compact
    def __call__(
        self,
        inputs_q: Array,
        inputs_k: Array | None = None,
        inputs_v: Array | None = None,
        *,
        inputs_kv: Array | None = None,
        mask: Array | None = None,
        deterministic: bool | None = None,
        dropout_rng: PRNGKey | None = None,
        sow_weights: bool = False,
    ) -> Array:
        """Apply attention.

        Args:
          inputs_q: input of the queries, an array of shape (batch..., queries, features).
          inputs_k: input of the keys, an array of shape (batch..., keys, features); by default
            `inputs_q`.
          inputs_v: input of the values, an array of shape (batch..., keys, features); by default
            `inputs_k`.
          inputs_kv: input of keys and values. Deprecated: pass `inputs_k`.
          mask: boolean array; a query does not attend to a key where it is false. It broadcasts to
            (batch..., heads, queries, keys).
          deterministic: disable dropout; needed if the field is None.
          dropout_rng: the key for dropout, instead of one from the stream `dropout`.
          sow_weights: sow the weights as `attention_weights` in the collection `intermediates`.

        Returns:
          An array of shape (batch..., queries, out_features).

        Raises:
          LayerShapeError: the number of features is not a multiple of the number of heads, or the shapes of the
            inputs do not match.
          LayerArgumentError: the combination of inputs is invalid; the shape of the mask does not match; or in decoding
            the input is not a single position with the batch shape of the cache.
        """
        inputs_k, inputs_v = self._keys_and_values(inputs_q, inputs_k, inputs_v, inputs_kv)
        query, key, value = self._project(inputs_q, inputs_k, inputs_v)
        if self.decode:
            key, value, mask = self._extend_cache(query, key, value, mask)
        no_dropout = True
        if self.dropout_rate > 0.0:
            no_dropout = merge_param("deterministic", self.deterministic, deterministic)
            if not no_dropout and dropout_rng is None:
                dropout_rng = self.make_rng("dropout")
        # Another attention function may accept masks of another shape.
        if self.attention_fn is dot_product_attention:
            check_mask(self, mask, query, key)
        x = self._attend(query, key, value, mask, no_dropout, dropout_rng, sow_weights)
        return DenseGeneral(
            features=self.out_features or inputs_q.shape[-1],
            axis=(-2, -1),
            kernel_init=self.out_kernel_init or self.kernel_init,
            bias_init=self.out_bias_init or self.bias_init,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            precision=self.precision,
            dot_general=self.out_dot_general,
            dot_general_cls=self.out_dot_general_cls,
            name="out",
        )(x)

    @nowrap
    def _keys_and_values(
        self,
        inputs_q: Array,
        inputs_k: Array | None,
        inputs_v: Array | None,
        inputs_kv: Array | None,
    ) -> tuple[Array, Array]:
        """Return the inputs of keys and values, with the defaults for missing ones."""
        if inputs_kv is not None:
            if inputs_k is not None or inputs_v is not None:
                raise LayerArgumentError(
                    where(self),
                    "inputs_kv",
                    "given together with `inputs_k` or `inputs_v`",
                    "either it or the other two",
                    "Pass `inputs_k` and `inputs_v`; `inputs_kv` is deprecated.",
                )
            msg = "The argument `inputs_kv` is deprecated: pass `inputs_k` instead."
            warnings.warn(msg, DeprecationWarning, stacklevel=2)
            return inputs_kv, inputs_kv
        if inputs_k is None:
            if inputs_v is not None:
                raise LayerArgumentError(
                    where(self),
                    "inputs_k",
                    "left out while `inputs_v` is given",
                    "an array of keys",
                    "To use one array as keys and values, pass it as `inputs_k`.",
                )
            inputs_k = inputs_q
        if inputs_v is None:
            return inputs_k, inputs_k
        if inputs_v.shape[-1] == inputs_v.shape[-2]:
            msg = (
                f"`inputs_v` has the shape {inputs_v.shape}, which looks like a mask: the third positional "
                "argument is the values. Pass a mask as `mask=`."
            )
            warnings.warn(msg, DeprecationWarning, stacklevel=2)
        return inputs_k, inputs_v

    @nowrap
    def _project(
        self, inputs_q: Array, inputs_k: Array, inputs_v: Array
    ) -> tuple[Array, Array, Array]:
        """Return queries, keys and values of shape (batch..., length, heads, depth)."""
        features = self.qkv_features or inputs_q.shape[-1]
        if features % self.num_heads:
            raise LayerShapeError(
                where(self),
                "num_heads",
                self.num_heads,
                f"a divisor of the number of features of queries, keys and values, {features}",
            )
        dense = functools.partial(
            DenseGeneral,
            axis=-1,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            features=(self.num_heads, features // self.num_heads),
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            use_bias=self.use_bias,
            precision=self.precision,
            dot_general=self.qkv_dot_general,
            dot_general_cls=self.qkv_dot_general_cls,
        )
        query = dense(name="query")(inputs_q)
        key = dense(name="key")(inputs_k)
        value = dense(name="value")(inputs_v)
        if self.normalize_qk:
            norm = functools.partial(
                LayerNorm, use_bias=False, dtype=self.dtype, param_dtype=self.param_dtype
            )
            query, key = norm(name="query_ln")(query), norm(name="key_ln")(key)
        return query, key, value

    @nowrap
    def _extend_cache(
        self, query: Array, key: Array, value: Array, mask: Array | None
    ) -> tuple[Array, Array, Array | None]:
        """Write the current position to the cache; return the cached keys and values and their mask."""
        cache_exists = self.has_variable("cache", "cached_key")
        cached_key = self.variable("cache", "cached_key", jnp.zeros, key.shape, key.dtype)
        cached_value = self.variable("cache", "cached_value", jnp.zeros, value.shape, value.dtype)
        cache_index = self.variable("cache", "cache_index", _zero_index)
        if not cache_exists:
            return key, value, mask
        *batch, length, heads, depth = cached_key.value.shape
        if query.shape != (*batch, 1, heads, depth):
            raise LayerArgumentError(
                where(self),
                "inputs_q",
                f"projected to queries of shape {query.shape}",
                f"one position at a time, of shape {(*batch, 1, heads, depth)}",
                "The cache was created for inputs of that batch shape.",
            )
        index = cache_index.value
        if not isinstance(index, Tracer) and int(index) >= length:
            msg = (
                f"{where(self)} decodes beyond the {length} positions of its cache: it overwrites the last one, and "
                "its output is wrong. Create the cache with `init` on an input of the full length."
            )
            warnings.warn(msg, RuntimeWarning, stacklevel=2)
        # All start indices of `dynamic_update_slice` must have the same dtype.
        zero = jnp.array(0, dtype=index.dtype)
        start = (*[zero] * len(batch), index, zero, zero)
        key = lax.dynamic_update_slice(cached_key.value, key, start)
        value = lax.dynamic_update_slice(cached_value.value, value, start)
        cached_key.value, cached_value.value = key, value
        cache_index.value = index + 1
        filled = jnp.broadcast_to(jnp.arange(length) <= index, (*batch, 1, 1, length))
        return key, value, combine_masks(mask, filled)

    @nowrap
    def _attend(
        self,
        query: Array,
        key: Array,
        value: Array,
        mask: Array | None,
        deterministic: bool,
        dropout_rng: PRNGKey | None,
        sow_weights: bool,
    ) -> Array:
        """Call the attention function with the arguments that it takes."""
        weights_cls = self.qk_attn_weights_einsum_cls
        values_cls = self.attn_weights_value_einsum_cls
        arguments = {
            "mask": mask,
            "dropout_rng": dropout_rng,
            "dropout_rate": self.dropout_rate,
            "broadcast_dropout": self.broadcast_dropout,
            "deterministic": deterministic,
            "dtype": self.dtype,
            "precision": self.precision,
            "force_fp32_for_softmax": self.force_fp32_for_softmax,
            "qk_attn_weights_einsum": weights_cls() if weights_cls else None,
            "attn_weights_value_einsum": values_cls() if values_cls else None,
        }
        if self.attention_fn is not dot_product_attention:
            parameters = inspect.signature(self.attention_fn).parameters
            _warn_of_ignored(self, arguments, parameters)
            arguments = {name: arguments[name] for name in parameters if name in arguments}
        if sow_weights:
            arguments["module"] = self
        return self.attention_fn(query, key, value, **arguments)


class MultiHeadAttention(MultiHeadDotProductAttention):
    """`MultiHeadDotProductAttention` under a shorter name.

    Unnamed layers are named after their class, so the variables of an unnamed layer have another path.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.MultiHeadAttention(num_heads=2, qkv_features=8)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 3, 5)))
    >>> y.shape
    (1, 3, 5)
    """


class SelfAttention(MultiHeadDotProductAttention):
    """Self-attention. Deprecated: call MultiHeadDotProductAttention with one input.

    >>> import jax, jax.numpy as jnp, linen_core as nn, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     layer = nn.SelfAttention(num_heads=2)
    ...     y, _ = layer.init_with_output(jax.random.key(0), jnp.ones((3, 4)))
    >>> y.shape
    (3, 4)
    """

    @compact
    def __call__(  # type: ignore[override]
        self,
        inputs_q: Array,
        mask: Array | None = None,
        deterministic: bool | None = None,
        dropout_rng: PRNGKey | None = None,
        sow_weights: bool = False,
    ) -> Array:
        """Apply attention.

        Args:
          inputs_q: an array of shape (batch..., length, features).
          mask: boolean array; a query does not attend to a key where it is false. It broadcasts to
            (batch..., heads, length, length).
          deterministic: disable dropout; needed if the field is None.
          dropout_rng: the key for dropout, instead of one from the stream `dropout`.
          sow_weights: sow the weights as `attention_weights` in the collection `intermediates`.

        Returns:
          An array of shape (batch..., length, out_features).
        """
        msg = "SelfAttention is deprecated: call MultiHeadDotProductAttention with one input."
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        return super().__call__(
            inputs_q,
            mask=mask,
            deterministic=deterministic,
            dropout_rng=dropout_rng,
            sow_weights=sow_weights,
        )
