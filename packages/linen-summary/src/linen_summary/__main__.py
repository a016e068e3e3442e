"""Runs the command `linen-summary` for `python -m linen_summary`."""

from __future__ import annotations

import sys

from linen_summary.commands.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
