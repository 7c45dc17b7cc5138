"""An exercise as data: what the learner is given, and what judges it."""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType
from typing import Any

from funcpipe_rag.laws import Law
from funcpipe_rag.laws.mutants import Mutant


@dataclass(frozen=True)
class Exercise:
    """What the learner starts from, the laws that judge it in their order, and the mutants they were tried on.

    The reference solution is not here: it stands in the lesson.
    """

    id: str
    title: str
    function: str
    starter: str
    laws: tuple[Law, ...]
    hints: tuple[str, str]
    mutants: tuple[Mutant, ...]

    @property
    def points(self) -> int:
        """The points of all its laws."""
        return sum(law.points for law in self.laws)

    def untouched(self, impl: Any) -> bool:
        """Whether `impl` is still the starter, comments and spaces aside."""
        code = getattr(impl, "__code__", None)
        return code is not None and _essence(code) == _essence(self._starter_code())

    def _starter_code(self) -> CodeType:
        namespace: dict[str, Any] = {}
        exec(compile(self.starter, f"<starter of {self.id}>", "exec"), namespace)
        code: CodeType = namespace[self.function].__code__
        return code


def _essence(code: CodeType) -> tuple[object, ...]:
    constants = tuple(_essence(const) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames
