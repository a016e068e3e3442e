"""`linen_core.batch_apply` is `linen_core.layers.batch_apply`, under the path that programs know it by."""

import sys

from linen_core.layers import batch_apply
from linen_core.layers.batch_apply import *  # noqa: F403 - all that it declares

sys.modules[__name__] = batch_apply
