"""`linen_core.combinators` is `linen_core.layers.combinators`, under the path that programs know it by."""

import sys

from linen_core.layers import combinators
from linen_core.layers.combinators import *  # noqa: F403 - all that it declares

sys.modules[__name__] = combinators
