"""Sharding by names: logical axes, the rules that map them to a mesh, and constraints on arrays.

The names are those that `logical.py` declares.
"""

from linen_core import _lazy_names
from linen_core.spmd.logical import *

_lazy_names.declare_imported(__name__)
