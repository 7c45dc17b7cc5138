"""The text of a web page, in the order it is read: headings in Markdown's form, a line for each block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from funcpipe_rag.streams.ownership import Owned

from .detecting import NotText
from .types import TextStream

# What a parser may hold back, waiting for the end of a tag, a comment or a script.
LONGEST_TAG = 8 << 20


def gen_page_text(markup: TextStream) -> Iterator[str]:
    r"""The text of a page whose markup comes in blocks; the same text whatever the blocks.

    >>> page = "<title>T</title><h2>Tee &amp; fork</h2><p>Splits  a\nstream.<ul><li>one<li>two</ul><script>x</script>"
    >>> "".join(gen_page_text(lambda: iter([page])))
    'T\n\n## Tee & fork\n\nSplits a stream.\n\n- one\n- two\n'

    A page without text has none.

    >>> "".join(gen_page_text(lambda: iter(["<style>p {}</style>"])))
    ''

    Class: pure. Demand: a block of markup gives the text in it. Memory: one block, and a tag, comment or script
    that has begun. Closing: closes the markup. Errors: its own; NotText for a tag, comment or script of more than
    8 Mi characters, and for what is no HTML at all.
    """
    page = _Page()
    with Owned() as owned:
        for block in owned.called(markup):
            page.read(block)
            if len(page.rawdata) > LONGEST_TAG:
                raise NotText(
                    f"a tag, comment or script of more than {LONGEST_TAG:,} characters is not closed"
                )
            yield from page.taken()
        page.finish()
        yield from page.taken()


FENCE = "```"

# Space left above a block, in newlines.
_BREAKS = {
    **dict.fromkeys(("li", "tr", "br", "dt", "dd", "option"), 1),
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), 2),
    **dict.fromkeys(("p", "div", "section", "article", "ul", "ol", "dl", "table", "pre", "blockquote"), 2),
    **dict.fromkeys(("header", "footer", "nav", "main", "aside", "form", "figure", "title", "hr", "body"), 2),
}
_SILENT = ("script", "style")
_SPACES = re.compile(r"[ \t\n\r\f]+")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._breaks = 0  # newlines owed before the next words
        self._space = False  # a blank owed
        self._begun = False
        self._silent = ""
        self._plain = 0
        self._fenced = False
        self._line_end = ""
        self._link = False  # within the mark behind a heading that leads back to it

    def read(self, block: str) -> None:
        """Take the next block of markup; NotText for what the parser cannot make anything of."""
        try:
            self.feed(block)
        except AssertionError as error:  # how the parser refuses a declaration it does not know
            raise NotText(f"not HTML: {error}") from None

    def finish(self) -> None:
        """There is no more markup."""
        try:
            self.close()
        except AssertionError as error:
            raise NotText(f"not HTML: {error}") from None
        if self._fenced:
            self._out.append(f"{self._line_end}{FENCE}")
        if self._begun:
            self._out.append("\n")

    def taken(self) -> Iterator[str]:
        """The text read since the last call."""
        if self._out:
            yield "".join(self._out)
            self._out.clear()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._silent:
            return
        if tag in _SILENT:
            self._silent = tag
            return
        self._break(tag)
        if tag == "pre":
            self._plain += 1
        elif tag == "a" and any(name == "class" and value and "headerlink" in value for name, value in attrs):
            self._link = True
        elif tag in ("td", "th"):
            self._space = True
        elif tag == "li":
            self._write("- ")
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._write("#" * int(tag[1]) + " ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._silent:
            self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag == self._silent:
                self._silent = ""
            return
        if tag == "pre" and self._plain:
            self._plain -= 1
            if self._fenced and not self._plain:
                self._out.append(f"{self._line_end}{FENCE}")
                self._fenced = False
        elif tag == "a":
            self._link = False
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._silent or self._link:
            return
        if self._plain:
            # Fenced, as Markdown has it: a comment in a program is no heading.
            self._write(data if self._fenced else f"{FENCE}\n{data}")
            self._fenced = True
            self._line_end = "" if data.endswith("\n") else "\n"
            return
        if data[0] in " \t\n\r\f":
            self._space = True
        words = _SPACES.sub(" ", data).strip(" ")
        if words:
            self._write(words)
            self._space = data[-1] in " \t\n\r\f"

    def _break(self, tag: str) -> None:
        self._breaks = max(self._breaks, _BREAKS.get(tag, 0))

    def _write(self, words: str) -> None:
        if self._begun and self._breaks:
            self._out.append("\n" * self._breaks)
        elif self._begun and self._space:
            self._out.append(" ")
        self._out.append(words)
        self._breaks, self._space, self._begun = 0, False, True
