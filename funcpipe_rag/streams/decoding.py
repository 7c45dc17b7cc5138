"""Bytes to lines, however the bytes are cut: the state between two reads of a file.

It opens nothing and reads nothing: whoever has the bytes feeds them. A byte that its encoding does not have costs
the line that it stands on, and nothing else.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import StringIO
from typing import NamedTuple, TypeAlias


class UndecodableText(ValueError):
    """A file holds a byte that its encoding does not have.

    `path`, `line` (from 1), `offset` (of the byte, from 0), `byte` and `encoding` say where and what.
    """

    def __init__(self, path: str, line: int, offset: int, byte: int, encoding: str, reason: str) -> None:
        super().__init__(path, line, offset, byte, encoding, reason)
        self.path, self.line, self.offset = path, line, offset
        self.byte, self.encoding, self.reason = byte, encoding, reason

    @property
    def finding(self) -> str:
        """What was found, without the place.

        >>> UndecodableText("a.txt", 2, 7, 0xE9, "utf-8", "invalid continuation byte").finding
        'not utf-8: byte 0xe9 at offset 7 (invalid continuation byte)'
        """
        return f"not {self.encoding}: byte {self.byte:#04x} at offset {self.offset:,} ({self.reason})"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.finding}"


class BadLine(NamedTuple):
    r"""A line that cannot be decoded: the error, and the text with its bad bytes written out, as in "caf\xe9"."""

    error: UndecodableText
    text: str


Lines: TypeAlias = list[str] | BadLine
"""Lines that came together, or one that failed, in the order of the file."""


class LineDecoder:
    r"""Cuts what it is fed into lines and decodes them; "\n", "\r\n" and "\r" all end a line.

    >>> decoder = LineDecoder("a.txt", "utf-8")
    >>> list(decoder.feed(b"one\ntw")), list(decoder.feed(b"o\nthree")), list(decoder.end())
    ([['one']], [['two']], [['three']])

    A bad byte is looked at with the whole of its line; the lines around it are given as they are.

    >>> one, bad, three = LineDecoder("a.txt", "utf-8").feed(b"one\ncaf\xe9 two\nthree\n")
    >>> one, str(bad.error), bad.text, three
    (['one'], 'a.txt:2: not utf-8: byte 0xe9 at offset 7 (invalid continuation byte)', 'caf\\xe9 two', ['three'])

    A byte order mark at the beginning is not part of the text. UTF-16 and UTF-32 are cut at whole units, so one
    bad unit costs one line there too; without their mark, nobody knows the order of their bytes, and that is an
    UndecodableText raised, not a line. `keep_ends` leaves each line its end, as it stands in the file.

    Memory: the bytes of the line that has begun, and the lines of the last feed.
    """

    __slots__ = (
        "_codec",
        "_decoder",
        "_encoding",
        "_keep_ends",
        "_line",
        "_newline",
        "_offset",
        "_path",
        "_pending",
        "_return",
        "_seen",
        "_width",
    )

    def __init__(self, path: str, encoding: str, *, keep_ends: bool = False) -> None:
        self._path, self._encoding, self._keep_ends = path, encoding, keep_ends
        self._decoder: codecs.IncrementalDecoder | None = None
        self._pending = bytearray()
        self._seen = self._offset = 0
        self._line = 1

    def feed(self, data: bytes) -> Iterator[Lines]:
        """The lines that have become whole."""
        self._pending += data
        if self._decoder is None:
            self._begin(final=False)
        if self._decoder is not None:
            whole = self._whole()
            if whole:
                yield from self._decoded(self._decoder, whole, final=False)

    def end(self) -> Iterator[Lines]:
        """What stands behind the last line end: a line without one."""
        if self._pending and self._decoder is None:
            self._begin(final=True)
        if self._pending and self._decoder is not None:
            yield from self._decoded(self._decoder, len(self._pending), final=True)

    def _begin(self, *, final: bool) -> None:
        """Find the byte order and leave the mark out, once enough has come."""
        start = bytes(self._pending[:4])
        name = codecs.lookup(self._encoding).name
        if name in _ORDERS:
            orders = _ORDERS[name]
            if len(start) < len(orders[0][0]) and not final:
                return
            found = [ordered for mark, ordered in orders if start.startswith(mark)]
            if not found:
                raise UndecodableText(self._path, 1, 0, start[0], self._encoding, "it has no byte order mark")
            name = found[0]
        elif name == "utf-8-sig":
            name = "utf-8"
        try:
            mark = "\ufeff".encode(name)
        except UnicodeEncodeError:
            mark = b""
        if mark and start.startswith(mark):
            del self._pending[: len(mark)]
            self._offset = len(mark)
        elif len(start) < len(mark) and mark.startswith(start) and not final:
            return
        self._newline, self._return = "\n".encode(name), "\r".encode(name)
        self._codec, self._width = name, len(self._newline)
        self._decoder = codecs.getincrementaldecoder(name)()

    def _whole(self) -> int:
        """How many of the pending bytes are whole lines."""
        stop = len(self._pending) - len(self._pending) % self._width
        # A "\r" that comes last may be the first half of "\r\n".
        ended = self._last(self._newline, self._pending, self._seen, stop)
        whole = max(ended, self._last(self._return, self._pending, self._seen, stop - self._width))
        # What was looked through once is not looked through again: a line may be much longer than a read.
        self._seen = max(0, stop - whole - self._width)
        return whole

    def _decoded(self, decoder: codecs.IncrementalDecoder, size: int, *, final: bool) -> Iterator[Lines]:
        data = bytes(self._pending[:size])
        del self._pending[:size]
        at = 0
        while at < size:
            rest = data[at:]
            before = decoder.getstate()
            try:
                text = decoder.decode(rest, final)
            except UnicodeError as error:
                decoder.setstate(before)
                place, reason = at, str(error)
                if isinstance(error, UnicodeDecodeError):
                    # The decoder may have put bytes of its own in front.
                    place = min(max(at, at + error.start - len(error.object) + len(rest)), size - 1)
                    reason = error.reason
            else:
                yield self._split(text)
                break
            start = max(at, *(self._last(unit, data, at, place) for unit in (self._newline, self._return)))
            end = self._line_behind(data, place)
            if start > at:
                yield self._split(decoder.decode(data[at:start]))
            undecodable = UndecodableText(
                self._path, self._line, self._offset + place, data[place], self._encoding, reason
            )
            yield BadLine(undecodable, *self._split(data[start:end].decode(self._codec, "backslashreplace")))
            at = end
        self._offset += size

    def _split(self, text: str) -> list[str]:
        if self._keep_ends and text.count("\r") > text.count("\r\n"):
            # Four bytes a character while it works, so only where a "\r" of its own needs it.
            lines = list(StringIO(text, newline=""))
        elif self._keep_ends:
            *lines, last = text.split("\n")
            lines = [f"{line}\n" for line in lines]
            if last:
                lines.append(last)
        else:
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            if not lines[-1]:
                lines.pop()
        self._line += len(lines)
        return lines

    def _last(self, unit: bytes, data: bytes | bytearray, start: int, stop: int) -> int:
        """Where the last `unit` before `stop` ends, or 0."""
        at = data.rfind(unit, start, max(stop, 0))
        while at >= 0 and at % self._width:
            # A part of one unit and a part of the next.
            at = data.rfind(unit, start, at + self._width - 1)
        return at + self._width if at >= 0 else 0

    def _line_behind(self, data: bytes, start: int) -> int:
        """Where the line ends, its end included, that `start` stands on."""
        ends = [self._first(unit, data, start) for unit in (self._newline, self._return)]
        end = min((end for end in ends if end), default=len(data))
        both = self._return + self._newline
        return end + self._width if data[end - self._width : end + self._width] == both else end

    def _first(self, unit: bytes, data: bytes, start: int) -> int:
        at = data.find(unit, start)
        while at >= 0 and at % self._width:
            at = data.find(unit, at + 1)
        return at + self._width if at >= 0 else 0


# The byte order of a file whose encoding leaves it open, by its mark.
_ORDERS = {
    "utf-16": ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
    "utf-32": ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
}
