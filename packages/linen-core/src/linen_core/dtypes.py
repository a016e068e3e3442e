"""`linen_core.dtypes` is `linen_core.layers.dtypes`, under the path that programs know it by."""

import sys

from linen_core.layers import dtypes
from linen_core.layers.dtypes import *  # noqa: F403 - all that it declares

sys.modules[__name__] = dtypes
