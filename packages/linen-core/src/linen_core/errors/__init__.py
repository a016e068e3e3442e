"""Every failure that linen_core reports, one class each.

The first line of an error says where it happened, what was found and what was expected. The next says what to do.
The same details are attributes of the error, and every error survives pickling as its own class.
"""

from linen_core.errors._base import FlaxError as FlaxError
from linen_core.errors._base import LinenError as LinenError
from linen_core.errors._base import did_you_mean as did_you_mean
from linen_core.errors._base import listing as listing
from linen_core.errors._base import render_path as render_path
from linen_core.errors._checkpoints import *
from linen_core.errors._layers import *
from linen_core.errors._modules import *
from linen_core.errors._scopes import *
from linen_core.errors._stores import *
from linen_core.errors._transforms import *

_errors = {name: item for name, item in globals().items() if isinstance(item, type)}
globals()["__all__"] = sorted(_errors)

# Tracebacks and pickles name an error by this module, which is the public one.
for _error in _errors.values():
    _error.__module__ = __name__
