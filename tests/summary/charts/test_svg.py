"""SVG and HTML parse, and contain each number."""

import html.parser
import xml.etree.ElementTree as ET

import pytest

from linen_summary import bars, treemap

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("draw", [treemap, bars])
@pytest.mark.parametrize("width", [1, 10, 100])
def test_narrow_pictures_have_no_negative_sizes(table, draw, width):
    picture = ET.fromstring(draw(table).to_svg(width, width))
    sizes = [rect.get(side) for rect in picture.iter(f"{SVG}rect") for side in ("width", "height")]
    assert not any(size.startswith("-") for size in sizes)


@pytest.mark.parametrize("draw", [treemap, bars])
@pytest.mark.parametrize("by", ["size", "bytes", "flops", "macs"])
def test_svg_parses_and_contains_each_number(table, draw, by):
    chart = draw(table, by)
    picture = ET.fromstring(chart.to_svg())
    titles = [title.text for title in picture.iter(f"{SVG}title")]
    assert titles[0] == chart.title
    assert any(text.startswith("<shared & odd>: ") for text in titles[1:])
    assert len(list(picture.iter(f"{SVG}rect"))) == len(titles)
    assert chart._repr_svg_() == chart.to_svg()


class Tags(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open = []
        self.seen = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag


def test_html_is_self_contained(table):
    page = treemap(table).to_html()
    parsed = Tags(page)
    assert parsed.open == []
    assert {"svg", "button", "script"} <= parsed.seen
    assert "src=" not in page
    assert "href=" not in page.replace("link.href", "")
