"""JAX transforms over modules, with variables and RNG streams carried along."""

from linen_core.transforms._modules import Target as Target
from linen_core.transforms._modules import lift_transform as lift_transform
from linen_core.transforms.axes import broadcast as broadcast
from linen_core.transforms.compile import fold_rngs as fold_rngs
from linen_core.transforms.compile import jit as jit
from linen_core.transforms.control_flow import cond as cond
from linen_core.transforms.control_flow import switch as switch
from linen_core.transforms.control_flow import while_loop as while_loop
from linen_core.transforms.differentiate import custom_vjp as custom_vjp
from linen_core.transforms.differentiate import grad as grad
from linen_core.transforms.differentiate import jvp as jvp
from linen_core.transforms.differentiate import value_and_grad as value_and_grad
from linen_core.transforms.differentiate import vjp as vjp
from linen_core.transforms.loop import scan as scan
from linen_core.transforms.map_variables import add_metadata_axis as add_metadata_axis
from linen_core.transforms.map_variables import map_variables as map_variables
from linen_core.transforms.naming import named_call as named_call
from linen_core.transforms.rematerialize import checkpoint as checkpoint
from linen_core.transforms.rematerialize import remat as remat
from linen_core.transforms.rematerialize import remat_scan as remat_scan
from linen_core.transforms.vectorize import vmap as vmap
from linen_core.typing import In as In
from linen_core.typing import Out as Out

__all__ = [
    "In",
    "Out",
    "Target",
    "add_metadata_axis",
    "broadcast",
    "checkpoint",
    "cond",
    "custom_vjp",
    "fold_rngs",
    "grad",
    "jit",
    "jvp",
    "lift_transform",
    "map_variables",
    "named_call",
    "remat",
    "remat_scan",
    "scan",
    "switch",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
