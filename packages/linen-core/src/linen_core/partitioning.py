"""`linen_core.partitioning` is `linen_core.spmd.partitioning`, under the path that programs know it by."""

import sys

from linen_core.spmd import partitioning
from linen_core.spmd.partitioning import *  # noqa: F403 - all that it declares

sys.modules[__name__] = partitioning
