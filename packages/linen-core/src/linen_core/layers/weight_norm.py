"""Wrappers that normalize the weights of another layer: SpectralNorm and WeightNorm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from linen_core.errors import LayerRankError
from linen_core.layers import initializers
from linen_core.layers._common import canonicalize_axes, where
from linen_core.layers.dtypes import canonicalize_dtype
from linen_core.module import Module, compact, nowrap
from linen_core.transforms import map_variables
from linen_core.typing import Array, Axes, Collections, Dtype, Initializer

__all__ = ["SpectralNorm", "WeightNorm", "l2_normalize"]


def l2_normalize(x: Array, axis: Axes | None = None, eps: float = 1e-12) -> Array:
    """Divide by the Euclidean norm over axes, or over all of them; ``eps`` is added to its square."""
    return x * lax.rsqrt((x * x).sum(axis=axis, keepdims=True) + eps)


class SpectralNorm(Module):
    """Divide each weight matrix of a layer by its largest singular value.

    The value is computed by power iteration, which continues from call to call: its vector `u` and its
    result `sigma` are variables of the collection `batch_stats`, named "<layer>/<weight>/u" and
    "<layer>/<weight>/sigma". Weights with more than two axes are reshaped to matrices with the last
    axis as columns. Vectors and scalars are unchanged. Source: Miyato et al., 2018,
    https://arxiv.org/abs/1802.05957.

    Attributes:
      layer_instance: the layer.
      n_steps: number of steps of power iteration in one call.
      epsilon: added to a squared norm before the square root.
      dtype: dtype of the weights; by default the promoted dtype of weight and vectors.
      param_dtype: dtype of `u` and `sigma`.
      error_on_non_matrix: raise an error for weights with more than two axes.
      collection_name: the collection of `u` and `sigma`.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.SpectralNorm(nn.Dense(4))
    >>> variables = layer.init(jax.random.key(0), jnp.ones((1, 3)), update_stats=False)
    >>> print(jax.tree.map(jnp.shape, variables["batch_stats"]))
    {'layer_instance/kernel/sigma': (), 'layer_instance/kernel/u': (1, 4)}
    """

    layer_instance: Module
    n_steps: int = 1
    epsilon: float = 1e-12
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    error_on_non_matrix: bool = False
    collection_name: str = "batch_stats"

    @compact
    def __call__(self, *args: object, update_stats: bool, **kwargs: object) -> Any:
        """Call the layer with normalized weights.

        Args:
          *args: arguments of the layer.
          update_stats: store the result of the power iteration of this call.
          **kwargs: keyword arguments of the layer.

        Returns:
          The result of the layer.

        Raises:
          LayerRankError: a weight has more than two axes, and `error_on_non_matrix` is set.
        """

        def forward(layer: Module) -> Any:
            return layer(*args, **kwargs)

        def normalized(variables: Collections) -> Any:
            return jax.tree_util.tree_map_with_path(
                lambda path, value: self._spectral_normalize(path, value, update_stats), variables
            )

        lifted = map_variables(
            forward, trans_in_fn=normalized, init=self.is_initializing(), mutable=True
        )
        return lifted(self.layer_instance)

    def _spectral_normalize(self, path: tuple[Any, ...], vs: Array, update_stats: bool) -> Array:
        value = jnp.asarray(vs)
        shape = value.shape
        if value.ndim <= 1 or self.n_steps < 1:
            return value
        if value.ndim > 2:
            if self.error_on_non_matrix:
                raise LayerRankError(
                    where(self),
                    "layer_instance",
                    f"a layer with a weight of shape {shape}",
                    "a layer with weights of at most two axes, as `error_on_non_matrix` is set",
                )
            value = jnp.reshape(value, (-1, shape[-1]))
        name = "/".join([str(self.layer_instance.name), *(key.key for key in path[1:])])
        u_name = f"{name}/u"
        key = None
        if not self.has_variable(self.collection_name, u_name):  # `apply` may come without keys
            key = self.make_rng("params")
        u_variable = self.variable(
            self.collection_name,
            u_name,
            jax.random.normal,
            key,
            (1, value.shape[-1]),
            self.param_dtype,
        )
        sigma_variable = self.variable(
            self.collection_name, f"{name}/sigma", jnp.ones, (), self.param_dtype
        )
        u, v, sigma = self._iterate(u_variable.value, value)
        value = value / jnp.where(sigma != 0, sigma, 1)
        if update_stats:
            u_variable.value = u
            sigma_variable.value = sigma
        dtype = canonicalize_dtype(vs, u, v, sigma, dtype=self.dtype)
        return jnp.asarray(value.reshape(shape), dtype)

    @nowrap
    def _iterate(self, u: Array, matrix: Array) -> tuple[Array, Array, Array]:
        """Run the power iteration; return right and left singular vector and the singular value."""
        for _ in range(self.n_steps):
            v = l2_normalize(jnp.matmul(u, matrix.transpose([1, 0])), None, self.epsilon)
            u = l2_normalize(jnp.matmul(v, matrix), None, self.epsilon)
        # The singular vectors count as constants, as in the paper: no gradient goes through the iteration.
        u, v = lax.stop_gradient(u), lax.stop_gradient(v)
        return u, v, jnp.matmul(jnp.matmul(v, matrix), jnp.transpose(u))[0, 0]


class WeightNorm(Module):
    """Divide the weights of a layer by their l2 norm, and scale them by a parameter instead.

    A weight w becomes `scale * w / |w|`. The parameters are named "<layer>/<weight>/scale". Source:
    Salimans and Kingma, 2016, https://arxiv.org/abs/1602.07868.

    Attributes:
      layer_instance: the layer.
      epsilon: added to the squared norm before the square root.
      dtype: dtype of the weights; by default the promoted dtype of weight and scale.
      param_dtype: dtype of the scale.
      use_scale: whether to multiply by a scale.
      scale_init: initializer of the scale.
      feature_axes: axes of a weight with a separate norm for each index; the norm is computed over all other axes.
        None for a single norm.
      variable_filter: names; only weights whose path contains one of them are normalized. None or an empty collection
        selects all weights.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.WeightNorm(nn.Dense(4))
    >>> variables = layer.init(jax.random.key(0), jnp.ones((1, 3)))
    >>> print(jax.tree.map(jnp.shape, variables["params"]["layer_instance/kernel/scale"]))
    (4,)
    """

    layer_instance: Module
    epsilon: float = 1e-12
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_scale: bool = True
    scale_init: Initializer = initializers.ones
    feature_axes: Axes | None = -1
    variable_filter: Iterable[str] | None = dataclasses.field(default_factory=lambda: {"kernel"})

    @compact
    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Call the layer with normalized weights.

        Args:
          *args: arguments of the layer.
          **kwargs: keyword arguments of the layer.

        Returns:
          The result of the layer.
        """

        def forward(layer: Module) -> Any:
            return layer(*args, **kwargs)

        def normalized(variables: Collections) -> Any:
            return jax.tree_util.tree_map_with_path(self._l2_normalize, variables)

        lifted = map_variables(forward, trans_in_fn=normalized, init=self.is_initializing())
        return lifted(self.layer_instance)

    def _l2_normalize(self, path: tuple[Any, ...], vs: Array) -> Array:
        value = jnp.asarray(vs)
        inner = jax.tree_util.keystr(path[1:], simple=True, separator="/")
        name = f"{self.layer_instance.name}/{inner}"
        if self.variable_filter and not any(part in name for part in self.variable_filter):
            return value
        feature_axes: tuple[int, ...] = ()
        if self.feature_axes is not None:
            feature_axes = canonicalize_axes(value.ndim, self.feature_axes)
        reduced = tuple(axis for axis in range(value.ndim) if axis not in feature_axes)
        unit = l2_normalize(value, reduced, self.epsilon)
        used = [vs]
        if self.use_scale:
            shape = tuple(value.shape[axis] for axis in feature_axes)
            scale = self.param(f"{name}/scale", self.scale_init, shape, self.param_dtype)
            scale = scale.reshape([1 if ax in reduced else n for ax, n in enumerate(value.shape)])
            unit = unit * scale
            used.append(scale)
        return jnp.asarray(unit, canonicalize_dtype(*used, dtype=self.dtype))
