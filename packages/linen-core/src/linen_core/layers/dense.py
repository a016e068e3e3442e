"""Linear maps over axes of an array: Dense, DenseGeneral and Einsum."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from linen_core import meta
from linen_core.errors import LayerArgumentError, LayerRankError, LayerShapeError
from linen_core.layers import initializers
from linen_core.layers._common import (
    canonicalize_tuple,
    default_kernel_init,
    normalize_axes,
    where,
)
from linen_core.layers._staging import add_bias, rounds_as_one, staged
from linen_core.layers.dtypes import PromoteDtypeFn, promote_dtype
from linen_core.module import Module, compact, merge_param, nowrap
from linen_core.typing import Array, DotGeneralT, Dtype, Initializer, PrecisionLike, PyTree, Shape

__all__ = ["Dense", "DenseGeneral", "Einsum"]

OutSharding = NamedSharding | PartitionSpec | None

Dimensions = tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]


def _affine(
    inputs: Array,
    kernel: Array,
    bias: Array | None,
    dimensions: Dimensions,
    bias_shape: tuple[int, ...],
    dtype: Dtype | None,
    precision: PrecisionLike,
    out_sharding: OutSharding,
) -> Array:
    inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=dtype)
    y = lax.dot_general(inputs, kernel, dimensions, precision=precision, out_sharding=out_sharding)
    return y if bias is None else add_bias(y, bias, bias_shape)


_STATIC = ("dimensions", "bias_shape", "dtype", "precision", "out_sharding")
_affine_staged = staged(*_STATIC)(_affine)
_affine_compiled = staged(*_STATIC, eager=True)(_affine)


class Dense(Module):
    """Map the last axis linearly: `y = x @ kernel + bias`.

    An input of shape (..., n) gives an output of shape (..., features). The parameters are
    `kernel`, of shape (n, features), and `bias`, of shape (features,).

    Attributes:
      features: size of the last axis of the output.
      use_bias: whether there is a bias.
      dtype: dtype to compute in; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      precision: precision of the product, see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias. It gets the shape of the bias only; the README shows a bias that depends on
        the fan-in, as in PyTorch.
      promote_dtype: function that casts (inputs, kernel, bias) to one dtype.
      dot_general: replacement for `jax.lax.dot_general`.
      dot_general_cls: class of such a replacement, created without arguments. It takes precedence over
        `dot_general`.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> variables = nn.Dense(features=4).init(jax.random.key(0), jnp.ones((1, 3)))
    >>> print(jax.tree.map(jnp.shape, variables))
    {'params': {'bias': (4,), 'kernel': (3, 4)}}
    """

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros_init()
    promote_dtype: PromoteDtypeFn = promote_dtype
    dot_general: DotGeneralT | None = None
    dot_general_cls: Any = None

    @compact
    def __call__(self, inputs: Array, *, out_sharding: OutSharding = None) -> Array:
        """Apply the map.

        Args:
          inputs: an array of shape (..., n).
          out_sharding: the sharding of the output on a mesh with explicit axes, as of `jax.numpy.dot`.

        Returns:
          An array of shape (..., features).

        Raises:
          LayerRankError: the input is a scalar.
        """
        shape = jnp.shape(inputs)
        if not shape:
            raise LayerRankError(where(self), "inputs", "a scalar", "an array of shape (..., n)")
        ndim = len(shape)
        kernel = self.param(
            "kernel", self.kernel_init, (shape[-1], self.features), self.param_dtype
        )
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        dimensions = (((ndim - 1,), (0,)), ((), ()))
        bias_shape = (1,) * (ndim - 1) + (self.features,)
        return _apply_affine(self, inputs, kernel, bias, dimensions, bias_shape, out_sharding)


def _apply_affine(
    layer: Any,
    inputs: Array,
    kernel: Array,
    bias: Array | None,
    dimensions: Dimensions,
    bias_shape: tuple[int, ...],
    out_sharding: OutSharding,
) -> Array:
    """Compute product and sum with the dtype, precision and replacements of a layer."""
    dot_general = layer.dot_general_cls() if layer.dot_general_cls else layer.dot_general
    if not hasattr(inputs, "dtype"):
        inputs = jnp.asarray(inputs)
    if dot_general is None and layer.promote_dtype is promote_dtype:
        contracted = math.prod(kernel.shape[axis] for axis in dimensions[0][1])
        # A single compiled program halves the cost of an eager call. It is used only if it rounds in the same way as
        # product and sum one after the other.
        same_bits = rounds_as_one(contracted, layer.dtype, inputs, kernel, bias)
        affine = _affine_compiled if same_bits else _affine_staged
        return affine(
            inputs,
            kernel,
            bias,
            dimensions,
            bias_shape,
            layer.dtype,
            layer.precision,
            out_sharding,
        )
    inputs, kernel, bias = layer.promote_dtype(inputs, kernel, bias, dtype=layer.dtype)
    # A replacement need not know the argument.
    options: dict[str, Any] = {} if out_sharding is None else {"out_sharding": out_sharding}
    dot_general = dot_general or lax.dot_general
    y = dot_general(inputs, kernel, dimensions, precision=layer.precision, **options)
    return y if bias is None else y + jnp.reshape(bias, bias_shape)


@dataclasses.dataclass(frozen=True)
class _Flattened:
    """An initializer that draws a matrix and reshapes it to several axes.

    The fan-in of most initializers is defined for matrices only: they would scale a kernel with more axes wrongly.

    Attributes:
      init: the initializer of the matrix.
      batch: number of leading batch axes.
      columns: number of trailing axes that form the columns of the matrix.
      vector: draw a vector instead of a matrix.
    """

    init: Initializer
    batch: int
    columns: int
    vector: bool = False

    def __call__(self, key: Array, shape: Sequence[int], dtype: Dtype = jnp.float32) -> Any:
        batch = math.prod(shape[: self.batch])
        columns = math.prod(shape[-self.columns :])
        if self.vector:
            flat: tuple[int, ...] = (batch * columns,)
        else:
            flat = (batch * math.prod(shape[self.batch : len(shape) - self.columns]), columns)
        value = self.init(key, flat, dtype)
        return _reshaped(value, shape)


def _reshaped(value: PyTree, shape: Sequence[int]) -> Any:
    """Reshape a boxed array inside its boxes.

    The names of a `Partitioned` box belong to the final axes. `unbox` would constrain the matrix to them, so the value
    is taken out without it.
    """
    if isinstance(value, meta.Partitioned):
        return value.replace_boxed(_reshaped(value.value, shape))
    if isinstance(value, meta.AxisMetadata):
        return meta.replace_boxed(value, jnp.reshape(value.unbox(), shape))
    return jnp.reshape(value, shape)


class DenseGeneral(Module):
    """Map several axes linearly to several axes.

    The axes `axis` of the input, of sizes (n...), are contracted with a `kernel` of shape
    (batch..., n..., features...). The last axes of the output have the sizes `features`. The `bias`
    has the shape (batch..., features...). Each index of the axes `batch_dims` has a different kernel.

    Attributes:
      features: sizes of the last axes of the output.
      axis: the axes of the input to contract.
      batch_dims: the batch axes: 0, 1, ... up to some number.
      use_bias: whether there is a bias.
      dtype: dtype to compute in; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      kernel_init: initializer of the kernel as a matrix of shape (batch * n, features).
      bias_init: initializer of the bias as a vector.
      precision: precision of the product, see `jax.lax.Precision`.
      promote_dtype: function that casts (inputs, kernel, bias) to one dtype.
      dot_general: replacement for `jax.lax.dot_general`.
      dot_general_cls: class of such a replacement, created without arguments. It takes precedence over
        `dot_general`.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.DenseGeneral(features=(4, 5), axis=(1, -1))
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 3, 6, 7)))
    >>> print(y.shape, jax.tree.map(jnp.shape, variables))
    (1, 6, 4, 5) {'params': {'bias': (4, 5), 'kernel': (3, 7, 4, 5)}}
    """

    features: int | Sequence[int]
    axis: int | Sequence[int] = -1
    batch_dims: Sequence[int] = ()
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros_init()
    precision: PrecisionLike = None
    promote_dtype: PromoteDtypeFn = promote_dtype
    dot_general: DotGeneralT | None = None
    dot_general_cls: Any = None

    @compact
    def __call__(self, inputs: Array, *, out_sharding: OutSharding = None) -> Array:
        """Apply the map.

        Args:
          inputs: an array that has the axes `axis` and `batch_dims`.
          out_sharding: the sharding of the output on a mesh with explicit axes, as of `jax.numpy.dot`.

        Returns:
          An array with the batch axes, the axes that were not contracted, and `features`.

        Raises:
          LayerArgumentError: the batch axes are not 0, 1, ... up to some number.
          LayerRankError: the input does not have these axes.
        """
        features = canonicalize_tuple(self.features)
        axis, batch_dims = self._axes(inputs)
        batch = tuple(inputs.shape[ax] for ax in batch_dims)
        contracted = tuple(inputs.shape[ax] for ax in axis)
        outer = tuple(
            inputs.shape[ax] if ax in batch_dims else 1
            for ax in range(inputs.ndim)
            if ax not in axis
        )
        n_batch, n_features = len(batch), len(features)
        kernel = self.param(
            "kernel",
            _Flattened(self.kernel_init, n_batch, n_features),
            batch + contracted + features,
            self.param_dtype,
        )
        bias = None
        if self.use_bias:
            init = _Flattened(self.bias_init, n_batch, n_features, vector=True)
            bias = self.param("bias", init, batch + features, self.param_dtype)
        kernel_axis = tuple(range(n_batch, n_batch + len(axis)))
        dimensions = ((axis, kernel_axis), (batch_dims, tuple(range(n_batch))))
        bias_shape = outer + features
        return _apply_affine(self, inputs, kernel, bias, dimensions, bias_shape, out_sharding)

    @nowrap
    def _axes(self, inputs: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
        axis, batch_dims = canonicalize_tuple(self.axis), canonicalize_tuple(self.batch_dims)
        if batch_dims and set(batch_dims) != set(range(max(batch_dims) + 1)):
            raise LayerArgumentError(
                where(self), "batch_dims", batch_dims, "the leading axes 0, 1, ... without a gap"
            )
        ndim = inputs.ndim
        if any(not -ndim <= ax < ndim for ax in axis + batch_dims):
            raise LayerRankError(
                where(self),
                "inputs",
                f"an array of shape {inputs.shape}",
                f"one that has the axes {axis + batch_dims}",
            )
        return normalize_axes(axis, ndim), normalize_axes(batch_dims, ndim)


@staged("equation", "bias_shape", "dtype", "options")
def _einsum(
    inputs: Array,
    kernel: Array,
    bias: Array | None,
    equation: str,
    bias_shape: tuple[int, ...],
    dtype: Dtype | None,
    options: tuple[Any, Any, OutSharding],
) -> Array:
    inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=dtype)
    return _einsum_promoted(inputs, kernel, bias, equation, bias_shape, options)


def _einsum_promoted(
    inputs: Array,
    kernel: Array,
    bias: Array | None,
    equation: str,
    bias_shape: tuple[int, ...],
    options: tuple[Any, Any, OutSharding],
) -> Array:
    precision, preferred, out_sharding = options
    y = jnp.einsum(
        equation,
        inputs,
        kernel,
        precision=precision,
        preferred_element_type=preferred,
        out_sharding=out_sharding,
    )
    return y if bias is None else y + jnp.reshape(bias, bias_shape)


class Einsum(Module):
    """Contract the input with a kernel by an einsum equation, then add a bias.

    The `kernel` has the shape `shape`. The `bias` has the axes of the result that come from the kernel.

    Attributes:
      shape: shape of the kernel.
      einsum_str: the equation, with two operands (input and kernel) and an explicit result. It is given
        here or in the call.
      use_bias: whether there is a bias.
      dtype: dtype to compute in; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      precision: precision of the product, see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      promote_dtype: function that casts (inputs, kernel, bias) to one dtype.
      preferred_element_type: dtype in which the product accumulates, and which it returns.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.Einsum((5, 6, 7), "abc,cde->abde")
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((3, 4, 5)))
    >>> print(y.shape, jax.tree.map(jnp.shape, variables))
    (3, 4, 6, 7) {'params': {'bias': (6, 7), 'kernel': (5, 6, 7)}}
    """

    shape: Shape
    einsum_str: str | None = None
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros_init()
    promote_dtype: PromoteDtypeFn = promote_dtype
    preferred_element_type: Dtype | None = None

    @compact
    def __call__(
        self, inputs: Array, einsum_str: str | None = None, *, out_sharding: OutSharding = None
    ) -> Array:
        """Apply the equation.

        Args:
          inputs: the first operand.
          einsum_str: the equation; needed if the field is None.
          out_sharding: the sharding of the output on a mesh with explicit axes, as of `jax.numpy.einsum`.

        Returns:
          The result of the equation plus the bias.

        Raises:
          LayerArgumentError: the equation has no "->", or not two operands.
          LayerShapeError: the number of kernel axes in the equation differs from that of the kernel.
        """
        equation = self._checked(merge_param("einsum_str", self.einsum_str, einsum_str))
        kernel = self.param("kernel", self.kernel_init, tuple(self.shape), self.param_dtype)
        bias = None
        bias_shape: tuple[int, ...] = ()
        if self.use_bias:
            small, bias_shape = self._get_bias_shape(equation, inputs, kernel)
            bias = self.param("bias", self.bias_init, small, self.param_dtype)
        options = (self.precision, self.preferred_element_type, out_sharding)
        if self.promote_dtype is promote_dtype:
            return _einsum(inputs, kernel, bias, equation, bias_shape, self.dtype, options)
        inputs, kernel, bias = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return _einsum_promoted(inputs, kernel, bias, equation, bias_shape, options)

    @nowrap
    def _checked(self, equation: str) -> str:
        equation = equation.replace(" ", "")
        if "->" not in equation:
            raise LayerArgumentError(
                where(self), "einsum_str", repr(equation), 'an equation with an explicit "->"'
            )
        if equation.count(",") != 1:
            raise LayerArgumentError(
                where(self),
                "einsum_str",
                repr(equation),
                "two operands, the input and the kernel, with one comma between them",
            )
        return equation

    def _get_bias_shape(
        self, einsum_str: str, lhs: Array, rhs: Array
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shape of the bias, and its shape for broadcasting to the result."""
        operands, result = einsum_str.split("->")
        left, right = operands.split(",")
        hidden = [_hidden_axes(left, jnp.ndim(lhs)), _hidden_axes(right, len(self.shape))]
        labels = _labels(right, hidden[1])
        sizes = dict(zip(labels, self.shape, strict=False))
        if len(labels) != len(self.shape) or len(sizes) != len(self.shape):
            raise LayerShapeError(
                where(self),
                "einsum_str",
                repr(einsum_str),
                f"a different letter for each axis of a kernel of shape {self.shape}",
            )
        outputs = _labels(result, max(hidden))
        bias_shape = tuple(sizes[label] for label in outputs if label in sizes)
        return bias_shape, tuple(sizes.get(label, 1) for label in outputs)


def _hidden_axes(term: str, ndim: int) -> int:
    """Return the number of axes that an ellipsis represents."""
    return max(ndim - len(term.replace("...", "")), 0) if "..." in term else 0


def _labels(term: str, hidden: int) -> tuple[str | int, ...]:
    """Return the axes of a term: its letters, and numbers for an ellipsis, counted from its right end."""
    head, dots, tail = term.partition("...")
    return (*head, *(range(hidden - 1, -1, -1) if dots else ()), *tail)
