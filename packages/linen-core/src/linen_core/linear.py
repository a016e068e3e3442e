"""`linen_core.linear` is `linen_core.layers.linear`, under the path that programs know it by."""

import sys

from linen_core.layers import linear
from linen_core.layers.linear import *  # noqa: F403 - all that it declares

sys.modules[__name__] = linear
