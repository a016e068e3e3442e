"""Initializers of parameters: functions of a key, a shape and a dtype.

This module has all builders of `jax.nn.initializers`, and they draw the same numbers. JAX's builders return closures,
which are not equal to each other and cannot be pickled. These return values: two initializers with the same arguments
are equal, can be pickled, and share one trace per shape under `jax.jit`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.nn import initializers as jax_initializers
from jax.nn.initializers import ones, zeros
from jax.typing import ArrayLike

from linen_core.layers._staging import staged
from linen_core.typing import Array, Dtype, Initializer, Shape

__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "ones_init",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
    "zeros_init",
]


@dataclasses.dataclass(frozen=True, repr=False)
class BuiltInitializer:
    """An initializer of JAX, together with the builder and the arguments that it was created with.

    Attributes:
      family: name of the builder in `jax.nn.initializers`.
      arguments: names and values of the builder's arguments.
      identity: a text that is equal for two initializers of a family only if they draw the same bits.

    >>> import pickle
    >>> pickle.loads(pickle.dumps(normal(0.1))) == normal(0.1)
    True
    """

    family: str
    arguments: tuple[tuple[str, Any], ...] = dataclasses.field(compare=False)
    identity: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity", _identify(self.arguments))

    @functools.cached_property
    def __name__(self) -> str:
        return "init"  # the name of the closures of JAX, which appears in profiles

    @functools.cached_property
    def draw(self) -> Callable[..., Array]:
        """The initializer of JAX."""
        build: Callable[..., Callable[..., Array]] = getattr(jax_initializers, self.family)
        return build(**dict(self.arguments))

    @functools.cached_property
    def _can_be_staged(self) -> bool:
        # An array may be a tracer of the current trace, and a staged function outlives the trace.
        return not any(isinstance(value, np.ndarray | jax.Array) for _, value in self.arguments)

    def __call__(
        self,
        key: Array,
        shape: Sequence[int],
        dtype: Dtype | None = None,
        out_sharding: jax.sharding.Sharding | jax.sharding.PartitionSpec | None = None,
    ) -> Array:
        """Draw an array.

        Args:
          key: the key to draw with.
          shape: shape of the array.
          dtype: dtype of the array; by default the builder's dtype, or else JAX's default float.
          out_sharding: sharding of the array, as for `jax.nn.initializers`.
        """
        draw = _draw_staged if self._can_be_staged else _draw
        return draw(self, key, tuple(shape), dtype=dtype, out_sharding=out_sharding)

    def __repr__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={value!r}' for name, value in self.arguments)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return BuiltInitializer, (self.family, self.arguments)


def _built(family: str, **arguments: object) -> BuiltInitializer:
    frozen = ((k, tuple(v) if isinstance(v, list) else v) for k, v in arguments.items())
    return BuiltInitializer(family, tuple(frozen))


def _draw(
    initializer: BuiltInitializer,
    key: Array,
    shape: Shape,
    dtype: Dtype | None = None,
    out_sharding: jax.sharding.Sharding | jax.sharding.PartitionSpec | None = None,
) -> Array:
    options: dict[str, Any] = {"dtype": dtype, "out_sharding": out_sharding}
    options = {name: value for name, value in options.items() if value is not None}
    return initializer.draw(key, shape, **options)


_draw_staged = staged("initializer", "shape", "dtype", "out_sharding")(_draw)


def _identify(value: object) -> str:
    """Return a text that is equal for two living arguments only if the same bits are drawn."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_identify, value))})"
    if value is None or isinstance(value, int | float | complex | str | np.generic):
        return f"{type(value).__name__} {value!r}"  # 1, 1.0 and True compare equal, and so do 0.0 and -0.0
    return f"object {id(value)}"


def zeros_init() -> Initializer:
    """Return the initializer that fills an array with zeros.

    >>> import jax
    >>> print(zeros_init()(jax.random.key(0), (2,)))
    [0. 0.]
    """
    return zeros


def ones_init() -> Initializer:
    """Return the initializer that fills an array with ones.

    >>> import jax
    >>> print(ones_init()(jax.random.key(0), (2,)))
    [1. 1.]
    """
    return ones


def constant(value: ArrayLike, dtype: Dtype | None = None) -> Initializer:
    """Build an initializer that fills an array with a value.

    Args:
      value: a number, or an array that broadcasts to the shape.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> print(constant(0.5)(jax.random.key(0), (2,)))
    [0.5 0.5]
    """
    return _built("constant", value=value, dtype=dtype)


