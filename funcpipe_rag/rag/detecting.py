"""Which encoding a file is in: what it declares, what its bytes show, else what the caller says.

Nothing is guessed that could be wrong without an error: a mark, a declaration, UTF-8 that holds, and the zero
bytes of UTF-16 are facts; one 8-bit encoding looks like another, so those must be named.
"""

from __future__ import annotations

import codecs
import re
from io import BufferedReader


class NotText(ValueError):
    """A file that holds no text, or none that says how to read it."""


def encoding_of(file: BufferedReader, path: str, encoding: str) -> str:
    r"""The encoding of an opened file; `encoding` where it does not show one. NotText if it is no text.

    >>> from io import BytesIO
    >>> encoding_of(BufferedReader(BytesIO("text".encode("utf-16-le"))), "a.txt", "utf-8")
    'utf-16-le'
    >>> encoding_of(BufferedReader(BytesIO(b'<meta charset="latin-1">')), "a.html", "utf-8")
    'latin-1'
    >>> encoding_of(BufferedReader(BytesIO(bytes(64))), "a.txt", "utf-8")
    Traceback (most recent call last):
    ...
    funcpipe_rag.rag.detecting.NotText: not text: 100 % of its first 64 bytes are control bytes
    """
    head = file.read(4096)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return encoding
    if head.startswith(_GZIP):
        raise NotText("not text: it is compressed (gzip); unpack it first")
    wide = _utf16_without_mark(head)
    if wide:
        return wide
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls * 50 > len(head):
        share = f"{100 * controls / len(head):.0f} % of its first {len(head):,} bytes"
        raise NotText(f"not text: {share} are control bytes")
    declared = _declared(head, path.lower())
    if declared is None and codecs.lookup(encoding).name != "utf-8" and _is_utf8(file):
        declared = "utf-8"
    return declared or encoding


# UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GZIP = b"\x1f\x8b"

# What no text has: all C0 controls but backspace, tab, newline, vertical tab, form feed, return and escape.
_CONTROLS = bytes(byte for byte in (*range(32), 127) if byte not in b"\b\t\n\v\f\r\x1b")

_CODING = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263
_NO_CODE = re.compile(rb"[ \t\f]*(?:#|$)")
_CHARSET = re.compile(
    rb"<(?:meta\b[^>]*?charset|\?xml\b[^>]*?encoding)\s*=\s*[\"']?\s*([-\w.:]+)", re.IGNORECASE
)


def _utf16_without_mark(head: bytes) -> str | None:
    """Text whose every other byte is mostly zero is UTF-16, if the letters are ours; binary has zeros on both sides."""
    low, high = head[0::2], head[1::2]
    zeros = low.count(0), high.count(0)
    for order, many, few in (("utf-16-le", zeros[1], zeros[0]), ("utf-16-be", zeros[0], zeros[1])):
        if many * 2 > len(low) and few * 50 <= len(low):
            letters = low if order == "utf-16-le" else high
            return order if len(letters.translate(None, _CONTROLS)) * 50 >= len(letters) * 49 else None
    return None


def _declared(head: bytes, path: str) -> str | None:
    if path.endswith(".py"):
        found = _coding_line(head)
        how = "coding line names"
    elif path.endswith((".html", ".htm")):
        found = _CHARSET.search(head)
        how = "header declares"
    else:
        return None
    if not found:
        return None
    name = found[1].decode("ascii", "replace")
    try:
        known = codecs.lookup(name)
    except LookupError:
        raise NotText(f"its {how} {name!r}, an encoding that Python does not have") from None
    # A page that could be read so far as to say "UTF-16" is not in it.
    return "utf-8" if known.name.startswith(("utf-16", "utf-32")) else name


def _coding_line(head: bytes) -> re.Match[bytes] | None:
    for line in head.splitlines()[:2]:
        found = _CODING.match(line)
        if found:
            return found
        if not _NO_CODE.match(line):
            return None
    return None


def _is_utf8(file: BufferedReader) -> bool:
    """Whether a file has characters beyond ASCII, all of them good UTF-8; other encodings hardly look so."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    beyond = False
    try:
        while data := file.read(65536):
            beyond = beyond or not data.isascii()
            decoder.decode(data)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return beyond
