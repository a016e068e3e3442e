"""The standard layers, the functions between them, and the initializers of their parameters.

The names are listed in `__init__.pyi`. A file is imported when a name of it is first used.
"""

from linen_core._lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
