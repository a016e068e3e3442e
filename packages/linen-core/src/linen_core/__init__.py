"""Linen: the Module system for JAX.

Import it as `import linen_core as nn`. The names that a user may rely on are listed in `__init__.pyi`.
"""

from linen_core import module as module
from linen_core import traceback_util as traceback_util
from linen_core._lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
