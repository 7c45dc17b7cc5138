"""Running a law: look for an input that breaks it, make that input small, and tell what came."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, configuration, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from funcpipe_rag.streams.probe import Log, OverPulled

from .law import Broken, Law
from .worlds import LocalWorld, World


@dataclass(frozen=True)
class Verdict:
    """What came of running a law: passed, or the smallest input found, what came and what was expected."""

    law: Law
    passed: bool
    inputs: Mapping[str, Any] = field(default_factory=dict)
    came: str = ""
    expected: str = ""
    log: Log = field(default_factory=Log)

    def __bool__(self) -> bool:
        return self.passed

    @property
    def smallest(self) -> str:
        """The smallest input that breaks the law, as text."""
        return ", ".join(f"{name} = {value!r}" for name, value in self.inputs.items())


class _Found(Exception):
    """An input that breaks the law; Hypothesis makes it small."""


def run(
    law: Law,
    impl: Callable[..., Any],
    *,
    examples: int = 100,
    seed: int = 0,
    world: Callable[[], World] = LocalWorld,
) -> Verdict:
    """Check `impl` against `law` on `examples` inputs, in a fresh `world` each.

    Same law, same implementation, same seed: same verdict. No time limits, no database, nothing written but to
    a temporary folder.
    """
    _keep_house()
    smallest: list[Verdict] = []

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
    @given(st.fixed_dictionaries(law.inputs))
    def search(inputs: dict[str, Any]) -> None:
        verdict = attempt(law, impl, inputs, world())
        if not verdict.passed:
            smallest[:] = [verdict]
            raise _Found

    try:
        search()
    except (_Found, Flaky):
        # An implementation that answers differently each time is judged by its last failure.
        return smallest[0]
    return Verdict(law, passed=True)


def attempt(law: Law, impl: Callable[..., Any], inputs: Mapping[str, Any], world: World) -> Verdict:
    """Check `impl` on one input."""

    def broken(came: str, expected: str) -> Verdict:
        return Verdict(law, False, inputs, came, expected, world.log)

    try:
        law.check(world, impl, **inputs)
        world.finish()
    except Broken as broke:
        return broken(broke.came, broke.expected)
    except OverPulled as refused:
        return broken(f"{refused.name} was asked {refused.budget + 1} times", f"at most {refused.budget}")
    except Exception as error:
        return broken(f"it raised {_said(error)}", "no error")
    return Verdict(law, passed=True)


def judge(laws: Iterable[Law], impl: Callable[..., Any], **how: Any) -> list[Verdict]:
    """Run laws in order, up to and including the first that is broken."""
    verdicts = []
    for law in laws:
        verdicts.append(run(law, impl, **how))
        if not verdicts[-1].passed:
            break
    return verdicts


def _said(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@cache
def _keep_house() -> tempfile.TemporaryDirectory[str]:
    # Hypothesis keeps notes in the working folder, which may be a learner's or read-only.
    home = tempfile.TemporaryDirectory(prefix="funcpipe-rag-hypothesis-")
    configuration.set_hypothesis_home_dir(home.name)
    return home
