"""Embeddings: a learned vector for each integer of a range."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from linen_core._jax_compat import Tracer
from linen_core.errors import LayerArgumentError
from linen_core.layers._common import default_embed_init, where
from linen_core.layers._explicit import explicit_axes
from linen_core.layers.dtypes import PromoteDtypeFn, promote_dtype
from linen_core.module import Module
from linen_core.typing import Array, Dtype, Initializer

__all__ = ["Embed"]


class Embed(Module):
    """Look up a vector for each integer from 0 to `num_embeddings` - 1.

    The parameter `embedding` has the shape (num_embeddings, features). An index out of range returns
    nan; with a single embedding every index returns it.

    Attributes:
      num_embeddings: number of integers.
      features: size of a vector.
      dtype: dtype of the vectors; by default the dtype of the embedding.
      param_dtype: dtype of the parameter.
      embedding_init: initializer of the parameter.
      promote_dtype: function that casts (embedding,), or (query, embedding) to one dtype.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> y, variables = nn.Embed(5, 3).init_with_output(jax.random.key(0), jnp.array([[0, 1]]))
    >>> print(y.shape, jax.tree.map(jnp.shape, variables))
    (1, 2, 3) {'params': {'embedding': (5, 3)}}
    """

    num_embeddings: int
    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    embedding_init: Initializer = default_embed_init
    promote_dtype: PromoteDtypeFn = promote_dtype

    def setup(self) -> None:
        """Create or read the parameter."""
        self.embedding = self.param(
            "embedding",
            self.embedding_init,
            (self.num_embeddings, self.features),
            self.param_dtype,
        )

    def __call__(self, inputs: Array, *, out_sharding: Any = None) -> Array:
        """Look up vectors.

        Args:
          inputs: integers, of any shape.
          out_sharding: the sharding of the output on a mesh with explicit axes, a `jax.sharding.NamedSharding` or
            `PartitionSpec`.

        Returns:
          An array of shape (input shape..., features).

        Raises:
          LayerArgumentError: the dtype of the input is not an integer dtype.
        """
        if not jnp.issubdtype(inputs.dtype, jnp.integer):
            raise LayerArgumentError(
                where(self), "inputs", f"an array of dtype {inputs.dtype}", "integers"
            )
        if out_sharding is None and (axes := explicit_axes(inputs)):
            features = tuple(jax.typeof(self.embedding).sharding.spec)[1:]
            out_sharding = PartitionSpec(*axes, *features)
        if out_sharding is not None:
            (embedding,) = self.promote_dtype(self.embedding, dtype=self.dtype, inexact=False)
            return embedding.at[inputs].get(mode="fill", out_sharding=out_sharding)
        is_eager = not isinstance(self.embedding, Tracer) and self.promote_dtype is promote_dtype
        if self.num_embeddings > 1 and is_eager:
            # To cast only the selected vectors costs less than to cast the table, with the same bits. Under a transform
            # the table is cast: its gradient must be summed in the dtype of the vectors.
            vectors = jnp.take(self.embedding, inputs, axis=0)
            return self.promote_dtype(vectors, dtype=self.dtype, inexact=False)[0]
        (embedding,) = self.promote_dtype(self.embedding, dtype=self.dtype, inexact=False)
        if self.num_embeddings == 1:
            return jnp.broadcast_to(embedding, (*inputs.shape, self.features))
        return jnp.take(embedding, inputs, axis=0)

    def attend(self, query: Array, *, out_sharding: Any = None) -> Array:
        """Compute the dot products of vectors with all embeddings, for example the logits of a language model.

        Args:
          query: an array of shape (..., features).
          out_sharding: the sharding of the output, as in the call.

        Returns:
          An array of shape (..., num_embeddings).

        >>> import jax, jax.numpy as jnp, linen_core as nn
        >>> layer = nn.Embed(5, 3)
        >>> variables = layer.init(jax.random.key(0), jnp.array([0]))
        >>> layer.apply(variables, jnp.ones((2, 3)), method="attend").shape
        (2, 5)
        """
        query, embedding = self.promote_dtype(query, self.embedding, dtype=self.dtype)
        return jnp.dot(query, embedding.T, out_sharding=out_sharding)
