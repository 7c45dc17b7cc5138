"""Running a law: look for an input that breaks it, make that input small, and tell what came."""

from __future__ import annotations

import asyncio
import inspect
import re
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from io import StringIO
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from hypothesis import HealthCheck, Phase, configuration, given, seed as seeded, settings, strategies as st
from hypothesis.errors import Flaky

from funcpipe_rag.aio.testing import Deadlock, LeftBehind, run as run_in_virtual_time
from funcpipe_rag.streams.probe import Log, OverPulled

from .display import Displayed
from .law import Broken, Law, WrongKind, public, times
from .wire import WireError
from .worlds import LocalWorld, World

MOST_STEPS = 500
"""How often a counterexample is tried to be made smaller."""


@dataclass(frozen=True)
class Verdict(Displayed):
    """What came of running a law: passed, or the smallest input found, what came and what was expected."""

    law: Law
    passed: bool
    inputs: Mapping[str, Any] = field(default_factory=dict)
    came: str = ""
    expected: str = ""
    hint: str = ""
    log: Log = field(default_factory=Log)
    kept: Log | None = None
    """What happens on the same input when the package's own function keeps the law."""
    final: bool = False
    """Nothing more can be asked: the implementation did not come back."""
    kind: bool = False
    """What came is of another kind than what was asked for."""
    slip: bool = False
    """A name that is not there, or a call that does not fit: the law has said nothing yet about what the code does."""

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return self.as_text()

    @property
    def smallest(self) -> str:
        """The smallest input that breaks the law, as text."""
        return ", ".join(f"{name} = {value!r}" for name, value in self.inputs.items())


class TooLong(BaseException):
    """The implementation has kept the law waiting. Not an `Exception`, so that it is not swallowed by accident."""


class _Found(Exception):
    """An input that breaks the law; Hypothesis makes it small."""


class _Final(BaseException):
    """The search is over, whatever Hypothesis would try next."""


def run(
    law: Law,
    impl: Callable[..., Any],
    *,
    examples: int = 100,
    seed: int = 0,
    world: Callable[[], World] = LocalWorld,
    limit: float = 10.0,
    patience: float = inf,
    on_input: Callable[[int], object] = lambda tried: None,
) -> Verdict:
    """Check `impl` against `law` on `examples` inputs, in a fresh `world` each.

    Same law, same implementation, same seed: same verdict. Nothing is written but to a temporary folder. One
    input may take `limit` seconds; a loop that never ends and never asks is stopped then, where the system can
    interrupt it (the main thread on POSIX; elsewhere use the notebook's interrupt, or a `Remote`). All inputs
    together may take `patience` seconds: a law that is not through by then counts as broken. `on_input` hears how
    many inputs have been tried.
    """
    _keep_house()
    broken: list[Verdict] = []
    end = monotonic() + patience
    count = 0

    def tried(inputs: Mapping[str, Any]) -> Verdict:
        nonlocal count
        if monotonic() > end:
            raise _Final
        on_input(count)
        count += 1
        try:
            with _at_most(limit):
                return attempt(law, impl, inputs, world())
        except (TooLong, WireError) as silence:
            # Between two inputs, too, a child can go, and after the last answer there is something to be read.
            return _silent(Verdict(law, False, inputs, hint=law.hint), silence)

    # No deadline and no database: a verdict must not depend on the machine's mood, or on yesterday's.
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @seeded(seed)
    @given(st.fixed_dictionaries({name: one.draw for name, one in law.inputs.items()}))
    def search(inputs: dict[str, Any]) -> None:
        # Hypothesis varies the order; whoever reads them, or passes them on by place, wants the law's own.
        verdict = tried({name: inputs[name] for name in law.inputs})
        if not verdict.passed:
            broken[:] = [verdict]
            raise _Final if verdict.final else _Found

    try:
        search()
    except (_Found, Flaky):
        # An implementation that answers differently each time is judged by its last failure.
        return _beside_the_law_kept(_canonical(broken[0], tried))
    except _Final:
        return broken[0] if broken else _too_slow(law, count, patience)
    return Verdict(law, passed=True)


def attempt(law: Law, impl: Callable[..., Any], inputs: Mapping[str, Any], world: World) -> Verdict:
    """Check `impl` on one input; ValueError for a law about async code in a world that is another process."""
    if law.is_async and type(world) is not LocalWorld:
        raise ValueError(
            f"{law.id} is about async code, which is judged in this process alone, not in a child"
        )
    verdict = _attempt(law, impl, inputs, world)
    return replace(
        verdict, came=_plainly(world.shown(verdict.came)), expected=_plainly(world.shown(verdict.expected))
    )


