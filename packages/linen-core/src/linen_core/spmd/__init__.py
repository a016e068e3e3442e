"""Sharding by names: logical axes, rules that map them to mesh axes, and constraints on arrays."""

from linen_core import _lazy_names
from linen_core.spmd.logical import *

_lazy_names.declare_imported(__name__)
