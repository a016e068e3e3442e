"""Dense layers, convolutions and embeddings as functions of a scope."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from linen_core import struct
from linen_core.layers import initializers
from linen_core.layers._common import canonicalize_tuple, default_embed_init, default_kernel_init
from linen_core.layers.conv import Conv
from linen_core.layers.conv_transpose import ConvTranspose
from linen_core.layers.dense import Dense
from linen_core.scope import Scope
from linen_core.typing import Array, Dtype, Initializer, PrecisionLike, PRNGKey, Shape

__all__ = [
    "Embedding",
    "conv",
    "conv_transpose",
    "default_embed_init",
    "default_kernel_init",
    "dense",
    "dense_general",
    "embedding",
]

default_bias_init = initializers.zeros_init()


def dense_general(
    scope: Scope,
    inputs: Array,
    features: int | Iterable[int],
    axis: int | Iterable[int] = -1,
    batch_dims: int | Iterable[int] = (),
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = default_bias_init,
    precision: PrecisionLike = None,
) -> Array:
    """Apply a linear map to several axes.

    In contrast to `linen_core.DenseGeneral`, the kernels of all batch entries start with the same values.

    Args:
      scope: holds the parameters ``kernel``, of shape (batch axes, input axes, output axes), and ``bias``.
      inputs: an array that has the axes.
      features: the sizes of the output axes, which come last.
      axis: the input axes.
      batch_dims: axes for each entry of which there is another kernel; the leading ones.
      bias: whether to add a bias.
      dtype: dtype of the computation.
      kernel_init: initializer of the kernel; it gets the shape (input size, output size).
      bias_init: initializer of the bias; it gets the shape (output size,).
      precision: as for `jax.lax.dot_general`.

    Raises:
      ValueError: ``batch_dims`` are not the leading axes.

    Example:
      >>> import jax
      >>> from linen_core.scope import init
      >>> y, variables = init(dense_general)(jax.random.key(0), jnp.ones((2, 3, 4)), features=(5, 6), axis=(1, 2))
      >>> y.shape, variables["params"]["kernel"].shape
      ((2, 5, 6), (3, 4, 5, 6))
    """
    inputs = jnp.asarray(inputs, dtype)
    features, axis, batch_dims = (
        canonicalize_tuple(numbers)  # type: ignore[arg-type]
        for numbers in (features, axis, batch_dims)
    )
    if sorted(set(batch_dims)) != list(range(len(set(batch_dims)))):
        msg = f"Cannot use batch_dims={batch_dims}. Choose the leading axes, starting with 0."
        raise ValueError(msg)
    axis = tuple(number % inputs.ndim for number in axis)
    batch = tuple(inputs.shape[number] for number in batch_dims)
    size = math.prod(features)
    window = tuple(inputs.shape[number] for number in axis)
    init = _repeated(kernel_init, math.prod(batch), (math.prod(window), size))
    kernel = jnp.asarray(scope.param("kernel", init, (*batch, *window, *features)), dtype)
    leading = tuple(range(len(batch)))
    contracted = tuple(range(len(batch), len(batch) + len(axis)))
    y = lax.dot_general(
        inputs, kernel, ((axis, contracted), (batch_dims, leading)), precision=precision
    )
    if bias:
        init = _repeated(bias_init, math.prod(batch), (size,))
        b = jnp.asarray(scope.param("bias", init, (*batch, *features)), dtype)
        between = y.ndim - len(batch) - len(features)
        y += b.reshape(*batch, *(1,) * between, *features)
    return y


def _repeated(init: Initializer, count: int, shape: Shape) -> Callable[..., Array]:
    """Return an initializer that repeats flat values once for each batch entry."""

    def initialize(key: PRNGKey, full_shape: Shape, dtype: Dtype = jnp.float32) -> Array:
        return jnp.concatenate([init(key, shape, dtype)] * count).reshape(full_shape)

    return initialize


def dense(
    scope: Scope,
    inputs: Array,
    features: int,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = default_bias_init,
) -> Array:
    """Apply a linear map to the last axis; see `linen_core.Dense`.

    Args:
      scope: holds the parameters ``kernel`` and ``bias``.
      inputs: an array of shape (..., inputs).
      features: the size of the last axis of the result.
      bias: whether to add a bias.
      dtype: dtype of the computation.
      precision: as for `jax.lax.dot_general`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.

    Example:
      >>> import jax
      >>> from linen_core.scope import init
      >>> init(dense)(jax.random.key(0), jnp.ones((2, 3)), features=4)[0].shape
      (2, 4)
    """
    layer = Dense(
        features, bias, dtype, jnp.float32, precision, kernel_init, bias_init, parent=scope
    )
    return layer(inputs)


def conv(
    scope: Scope,
    inputs: Array,
    features: int,
    kernel_size: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "SAME",
    input_dilation: Sequence[int] | None = None,
    kernel_dilation: Sequence[int] | None = None,
    feature_group_count: int = 1,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = default_bias_init,
) -> Array:
    """Apply a convolution; see `linen_core.Conv`.

    Args:
      scope: holds the parameters ``kernel``, of shape (window, inputs / groups, features), and ``bias``.
      inputs: an array of shape (batch, spatial axes, inputs).
      features: the size of the last axis of the result.
      kernel_size: the size of the window along each spatial axis.
      strides: the step of the window along each spatial axis; 1 by default.
      padding: ``"SAME"``, ``"VALID"``, or the padding before and after each spatial axis.
      input_dilation: the dilation of the inputs along each spatial axis.
      kernel_dilation: the dilation of the window along each spatial axis.
      feature_group_count: number of groups of features that are convolved apart.
      bias: whether to add a bias.
      dtype: dtype of the computation.
      precision: as for `jax.lax.conv_general_dilated`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.

    Example:
      >>> import jax
      >>> from linen_core.scope import init
      >>> init(conv)(jax.random.key(0), jnp.ones((1, 8, 8, 3)), features=4, kernel_size=(3, 3))[0].shape
      (1, 8, 8, 4)
    """
    return Conv(
        features,
        kernel_size,
        strides=strides,
        padding=padding,
        input_dilation=input_dilation,
        kernel_dilation=kernel_dilation,
        feature_group_count=feature_group_count,
        use_bias=bias,
        dtype=dtype,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
        parent=scope,
    )(inputs)


def conv_transpose(
    scope: Scope,
    inputs: Array,
    features: int,
    kernel_size: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "SAME",
    kernel_dilation: Sequence[int] | None = None,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = default_kernel_init,
    bias_init: Initializer = default_bias_init,
) -> Array:
    """Apply a transposed convolution; see `linen_core.ConvTranspose`.

    Args:
      scope: holds the parameters ``kernel``, of shape (window, inputs, features), and ``bias``.
      inputs: an array of shape (batch, spatial axes, inputs).
      features: the size of the last axis of the result.
      kernel_size: the size of the window along each spatial axis.
      strides: the step between the windows along each spatial axis; 1 by default.
      padding: ``"SAME"``, ``"VALID"``, or the padding before and after each spatial axis.
      kernel_dilation: the dilation of the window along each spatial axis.
      bias: whether to add a bias.
      dtype: dtype of the computation.
      precision: as for `jax.lax.conv_transpose`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.

    Example:
      >>> import jax
      >>> from linen_core.scope import init
      >>> x = jnp.ones((1, 8, 8, 3))
      >>> init(conv_transpose)(jax.random.key(0), x, features=4, kernel_size=(3, 3), strides=(2, 2))[0].shape
      (1, 16, 16, 4)
    """
    return ConvTranspose(
        features,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_dilation=kernel_dilation,
        use_bias=bias,
        dtype=dtype,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
        parent=scope,
    )(inputs)


@struct.dataclass
class Embedding:
    """A table of embeddings.

    Attributes:
      table: an array of shape (entries, features).

    Example:
      >>> table = Embedding(jnp.eye(3))
      >>> table.lookup(jnp.array([2, 0])).tolist()
      [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    table: Any

    def lookup(self, indices: Array) -> Array:
        """Return the rows of the table at integer indices, in an array of shape (*indices.shape, features).

        Raises:
          ValueError: the indices are not 32-bit or 64-bit integers.

        Example:
          >>> Embedding(jnp.eye(3)).lookup(jnp.array([0])).shape
          (1, 3)
        """
        if indices.dtype not in {jnp.dtype(t) for t in ("int32", "int64", "uint32", "uint64")}:
            msg = f"Cannot look up indices of dtype {indices.dtype}. Convert them to int32."
            raise ValueError(msg)
        return self.table[indices]

    def attend(self, query: Array) -> Array:
        """Return the products of queries, of shape (..., features), with all rows.

        Example:
          >>> Embedding(jnp.eye(3)).attend(jnp.ones((2, 3))).shape
          (2, 3)
        """
        return jnp.dot(query, self.table.T)


def embedding(
    scope: Scope, num_embeddings: int, features: int, init_fn: Initializer = default_embed_init
) -> Embedding:
    """Return a table of embeddings that is the parameter ``table`` of a scope.

    Args:
      scope: holds the parameter.
      num_embeddings: number of rows.
      features: length of a row.
      init_fn: initializer of the table.

    Example:
      >>> import jax
      >>> from linen_core.scope import init
      >>> init(embedding)(jax.random.key(0), 10, 4)[0].table.shape
      (10, 4)
    """
    return Embedding(scope.param("table", init_fn, (num_embeddings, features)))
