"""`linen_core.stochastic` is `linen_core.layers.stochastic`, under the path that programs know it by."""

import sys

from linen_core.layers import stochastic
from linen_core.layers.stochastic import *  # noqa: F403 - all that it declares

sys.modules[__name__] = stochastic
