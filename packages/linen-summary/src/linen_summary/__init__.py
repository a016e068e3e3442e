"""linen-summary: tables and charts of Linen models and their variables."""

from linen_summary.charts.chart import Chart as Chart
from linen_summary.charts.chart import bars as bars
from linen_summary.charts.chart import treemap as treemap
from linen_summary.table.compare import Change as Change
from linen_summary.table.compare import Comparison as Comparison
from linen_summary.table.compare import compare as compare
from linen_summary.table.data import ArrayRepresentation as _ArrayRepresentation
from linen_summary.table.data import ObjectRepresentation as _ObjectRepresentation
from linen_summary.table.data import Row as Row
from linen_summary.table.stores import tabulate_store as tabulate_store
from linen_summary.table.summarize import summarize as summarize
from linen_summary.table.table import Table as Table
from linen_summary.table.tabulate import tabulate as tabulate

__all__ = [
    "Change",
    "Chart",
    "Comparison",
    "Row",
    "Table",
    "_ArrayRepresentation",
    "_ObjectRepresentation",
    "bars",
    "compare",
    "summarize",
    "tabulate",
    "tabulate_store",
    "treemap",
]
