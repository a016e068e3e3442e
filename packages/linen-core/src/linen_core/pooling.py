"""`linen_core.pooling` is `linen_core.layers.pooling`, under the path that programs know it by."""

import sys

from linen_core.layers import pooling
from linen_core.layers.pooling import *  # noqa: F403 - all that it declares

sys.modules[__name__] = pooling
