"""`linen_core.normalization` is `linen_core.layers.normalization`, under the path that programs know it by."""

import sys

from linen_core.layers import normalization
from linen_core.layers.normalization import *  # noqa: F403 - all that it declares

sys.modules[__name__] = normalization
