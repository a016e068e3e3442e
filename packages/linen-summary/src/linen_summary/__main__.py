"""`python -m linen_summary`: the command `linen-summary`."""

from __future__ import annotations

import sys

from linen_summary.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
