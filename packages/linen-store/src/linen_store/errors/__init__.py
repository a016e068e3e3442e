"""Every failure that linen_store reports, one class each.

The line of an error says where it happened, what was found and what was expected, then what to do. The data behind the
text is on the error as attributes, and every error survives pickling as its own class.
"""

from linen_store.errors._commands import *
from linen_store.errors._reading import *
from linen_store.errors._restoring import *
from linen_store.errors._saving import *
from linen_store.errors._system import *
from linen_store.errors._values import *
from linen_store.errors._views import *

# Tracebacks, pickles and users name the errors by this module.
_public = {name: value for name, value in vars().items() if isinstance(value, type)}
globals()["__all__"] = sorted(_public)
for _error in _public.values():
    _error.__module__ = __name__
