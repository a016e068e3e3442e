"""`linen_core.fp8_ops` is `linen_core.layers.fp8_ops`, under the path that programs know it by."""

import sys

from linen_core.layers import fp8_ops
from linen_core.layers.fp8_ops import *  # noqa: F403 - all that it declares

sys.modules[__name__] = fp8_ops
