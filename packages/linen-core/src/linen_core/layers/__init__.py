"""The standard layers, the functions between them, and the initializers of their parameters.

A file of this folder is imported when a name of it is first used. `linen_core/__init__.pyi` lists the names.
"""

from linen_core._lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
