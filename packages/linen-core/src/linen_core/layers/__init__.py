"""The standard layers, activation functions and initializers.

`__init__.pyi` lists the names. A file is imported when one of its names is first used.
"""

from linen_core._lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
