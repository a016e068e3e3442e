"""Functions and modules by name, as config files give them."""
import importlib
from importlib import import_module

_ALIASES = {"silu": "swish"}


def activation(name: str):
    if name == "linear":
        return lambda x: x
    return getattr(importlib.import_module("flax.linen"), _ALIASES.get(name, name))


def initializer(name: str, *args):
    return getattr(import_module('flax.linen.initializers'), name)(*args)


def has_module(name):
    return hasattr(__import__("flax.linen", fromlist=["Module"]), name)
