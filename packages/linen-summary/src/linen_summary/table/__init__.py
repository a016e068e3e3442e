"""Tables as data, and the functions that build, print and compare them."""

from linen_summary.table.data import Row as Row
from linen_summary.table.table import Table as Table
