"""A store that counts its reads, a module that counts its runs, and a comparison with plain dicts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core import errors

X = jnp.arange(8.0).reshape(2, 4)


class Lazy(nn.MemoryStore):
    """Says that its reads do I/O, and writes each batch down."""

    writable = False

    def __init__(self, variables):
        super().__init__(variables)
        self.batches = []
        self.is_closed = False

    @property
    def capabilities(self):
        return nn.StoreCapabilities(lazy=True, writable=self.writable)

    def read(self, collection, paths):
        if self.is_closed:
            raise errors.StoreClosedError("Lazy")
        self.batches.append((collection, list(paths)))
        return super().read(collection, paths)

    def addresses(self):
        return {"/".join((col, *path)) for col, paths in self.batches for path in paths}


class Log:
    """The types of the inputs with which a body ran. A list in a field would become a tuple."""

    def __init__(self):
        self.types = []

    def add(self, x):
        self.types.append(type(x).__name__)


class Net(nn.Module):
    """Writes the runs of its body down in `log`."""

    log: Log | None = None

    def setup(self):
        self.first = nn.Dense(4)
        self.norm = nn.BatchNorm()
        self.head = nn.Dense(3)

    def __call__(self, x, train=False):
        if self.log is not None:
            self.log.add(x)
        return self.head(self.norm(self.first(x), use_running_average=not train))

    def features(self, x):
        return self.first(x)


VARIABLES = Net().init(jax.random.key(0), X)
BIG = {
    "params": {**VARIABLES["params"], "unused": {"kernel": jnp.ones(9)}},
    "batch_stats": {**VARIABLES["batch_stats"], "other": {"mean": jnp.ones(7)}},
    "opt_state": {"step": jnp.zeros(())},
}


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def check_same(model, variables, *args, **kwargs):
    """Apply a model to a lazy store and to a dict; return the store."""
    store = Lazy(variables)
    same(model.apply(store, *args, **kwargs), model.apply(variables, *args, **kwargs))
    return store


def error_of(model, variables, *args, **kwargs):
    with pytest.raises(Exception) as caught:
        model.apply(variables, *args, **kwargs)
    return type(caught.value), str(caught.value)