def uniform(scale: ArrayLike = 1e-2, dtype: Dtype | None = None) -> Initializer:
    """Build an initializer that draws uniformly from [0, `scale`).

    Args:
      scale: the upper bound.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> uniform(2.0)(jax.random.key(0), (3,)).shape
    (3,)
    """
    return _built("uniform", scale=scale, dtype=dtype)


def normal(stddev: ArrayLike = 1e-2, dtype: Dtype | None = None) -> Initializer:
    """Build an initializer that draws from a normal distribution with mean 0.

    Args:
      stddev: the standard deviation.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> normal()(jax.random.key(0), (3,)).shape
    (3,)
    """
    return _built("normal", stddev=stddev, dtype=dtype)


def truncated_normal(
    stddev: ArrayLike = 1e-2,
    dtype: Dtype | None = None,
    lower: ArrayLike = -2.0,
    upper: ArrayLike = 2.0,
) -> Initializer:
    """Build an initializer that draws from a normal distribution truncated on both sides.

    Args:
      stddev: the standard deviation before truncation.
      dtype: dtype of the array if the call does not name one.
      lower: the lower bound, in standard deviations.
      upper: the upper bound, in standard deviations.

    >>> import jax
    >>> bool(abs(truncated_normal(1.0)(jax.random.key(0), (100,))).max() <= 2.0)
    True
    """
    return _built("truncated_normal", stddev=stddev, dtype=dtype, lower=lower, upper=upper)


def variance_scaling(
    scale: ArrayLike,
    mode: str,
    distribution: str,
    in_axis: int | Sequence[int] = -2,
    out_axis: int | Sequence[int] = -1,
    batch_axis: int | Sequence[int] = (),
    dtype: Dtype | None = None,
) -> Initializer:
    """Build an initializer with variance `scale / n`, where `n` is the number of inputs or outputs.

    Args:
      scale: a positive number.
      mode: the number `n`: "fan_in", "fan_out", "fan_avg" (their mean) or "fan_geo_avg" (their geometric mean).
      distribution: "truncated_normal" (at two standard deviations), "normal" or "uniform".
      in_axis: the axes of the kernel's inputs.
      out_axis: the axes of the kernel's outputs.
      batch_axis: the axes that are neither inputs nor outputs. All remaining axes count for both, like the window of a
        convolution.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> variance_scaling(2.0, "fan_in", "normal")(jax.random.key(0), (3, 4)).shape
    (3, 4)
    """
    return _built(
        "variance_scaling",
        scale=scale,
        mode=mode,
        distribution=distribution,
        in_axis=in_axis,
        out_axis=out_axis,
        batch_axis=batch_axis,
        dtype=dtype,
    )


def _scaled(
    family: str,
    in_axis: int | Sequence[int],
    out_axis: int | Sequence[int],
    batch_axis: int | Sequence[int],
    dtype: Dtype | None,
) -> Initializer:
    return _built(family, in_axis=in_axis, out_axis=out_axis, batch_axis=batch_axis, dtype=dtype)


def glorot_uniform(
    in_axis: int | Sequence[int] = -2,
    out_axis: int | Sequence[int] = -1,
    batch_axis: int | Sequence[int] = (),
    dtype: Dtype | None = None,
) -> Initializer:
    """Build an initializer that draws uniformly, with variance 2 / (inputs + outputs).

    Source: Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html.

    Args:
      in_axis: the axes of the kernel's inputs.
      out_axis: the axes of the kernel's outputs.
      batch_axis: the axes that are neither inputs nor outputs.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> glorot_uniform()(jax.random.key(0), (3, 4)).shape
    (3, 4)
    """
    return _scaled("glorot_uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(
    in_axis: int | Sequence[int] = -2,
    out_axis: int | Sequence[int] = -1,
    batch_axis: int | Sequence[int] = (),
    dtype: Dtype | None = None,
) -> Initializer:
    """Build an initializer that draws from a truncated normal with variance 2 / (inputs + outputs).

    Source: Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html.

    Args:
      in_axis: the axes of the kernel's inputs.
      out_axis: the axes of the kernel's outputs.
      batch_axis: the axes that are neither inputs nor outputs.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> glorot_normal()(jax.random.key(0), (3, 4)).shape
    (3, 4)
    """
    return _scaled("glorot_normal", in_axis, out_axis, batch_axis, dtype)


