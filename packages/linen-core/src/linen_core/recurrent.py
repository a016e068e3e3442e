"""`linen_core.recurrent` is `linen_core.layers.recurrent`, under the path that programs know it by."""

import sys

from linen_core.layers import recurrent
from linen_core.layers.recurrent import *  # noqa: F403 - all that it declares

sys.modules[__name__] = recurrent
