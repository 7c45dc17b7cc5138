"""Records of text files: the rows of a CSV file, the values of a JSON Lines file.

A record that cannot be read is a failure with file and line, under the three policies of the package, and never
changes what the records around it say.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from json import JSONDecodeError, JSONDecoder
from typing import Any, Literal, NoReturn, overload

from .arguments import a_whole_number
from .decoding import BadLine, Lines, UndecodableText
from .ownership import Owned
from .reports import OnError, Told, policy
from .results import Err
from .sources import Encoding, a_known_encoding, a_path, lines_of
from .stages import Stage


class BadRecord(ValueError):
    """A row or a value cannot be read: `path`, `line` (from 1; where the record begins) and `reason` say why.

    >>> str(BadRecord("people.csv", 3, "1 field for 2 columns"))
    'people.csv:3: 1 field for 2 columns'
    """

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(path, line, reason)
        self.path, self.line, self.reason = path, line, reason

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@overload
def make_csv_source(
    path: str | os.PathLike[str],
    *,
    columns: Iterable[str] | None = ...,
    delimiter: str = ...,
    quotechar: str | None = ...,
    encoding: Encoding = ...,
    block: int = ...,
    on_error: Literal["fail", "skip"] = ...,
    report: Told | None = ...,
) -> Stage[[], Iterator[dict[str, str]]]: ...
@overload
def make_csv_source(
    path: str | os.PathLike[str],
    *,
    columns: Iterable[str] | None = ...,
    delimiter: str = ...,
    quotechar: str | None = ...,
    encoding: Encoding = ...,
    block: int = ...,
    on_error: Literal["collect"],
    report: Told | None = ...,
) -> Stage[[], Iterator[dict[str, str] | Err[str]]]: ...
def make_csv_source(
    path: str | os.PathLike[str],
    *,
    columns: Iterable[str] | None = None,
    delimiter: str = ",",
    quotechar: str | None = '"',
    encoding: Encoding = "utf-8",
    block: int = 65536,
    on_error: OnError = "fail",
    report: Told | None = None,
) -> Stage[[], Iterator[Any]]:
    r"""The rows of a CSV file, each a dict of text by column; the first row names the columns.

    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> path = os.path.join(folder.name, "people.csv")
    >>> with open(path, "w", newline="") as file:
    ...     _ = file.write('name,says\nAda,"one\ntwo"\nBob\n\nCyd,"3"\n')
    >>> next(make_csv_source(path)())
    {'name': 'Ada', 'says': 'one\ntwo'}

    A row that is too short or too long, a quote that is out of place and a byte that the encoding does not have are
    failures: raised ("fail"), dropped and counted ("skip"), or an `Err` in the row's place ("collect"), whose item
    is the row's text. The line is where the row begins, though the rows before it may have line ends in their quotes.

    >>> failed = [row for row in make_csv_source(path, on_error="collect")() if isinstance(row, Err)]
    >>> failed[0].item, failed[0].index, str(failed[0].error).replace(folder.name, "")
    ('Bob\n', 1, '/people.csv:4: 1 field for 2 columns')
    >>> from funcpipe_rag.streams.reports import Report
    >>> dropped = Report()
    >>> [row["name"] for row in make_csv_source(path, on_error="skip", report=dropped)()], dropped
    (['Ada', 'Cyd'], Report(1 BadRecord in make_csv_source))
    >>> folder.cleanup()

    `columns` names the columns of a file whose first row is data. Quoting is strict, as RFC 4180 has it;
    `quotechar=None` is for files that quote nothing, as many with `delimiter="\t"`. Empty lines between rows are no rows.
    A field may be as long as `csv.field_size_limit()` allows, so a quote that nobody closes ends there, in a
    failure, and not at the end of a large file.

    Class: external. Demand: reads a block when the lines of the last do not make a row. Memory: one block and the
    longest row. Closing: closes the file on exhaustion, early stop and error. Errors: OSError; BadRecord and
    UndecodableText (both ValueErrors), after the rows before them; a bad first row is one whatever the policy,
    for without names there are no rows. ValueError and TypeError for a bad argument, at construction.
    """
    name = a_path("make_csv_source", path)
    block = a_whole_number("make_csv_source", "block", block, least=1)
    a_known_encoding(encoding)
    given = _columns(columns)
    separator = _a_mark("delimiter", delimiter)
    quote = None if quotechar is None else _a_mark("quotechar", quotechar)
    if separator == quote:
        raise ValueError(f"make_csv_source: delimiter and quotechar must differ, got {delimiter!r} for both")
    failures_of = policy("make_csv_source", on_error, report=report)

    def run() -> Iterator[Any]:
        names = given
        index = 0
        with failures_of() as failures, Owned() as owned:
            text: list[str] = []
            undecodable: list[UndecodableText] = []
            runs = owned.take(lines_of(name, encoding, block, keep_ends=True))
            rows = csv.reader(
                _noted(runs, text, undecodable),
                delimiter=separator,
                quotechar=quote,
                quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
                strict=True,
            )
            while True:
                start, reason = rows.line_num + 1, ""
                text.clear()
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    reason = str(error)
                    if rows.line_num > start:
                        reason += f" (the row goes on to line {rows.line_num})"
                else:
                    if not row:
                        continue
                    if names is None:
                        reason = _twice(row)
                    elif len(row) != len(names):
                        reason = f"{_counted(len(row), 'field')} for {_counted(len(names), 'column')}"
                if reason or undecodable:
                    failure = undecodable[0] if undecodable else BadRecord(name, start, reason)
                    if names is None:
                        raise failure
                    yield from failures.handle(failure, "".join(text), index)
                    undecodable.clear()
                    index += 1
                elif names is None:
                    names = tuple(row)
                else:
                    yield dict(zip(names, row, strict=True))
                    index += 1

    options = {} if given is None else {"columns": given}
    return Stage(run, "source", "make_csv_source", name, **options)


def make_jsonl_source(
    path: str | os.PathLike[str],
    *,
    allow_nan: bool = False,
    encoding: Encoding = "utf-8",
    block: int = 65536,
    on_error: OnError = "fail",
    report: Told | None = None,
) -> Stage[[], Iterator[Any]]:
    r"""The values of a JSON Lines file, one a line.

    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> path = os.path.join(folder.name, "events.jsonl")
    >>> with open(path, "w", newline="") as file:
    ...     _ = file.write('{"id": 1}\n\n[2, \n"three"\n')
    >>> next(make_jsonl_source(path)())
    {'id': 1}

    A line that is no JSON, and a byte that the encoding does not have, are failures: raised ("fail"), dropped and
    counted ("skip"), or an `Err` in the line's place ("collect"), whose item is the line.

    >>> one, failed, three = make_jsonl_source(path, on_error="collect")()
    >>> failed.item, failed.index, str(failed.error).replace(folder.name, "")
    ('[2, ', 1, '/events.jsonl:3: Expecting value at column 5')
    >>> from funcpipe_rag.streams.reports import Report
    >>> dropped = Report()
    >>> list(make_jsonl_source(path, on_error="skip", report=dropped)()), dropped
    ([{'id': 1}, 'three'], Report(1 BadRecord in make_jsonl_source))
    >>> folder.cleanup()

    Empty lines are no values. NaN and Infinity are no JSON, though Python writes them: `allow_nan` takes them, as in
    `json.dumps`. Of two equal keys the last one counts, as in `json.loads`. Lines end as in make_lines_source.

    Class: external. Demand: reads a block when no whole line is left of the last. Memory: one block, the longest
    line and its value. Closing: closes the file on exhaustion, early stop and error. Errors: OSError; BadRecord
    and UndecodableText (both ValueErrors), after the values before them. ValueError and TypeError for a bad
    argument, at construction.
    """
    name = a_path("make_jsonl_source", path)
    block = a_whole_number("make_jsonl_source", "block", block, least=1)
    a_known_encoding(encoding)
    failures_of = policy("make_jsonl_source", on_error, report=report)
    # Made once: json.loads() would make one for every line.
    parse = JSONDecoder(parse_constant=None if allow_nan else _refuse).decode

    def run() -> Iterator[Any]:
        number = index = 0
        with failures_of() as failures, Owned() as owned:
            for lines in owned.take(lines_of(name, encoding, block)):
                if isinstance(lines, BadLine):
                    yield from failures.handle(lines.error, lines.text, index)
                    number += 1
                    index += 1
                    continue
                for line in lines:
                    number += 1
                    if not line.strip(" \t"):
                        continue
                    reason = ""
                    try:
                        value = parse(line)
                    except JSONDecodeError as error:
                        reason = f"{error.msg} at column {error.colno}"
                    except RecursionError:
                        reason = "nested too deeply"
                    except ValueError as error:
                        reason = str(error)
                    if reason:
                        yield from failures.handle(BadRecord(name, number, reason), line, index)
                    else:
                        yield value
                        del value  # the next one is not parsed while this one is held
                    index += 1

    options = {"allow_nan": True} if allow_nan else {}
    return Stage(run, "source", "make_jsonl_source", name, **options)


def _noted(runs: Iterator[Lines], text: list[str], undecodable: list[UndecodableText]) -> Iterator[str]:
    """The lines for a csv reader; what it has read of a row stands in `text`, and what is wrong in `undecodable`."""
    for lines in runs:
        if isinstance(lines, BadLine):
            # The reader sees it all the same: its quotes tell where the row ends.
            undecodable.append(lines.error)
            lines = [lines.text]
        for line in lines:
            text.append(line)
            yield line


def _columns(names: Iterable[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    if isinstance(names, str):
        raise TypeError(
            f'make_csv_source: columns is a list of names, like ["id"], not one str; got {names!r}'
        )
    chosen = tuple(names)
    for name in chosen:
        if not isinstance(name, str):
            raise TypeError(f"make_csv_source: columns must be text, got {name!r}")
    if not chosen:
        raise ValueError("make_csv_source: columns must name at least one column, got none")
    if reason := _twice(chosen):
        raise ValueError(f"make_csv_source: columns: {reason}")
    return chosen


def _twice(names: Sequence[str]) -> str:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    return "" if twice is None else f"two columns are called {twice!r}, and a row is a dict by column"


def _counted(many: int, thing: str) -> str:
    return f"{many} {thing}{'s' * (many != 1)}"


def _a_mark(argument: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"make_csv_source: {argument} must be one character, got {type(value).__name__}")
    if len(value) != 1 or value in "\r\n":
        raise ValueError(f"make_csv_source: {argument} must be one character and no line end, got {value!r}")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON; allow_nan=True takes it")