def _attempt(law: Law, impl: Callable[..., Any], inputs: Mapping[str, Any], world: World) -> Verdict:
    printed = StringIO()
    broken = Verdict(law, False, inputs, hint=law.hint, log=world.log)
    try:
        with redirect_stdout(printed):
            _checked(law, world, impl, inputs)
            world.finish()
    except WrongKind as wrong:
        return replace(broken, came=wrong.came, expected=wrong.expected, hint=wrong.hint, kind=True)
    except Broken as broke:
        aloud = f"; it printed {printed.getvalue().strip()[:40]!r}" if printed.getvalue().strip() else ""
        return replace(
            broken, came=f"{broke.came}{aloud}", expected=broke.expected, hint=broke.hint or law.hint
        )
    except OverPulled as refused:
        came = f"{refused.name} was asked {times(refused.budget + 1)}"
        most = f"at most {times(refused.budget)}" if refused.budget else "never"
        # Where values are compared, a budget is only there to end what has no end.
        endless = "Your loop goes on asking. How does it learn that a source is at its end?"
        hint = endless if law.promise == "same answer" else law.hint
        return replace(broken, came=came, expected=most, hint=hint)
    except (TooLong, WireError) as silence:
        return _silent(broken, silence)
    except (Exception, SystemExit) as error:
        slip = isinstance(error, NameError | ImportError | SyntaxError | TypeError)
        return replace(
            broken, came=f"it raised {_said(error)}", expected="no error", hint=_about(error, law), slip=slip
        )
    return Verdict(law, passed=True, log=world.log)


def _checked(law: Law, world: World, impl: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    if not law.is_async:
        law.check(world, impl, **inputs)
        return

    async def the_law() -> None:
        await law.check(world, impl, **inputs)

    try:
        run_in_virtual_time(the_law())
    except Deadlock as deadlock:
        hint = "Who would have to act first, and what is that one waiting for?"
        raise Broken(str(deadlock), "an item, an error or the end", hint) from None
    except asyncio.CancelledError:
        hint = "Whose task does it run in when it yields, and what is still open around the yield?"
        raise Broken("it cancelled its reader", "nothing that its reader did not ask for", hint) from None
    except LeftBehind as left:
        hint = "Who begins it, and who sees to it that it has ended before the stream is left?"
        raise Broken(str(left), "nothing left behind", hint) from None


def _silent(broken: Verdict, silence: TooLong | WireError) -> Verdict:
    if isinstance(silence, WireError):
        return replace(broken, came=str(silence), expected="an answer", final=True)
    came = "nothing came for a while, and nothing was asked for"
    hint = "Your loop goes on without asking anybody and without giving anything. What should end it?"
    return replace(broken, came=came, expected="an answer, an item or the end", hint=hint, final=True)


def judge(laws: Iterable[Law], impl: Callable[..., Any], **how: Any) -> list[Verdict]:
    """Run laws in order, up to and including the first that is broken."""
    verdicts = []
    for law in laws:
        verdicts.append(run(law, impl, **how))
        if not verdicts[-1].passed:
            break
    return verdicts


def _canonical(broken: Verdict, tried: Callable[[Mapping[str, Any]], Verdict]) -> Verdict:
    """The same verdict on an input of which no simpler one breaks the law: shorter first, then smaller."""
    steps = 0
    smaller = True
    while smaller:
        smaller = False
        for inputs in _simpler(broken):
            steps += 1
            try:
                verdict = tried(inputs)
            except _Final:
                return broken
            if verdict.final or steps > MOST_STEPS:
                return broken
            if not verdict.passed:
                broken, smaller = verdict, True
                break
    return broken


def _too_slow(law: Law, count: int, patience: float) -> Verdict:
    came = f"{count} input{'s' * (count != 1)} took {patience:g} seconds, and the law was not through"
    hint = "All its inputs are small. What does your function do over and over, or wait for?"
    return Verdict(
        law, False, came=came, expected="an answer to each of them in that time", hint=hint, final=True
    )


def _beside_the_law_kept(broken: Verdict) -> Verdict:
    reference = public(broken.law.about)
    if reference is None:
        return broken
    kept = attempt(broken.law, reference, broken.inputs, LocalWorld()).log
    if broken.law.promise == "closed" and _opened(kept) != _opened(broken.log):
        # What one does not open it need not close: the two cannot be compared.
        return broken
    return replace(broken, kept=kept)


def _opened(log: Log) -> set[str]:
    return {event.stage for event in log.events if event.kind == "open"}


def _simpler(broken: Verdict) -> Iterator[dict[str, Any]]:
    for name, kind in broken.law.inputs.items():
        for value in kind.smaller(broken.inputs[name]):
            yield {**broken.inputs, name: value}


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    able = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not able or signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, signal.SIG_IGN):
        yield
        return

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_OBJECT = re.compile(
    r"<(?:(generator|coroutine|async_generator) object |(function) )?([\w.<>]+?)(?: object)? at 0x[0-9a-f]+>"
)


