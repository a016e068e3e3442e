"""Whether all combinations of the slow cases run: they do if ``LINEN_EXAMPLES`` is above 16."""

import os

IS_LONG = int(os.environ.get("LINEN_EXAMPLES", "0")) > 16
