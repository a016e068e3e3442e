"""`linen_core.summary` is the package `linen_summary`, under the path that programs know it by."""

import sys

from linen_core._doorways import resolve_sister

sys.modules[__name__] = resolve_sister("linen_summary", None)
