"""Shares of the modules of a table as treemaps and bars."""

from linen_summary.charts.chart import Chart as Chart
from linen_summary.charts.chart import bars as bars
from linen_summary.charts.chart import treemap as treemap