def _plainly(text: str) -> str:
    """A repr as a learner may read it, without addresses.

    >>> _plainly("[<generator object f.<locals>.run at 0x7f>, <function g at 0x7f>, <a.b.Row object at 0x7f>]")
    '[a generator, the function g, a Row]'
    """

    def plain(found: re.Match[str]) -> str:
        kind, function, name = found.groups()
        name = name.rpartition(".")[2]
        if kind:
            return "an async generator" if kind == "async_generator" else f"a {kind}"
        return f"the function {name}" if function else f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"

    return _OBJECT.sub(plain, text) if " at 0x" in text else text


# What a lesson calls the objects that a law hands out.
_CALLED = {"Probe": "a source", "ProbeIterator|Watched": "a stream", "Collection": "a collection"}


def _said(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    for types, called in _CALLED.items():
        text = re.sub(rf"(?:object of type )?'(?:{types})'(?: object)?", called, text)
    line = _line(error)
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{said} (line {line} of your code)" if line else said


def _line(error: BaseException) -> int | None:
    """The line of the implementation that raised: the last one outside this package and the standard library."""
    found = None
    # What a generator makes of a StopIteration has the line of the one it was made of.
    cause = error.__cause__ if isinstance(error, RuntimeError) else None
    trace = (cause or error).__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith("<") or "ipykernel" in name:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _about(error: BaseException, law: Law) -> str:
    """A question about the error itself, where it is one that learners meet; otherwise the law's own."""
    text = str(error)
    if isinstance(error, RuntimeError) and "raised StopIteration" in text:
        return (
            "next() on an iterator that has ended raises StopIteration. Who catches it? "
            "next(it, END) gives END instead."
        )
    if isinstance(error, TypeError) and "'Probe' object is not" in text:
        return "A source is a function. What must you do to it before you can read from it?"
    if isinstance(error, TypeError) and "argument" in text and (called := re.match(r"([\w.<>]+)\(\)", text)):
        name = called[1].rpartition(".")[2]
        return _how_called(error, law.about if name == "<lambda>" else name, law.about)
    if isinstance(error, TypeError) and "for |: " in text and "Probe" not in text.partition(" and ")[2]:
        return (
            "Two plain functions know nothing of |. Which of the two can you make a stage, with stage(...) or "
            "source(...) around it?"
        )
    if isinstance(error, TypeError) and ("has no len()" in text or "not subscriptable" in text):
        return (
            "A stream comes one item at a time: it has no length and no [0]. What does a loop over it need?"
        )
    if isinstance(error, TypeError) and "is not an iterator" in text:
        return (
            "Only an iterator answers next(). What makes an iterator of a collection, or of any other stream?"
        )
    if isinstance(error, TypeError) and "NoneType" in text:
        return "Something gave None. Which function that you call has no return and no yield yet?"
    if isinstance(error, NameError | ImportError | AttributeError | SyntaxError):
        return "Which name is spelled otherwise, or is not there yet?"
    if isinstance(error, RecursionError):
        return "A function called itself until Python gave up. Which name means something else by the time it runs?"
    if isinstance(error, TypeError | ValueError):
        line = _line(error)
        where = f"line {line}" if line else "a line that calls something"
        return f"The error is about {where}. What does each name in it stand for, on this input?"
    return law.hint


def _how_called(error: BaseException, name: str, judged: str) -> str:
    """A question about a call that does not fit, with the first line of what was called where it is known."""
    if unknown := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
        return f"{name} is given {unknown[1]} by its name. Has its first line a parameter of that name?"
    asked = f"How is {name} called?"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    seen = {**trace.tb_frame.f_globals, **trace.tb_frame.f_locals} if trace else {}
    try:
        signature = inspect.signature(seen[name])
    except (KeyError, TypeError, ValueError):
        return (
            f"{asked} Compare the call with the function's first line: what stands behind a * goes by name."
        )
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()
    ]
    first_line = f"{name}{signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)}"
    first_line = re.sub(r"<(?:built-in )?function (\w+)[^>]*>", r"\1", first_line)
    if name == judged and trace is not None and name in trace.tb_frame.f_locals:
        # It was the law that called: what it gave stands in the starter, and not in the learner's first line.
        return f"{asked} Your first line is {first_line}, and the law calls it otherwise. What did the starter say?"
    by_name = any(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in plain)
    stage = re.match(r"PassingStage|Stage\[\[Iterable", str(signature.return_annotation))
    return (
        f"{asked} It is {first_line}."
        + (" What stands behind the * goes by name." if by_name else "")
        + (
            " It gives a stage: what goes through it comes in a second call, or in front of a |."
            if stage
            else ""
        )
    )


@cache
def _keep_house() -> Path:
    # Hypothesis keeps notes in the working folder, which may be a learner's or read-only.
    home = tempfile.TemporaryDirectory(prefix="funcpipe-rag-hypothesis-")
    _HOMES.append(home)
    configuration.set_hypothesis_home_dir(home.name)
    return Path(home.name)


_HOMES: list[tempfile.TemporaryDirectory[str]] = []
