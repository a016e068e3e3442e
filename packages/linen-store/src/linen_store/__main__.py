"""`python -m linen_store`: the command `linen-store`."""

from __future__ import annotations

import sys

from linen_store.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
