"""`linen_core.attention` is `linen_core.layers.attention`, under the path that programs know it by."""

import sys

from linen_core.layers import attention
from linen_core.layers.attention import *  # noqa: F403 - all that it declares

sys.modules[__name__] = attention
