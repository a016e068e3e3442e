"""linen-summary: see what a Linen model is made of."""

# A model as data
# Variables alone
# Pictures
from linen_summary.charts import Chart as Chart
from linen_summary.charts import bars as bars
from linen_summary.charts import treemap as treemap
from linen_summary.comparing import Change as Change
from linen_summary.comparing import Comparison as Comparison
from linen_summary.comparing import compare as compare
from linen_summary.stores import tabulate_store as tabulate_store
from linen_summary.summarizing import summarize as summarize
from linen_summary.table import Row as Row
from linen_summary.table import Table as Table

# The table of flax.linen
from linen_summary.tabulating import tabulate as tabulate

__all__ = [
    "Change",
    "Chart",
    "Comparison",
    "Row",
    "Table",
    "bars",
    "compare",
    "summarize",
    "tabulate",
    "tabulate_store",
    "treemap",
]
