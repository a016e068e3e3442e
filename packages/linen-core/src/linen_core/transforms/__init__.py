"""Lifted JAX transforms: they apply to modules and pass variables and RNG streams through."""

from linen_core import _lazy_names
from linen_core.transforms._modules import Target as Target
from linen_core.transforms._modules import lift_transform as lift_transform
from linen_core.transforms.axes import *
from linen_core.transforms.compile import *
from linen_core.transforms.control_flow import *
from linen_core.transforms.differentiate import *
from linen_core.transforms.loop import *
from linen_core.transforms.mapping import *
from linen_core.transforms.naming import *
from linen_core.transforms.rematerialize import *
from linen_core.transforms.vectorize import *
from linen_core.typing import In as In
from linen_core.typing import Out as Out

_lazy_names.declare_imported(__name__)