def lecun_uniform(
    in_axis: int | Sequence[int] = -2,
    out_axis: int | Sequence[int] = -1,
    batch_axis: int | Sequence[int] = (),
    dtype: Dtype | None = None,
) -> Initializer:
    """Build an initializer that draws uniformly, with variance 1 / inputs.

    Source: LeCun et al., Efficient BackProp, 1998.

    Args:
      in_axis: the axes of the kernel's inputs.
      out_axis: the axes of the kernel's outputs.
      batch_axis: the axes that are neither inputs nor outputs.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> lecun_uniform()(jax.random.key(0), (3, 4)).shape
    (3, 4)
    """
    return _scaled("lecun_uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(
    in_axis: int | Sequence[int] = -2,
    out_axis: int | Sequence[int] = -1,
    batch_axis: int | Sequence[int] = (),
    dtype: Dtype | None = None,
) -> Initializer:
    """Build an initializer that draws from a truncated normal with variance 1 / inputs.

    Source: LeCun et al., Efficient BackProp, 1998.

    Args:
      in_axis: the axes of the kernel's inputs.
      out_axis: the axes of the kernel's outputs.
      batch_axis: the axes that are neither inputs nor outputs.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> lecun_normal()(jax.random.key(0), (3, 4)).shape
    (3, 4)
    """
    return _scaled("lecun_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(
    in_axis: int | Sequence[int] = -2,
    out_axis: int | Sequence[int] = -1,
    batch_axis: int | Sequence[int] = (),
    dtype: Dtype | None = None,
) -> Initializer:
    """Build an initializer that draws uniformly, with variance 2 / inputs.

    Source: He et al., 2015, https://arxiv.org/abs/1502.01852.

    Args:
      in_axis: the axes of the kernel's inputs.
      out_axis: the axes of the kernel's outputs.
      batch_axis: the axes that are neither inputs nor outputs.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> he_uniform()(jax.random.key(0), (3, 4)).shape
    (3, 4)
    """
    return _scaled("he_uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(
    in_axis: int | Sequence[int] = -2,
    out_axis: int | Sequence[int] = -1,
    batch_axis: int | Sequence[int] = (),
    dtype: Dtype | None = None,
) -> Initializer:
    """Build an initializer that draws from a truncated normal with variance 2 / inputs.

    Source: He et al., 2015, https://arxiv.org/abs/1502.01852.

    Args:
      in_axis: the axes of the kernel's inputs.
      out_axis: the axes of the kernel's outputs.
      batch_axis: the axes that are neither inputs nor outputs.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> he_normal()(jax.random.key(0), (3, 4)).shape
    (3, 4)
    """
    return _scaled("he_normal", in_axis, out_axis, batch_axis, dtype)


xavier_uniform = glorot_uniform
xavier_normal = glorot_normal
kaiming_uniform = he_uniform
kaiming_normal = he_normal


def orthogonal(
    scale: ArrayLike = 1.0, column_axis: int = -1, dtype: Dtype | None = None
) -> Initializer:
    """Build an initializer that draws a random orthogonal matrix.

    All axes except the column axis are flattened into rows. If the matrix is not square, the smaller set of vectors,
    its rows or its columns, is orthonormal.

    Args:
      scale: length of the vectors.
      column_axis: the axis of the columns.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> w = orthogonal()(jax.random.key(0), (3, 3))
    >>> bool(abs(w @ w.T - jax.numpy.eye(3)).max() < 1e-6)
    True
    """
    return _built("orthogonal", scale=scale, column_axis=column_axis, dtype=dtype)


def delta_orthogonal(
    scale: ArrayLike = 1.0, column_axis: int = -1, dtype: Dtype | None = None
) -> Initializer:
    """Build an initializer of convolution kernels: orthogonal at the center of the window, zero elsewhere.

    Source: Xiao et al., 2018, https://arxiv.org/abs/1806.05393.

    Args:
      scale: length of the vectors.
      column_axis: the axis of the columns.
      dtype: dtype of the array if the call does not name one.

    >>> import jax
    >>> w = delta_orthogonal()(jax.random.key(0), (3, 3, 2, 2))
    >>> float(abs(w[0]).max())
    0.0
    """
    return _built("delta_orthogonal", scale=scale, column_axis=column_axis, dtype=dtype)
