"""Cells are the same in CSV, Markdown, HTML and JSON."""

import csv
import io
import json

from linen_summary.text.grids import Exportable, Grid


class Prices(Exportable):
    total = None

    def to_dict(self):
        return {"prices": [1234, 5]}

    def _grid(self):
        return Grid("<Prices>", ["name", "cents"], [["a|b", 1234], ["c_d *e*", 5]], self.total)


class Totals(Prices):
    total = ("all", 1239)


def test_json():
    assert json.loads(Prices().to_json()) == Prices().to_dict()
    assert Prices().to_json(indent=None) == '{"prices": [1234, 5]}'


def test_csv_has_plain_numbers_and_leaves_out_totals():
    expected = [["name", "cents"], ["a|b", "1234"], ["c_d *e*", "5"]]
    for prices in (Prices(), Totals()):
        assert list(csv.reader(io.StringIO(prices.to_csv()))) == expected


def test_markdown_escapes_and_groups_digits():
    assert Prices().to_markdown() == (
        "| name | cents |\n| --- | --- |\n| a\\|b | 1,234 |\n| c_d \\*e\\* | 5 |\n"
    )
    assert Totals().to_markdown() == Prices().to_markdown() + "| all | 1,239 |\n"


def test_html_escapes_and_aligns_numbers_right():
    html = Prices().to_html()
    assert "<caption>&lt;Prices&gt;</caption>" in html
    assert '<td style="text-align: right; vertical-align: top">1,234</td>' in html
    assert "<tfoot>" not in html
    assert "1,239</th></tr>\n</tfoot>" in Totals().to_html()
    assert Prices()._repr_html_() == html
