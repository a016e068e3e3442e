"""Rich output as text and as a picture."""

import xml.etree.ElementTree as ET

from rich.text import Text

from linen_summary.text.printing import print_svg, print_text


def test_text_has_neither_colours_nor_trailing_spaces():
    assert print_text(Text("red   ", "red")) == "red"
    assert print_text("one two three", width=8) == "one two\nthree"


def test_svg_is_a_complete_document_without_trailing_spaces():
    svg = print_svg(Text("a <cell>"), 20, "Title")
    assert "a <cell>" in "".join(ET.fromstring(svg).itertext()).replace("\xa0", " ")
    assert svg.endswith("</svg>\n")
    assert all(line == line.rstrip() for line in svg.splitlines())
