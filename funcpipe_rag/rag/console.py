"""What the commands of this room say, and how: facts on standard output, mistakes and progress on standard error."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from .embedding import EmbedderProblem
from .generating import LLMProblem
from .index import IndexProblem
from .retrieve import QueryError

DONE, FAILED, USAGE, PARTLY, INTERRUPTED = 0, 1, 2, 3, 130

out = Console(highlight=False, markup=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

IndexOption = Annotated[str, typer.Option("--index", metavar="FILE", help="The index: one file.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON value, and nothing else, on stdout.")
]


class Usage(Exception):
    """Something in the command that cannot be right."""


@contextmanager
def mistakes(index: str) -> Iterator[None]:
    """A user's mistake is one line on standard error and an exit code, never a traceback."""
    try:
        yield
    except (Usage, QueryError) as error:
        give_up(str(error), USAGE)
    except (IndexProblem, EmbedderProblem, LLMProblem) as error:
        give_up(str(error), FAILED)
    except ValueError as error:
        give_up(str(error), USAGE)
    except sqlite3.OperationalError as error:
        # A disk that is full, a file that is locked, a question that is too long: nothing to delete an index for.
        give_up(f"{index}: {error}", FAILED)
    except sqlite3.Error as error:
        give_up(f"{index} is damaged ({error}); delete it and build it again", FAILED)
    except BrokenPipeError:
        raise  # the reader has seen enough: typer ends quietly
    except OSError as error:
        give_up(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "), FAILED)


def give_up(message: str, code: int) -> NoReturn:
    """Say what is wrong, and exit."""
    err.print(f"funcpipe-rag: {one_line(message)}")
    raise typer.Exit(code) from None


def fact(name: str, value: str) -> None:
    """One line: a word, and what there is to say about it."""
    out.print(f"{name:<10} {one_line(value)}")


# Line ends, what a terminal would obey, and what turns the order of letters around.
_OBEYED = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    r"""A text on one line, whatever is in the names of files or in what a server says.

    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return _OBEYED.sub(lambda one: one[0].encode("unicode_escape").decode("ascii"), text)


def print_json(value: dict[str, Any]) -> None:
    """One JSON value, for machines."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeError:  # a byte of a question that is no text, a terminal that has few letters
        text = json.dumps(value)
    sys.stdout.write(f"{text}\n")


def amount(count: int, thing: str) -> str:
    """A number of things."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def megabytes(size: int) -> str:
    """A size in bytes, as people read it."""
    return f"{size / 1e6:,.0f} MB" if size >= 10_000_000 else f"{size / 1e6:,.1f} MB"


def shortened(text: str, most: int) -> str:
    """A text cut at a word, with an ellipsis."""
    return text if len(text) <= most else text[:most].rpartition(" ")[0] + " …"
