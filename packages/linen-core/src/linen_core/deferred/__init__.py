"""Deferred execution: operations are recorded, and only those that lead to a needed value run."""

from linen_core.deferred.trace import DeferredTrace as DeferredTrace
