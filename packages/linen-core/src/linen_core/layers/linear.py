"""The names of `flax.linen.linear`: dense layers, convolutions, embeddings and their helpers."""

from __future__ import annotations

from linen_core.layers._common import canonicalize_tuple as _canonicalize_tuple
from linen_core.layers._common import default_embed_init, default_kernel_init
from linen_core.layers._common import normalize_axes as _normalize_axes
from linen_core.layers.conv import Conv, ConvLocal, _Conv, canonicalize_padding
from linen_core.layers.conv import conv_dimension_numbers as _conv_dimension_numbers
from linen_core.layers.conv_transpose import ConvTranspose
from linen_core.layers.dense import Dense, DenseGeneral, Einsum
from linen_core.layers.dtypes import PromoteDtypeFn, promote_dtype
from linen_core.layers.embed import Embed
from linen_core.module import Module, compact
from linen_core.typing import (
    Array,
    ConvGeneralDilatedT,
    DotGeneralT,
    Dtype,
    Initializer,
    LaxPadding,
    PaddingLike,
    PrecisionLike,
    PRNGKey,
    Shape,
)

__all__ = [
    "Array",
    "Conv",
    "ConvGeneralDilatedT",
    "ConvLocal",
    "ConvTranspose",
    "Dense",
    "DenseGeneral",
    "DotGeneralT",
    "Dtype",
    "Einsum",
    "Embed",
    "Initializer",
    "LaxPadding",
    "Module",
    "PRNGKey",
    "PaddingLike",
    "PrecisionLike",
    "PromoteDtypeFn",
    "Shape",
    "_Conv",
    "_canonicalize_tuple",
    "_conv_dimension_numbers",
    "_normalize_axes",
    "canonicalize_padding",
    "compact",
    "default_embed_init",
    "default_kernel_init",
    "promote_dtype",
]
