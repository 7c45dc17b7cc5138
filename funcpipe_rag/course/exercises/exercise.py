"""An exercise as data: what the learner is given, and what judges it."""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from funcpipe_rag.laws import Law
from funcpipe_rag.laws.mutants import Mutant


@dataclass(frozen=True)
class Exercise:
    """What the learner starts from, the laws that judge it in their order, and the mutants they were tried on.

    The reference solution is not here: it stands in the lesson. With `all_laws` every law is judged, also behind one
    that is broken, and the card gives points law by law; without, the first broken law ends it.
    """

    id: str
    title: str
    function: str
    starter: str
    laws: tuple[Law, ...]
    hints: tuple[str, str]
    mutants: tuple[Mutant, ...]
    all_laws: bool = False
    withheld: tuple[str, ...] = ()
    """Functions of the package that are the answer: a graded one cannot import them."""
    variant: str = ""
    """A letter where it is the exercise under another rule; see `variants`."""

    @property
    def asked(self) -> str:
        """What a lesson's check asks for: the id, and the letter of a variant."""
        return f"{self.id}{self.variant}"

    @property
    def points(self) -> int:
        """The points of all its laws."""
        return sum(law.points for law in self.laws)

    def untouched(self, impl: Any) -> bool:
        """Whether `impl` is still the starter, comments and spaces aside."""
        written = isinstance(impl, FunctionType | type)
        return written and _written(impl) == _written(self._starter())

    def _starter(self) -> Any:
        namespace: dict[str, Any] = {}
        exec(compile(self.starter, f"<starter of {self.id}>", "exec"), namespace)
        return namespace[self.function]


def _written(thing: Any) -> object:
    """What somebody wrote of a function or a class: its code without names of files, lines and places in memory."""
    if isinstance(thing, FunctionType):
        # Not the values of its defaults: `open` is another one in a notebook.
        return _essence(thing.__code__)
    if isinstance(thing, type):
        body = {name: _written(value) for name, value in vars(thing).items() if name not in _NOT_WRITTEN}
        return thing.__bases__, body
    return thing


# What Python adds to a class of its own accord: in part it differs from one definition to the next of the same text.
_NOT_WRITTEN = {
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__static_attributes__",
    "__weakref__",
}


def _essence(code: CodeType) -> tuple[object, ...]:
    constants = tuple(_essence(const) if isinstance(const, CodeType) else const for const in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames
