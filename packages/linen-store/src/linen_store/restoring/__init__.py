"""Loading the variables of a model, or the leaves of a pytree, from a store."""

from linen_store.restoring.placement import ModelSharding as ModelSharding
from linen_store.restoring.variables import Restored as Restored
from linen_store.restoring.variables import RestoreReport as RestoreReport
from linen_store.restoring.variables import restore as restore

__all__ = ["ModelSharding", "RestoreReport", "Restored", "restore"]
