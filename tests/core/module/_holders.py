"""Modules that call what is in their fields, and the names of their submodules."""

import jax

import linen_core as nn

KEY = jax.random.key(0)


class Leaf(nn.Module):
    @nn.compact
    def __call__(self):
        return self.param("w", lambda key: 1)


class Compact(nn.Module):
    body: object

    @nn.compact
    def __call__(self):
        return self.body(self)


class Holder(nn.Module):
    """Calls the modules in its field."""

    held: object
    second: object = None

    def __call__(self):
        return [leaf() for leaf in jax.tree.leaves((self.held, self.second), is_leaf=is_module)]


def is_module(value):
    return isinstance(value, nn.Module)


def names(model):
    """The paths of the modules that have parameters."""
    params = model.init(KEY).get("params", {})
    return ["/".join(path[:-1]) for path in nn.traverse_util.flatten_dict(params)]
