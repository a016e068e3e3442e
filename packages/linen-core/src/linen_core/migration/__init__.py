"""Moving programs from flax to Linen: the names of flax and their counterparts."""

from linen_core.migration import flax_names as flax_names
