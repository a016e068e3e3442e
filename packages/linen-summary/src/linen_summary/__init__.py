"""linen-summary: see what a Linen model is made of."""

from linen_summary.summarizing import summarize as summarize
from linen_summary.table import Row as Row
from linen_summary.table import Table as Table
from linen_summary.tabulating import tabulate as tabulate

__all__ = ["Row", "Table", "summarize", "tabulate"]
