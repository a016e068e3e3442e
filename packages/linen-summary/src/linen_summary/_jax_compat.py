"""JAX internals that this package uses."""

from jax.extend.core import jaxpr_as_fun as jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr as dce_jaxpr
