"""`linen_core.initializers` is `linen_core.layers.initializers`, under the path that programs know it by."""

import sys

from linen_core.layers import initializers
from linen_core.layers.initializers import *  # noqa: F403 - all that it declares

sys.modules[__name__] = initializers
