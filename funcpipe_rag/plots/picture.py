"""What every picture can do: show itself as SVG and as text, and say aloud what it shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape


class Picture:
    """Something to look at, with `to_svg()`, `to_text()`, and `alt` for who cannot see it.

    A notebook shows the SVG; a terminal, and a notebook that nobody has trusted yet, the text.
    """

    title = "Picture"

    @property
    def alt(self) -> str:
        """The picture in words."""
        raise NotImplementedError

    def to_text(self) -> str:
        """The picture in characters of one width."""
        raise NotImplementedError

    def to_svg(self) -> str:
        """The picture as one SVG element, which brings its own background."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.to_text()}\n{self.alt}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"image/svg+xml": self.to_svg(), "text/plain": repr(self)}


INK, QUIET, FAINT, PAPER = "#1a1a1a", "#595959", "#d4d4d4", "#ffffff"
"""Text, what stands back, lines behind, background. Each reads in grey as it does in colour."""

PAD = 12
CELL = 8
"""The room for a character of 12 pixels: more than any font of one width takes (they take 6.6 to 7.3)."""


def svg(width: int, height: int, parts: Sequence[str], *, title: str, alt: str) -> str:
    """An SVG document on paper of its own: black on black is what `currentColor` gives where a page shows it as a file.

    No style sheet, no script and no ids, so that it does no harm where it is set into a page.
    """
    return element(
        "svg",
        element("title", escaped(title)),
        element("desc", escaped(alt)),
        element("rect", x=0, y=0, width=width, height=height, rx=6, fill=PAPER),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=alt,
        font_family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
        font_size=12,
        fill=INK,
    )


def element(tag: str, *inside: str, **attributes: object) -> str:
    """One element: what is inside is markup already, attributes are escaped here (`stroke_width` is stroke-width)."""
    named = "".join(f' {name.replace("_", "-")}="{escaped(value)}"' for name, value in attributes.items())
    return f"<{tag}{named}>{''.join(inside)}</{tag}>" if inside else f"<{tag}{named}/>"


def text(x: int, y: int, words: str, **attributes: object) -> str:
    """A line of text that begins at `x` (or ends there, or has its middle there: `text_anchor`)."""
    return element("text", escaped(words), x=x, y=y, **attributes)


def escaped(value: object) -> str:
    """`value` as the inside of an element or an attribute, without what XML cannot hold."""
    return escape(printable(str(value)))


def printable(words: str) -> str:
    """On one line, and the same on every machine: control characters spelled out, addresses left out."""
    words = _ADDRESS.sub("", words)
    if words.isprintable():
        return words
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in words)


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def shortened(words: str, most: int, *, tail: int = 0) -> str:
    """At most `most` characters' room, with a dot-dot-dot for what was left out and `tail` characters after it.

    >>> shortened("'to be or not to be'", 12), shortened("documents_from_the_wiki", 12, tail=5)
    ("'to be or n…", 'docume…_wiki')

    A character of a wide script takes the room of two.

    >>> shortened("ラジオ体操第一", 7)
    'ラジオ…'
    """
    words = printable(words[: 40 * most] + words[40 * most :][-tail - 1 :])
    if room(words) <= most:
        return words
    end = words[len(words) - tail :]
    kept = ""
    for char in words:
        if room(kept + char) + 1 + room(end) > most:
            break
        kept += char
    return f"{kept}…{end}"


def room(words: str) -> int:
    """How many characters of one width these take; what may be wide counts as two, on every Python alike."""
    return sum(2 if char >= "\u1100" and char not in "…─" else 1 for char in words)


def padded(words: str, width: int) -> str:
    """`words` and as many blanks as fill `width`."""
    return words + " " * (width - room(words))
