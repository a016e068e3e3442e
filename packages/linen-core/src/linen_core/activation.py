"""`linen_core.activation` is `linen_core.layers.activation`, under the path that programs know it by."""

import sys

from linen_core.layers import activation
from linen_core.layers.activation import *  # noqa: F403 - all that it declares

sys.modules[__name__] = activation
