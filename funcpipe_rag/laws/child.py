"""The child of a `RemoteWorld`: loads one implementation, and answers for it over a pair of pipes.

It is started by its path, and loads what it needs of the package by path too: the laws and the known wrong answers are
not in this process, whatever looks for them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules
from runpy import run_path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent


def load(target: str) -> Callable[..., Any]:
    """The implementation that `target` names: `module:name`, `module:mapping/key` or `file.py:name`."""
    place, _, name = target.rpartition(":")
    names = run_path(place) if place.endswith(".py") else vars(import_module(place))
    attribute, slash, key = name.partition("/")
    if attribute not in names:
        found = names.get("__getattr__")
        if found is None:
            raise LookupError(f"{place} has no {attribute}")
        names = {attribute: found(attribute)}
    implementation = names[attribute][key] if slash else names[attribute]
    if not callable(implementation):
        raise TypeError(f"{target} is a {type(implementation).__name__}, not a function")
    loaded: Callable[..., Any] = implementation
    return loaded


def main(target: str, confined: dict[str, Any] | None) -> None:
    """Talk over what was standard input and output; the implementation itself gets neither.

    With `confined`, the package's functions are loaded first, and then everything that a judged program does not
    need is given up.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    wire = _beside("wire").Wire(incoming, outgoing)
    if confined is not None:
        _hand_out(frozenset(confined["withheld"]))
        confinement = _beside("confinement")
        confinement.confine(confinement.Limits(**confined["limits"]), confined["folder"])

    def implementation() -> Callable[..., Any]:
        return load(target)

    wire.export(implementation)
    wire.serve_forever()


def _beside(name: str) -> ModuleType:
    """A file of this folder as a module of its own: importing it by its full name would load every law."""
    spec = spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _hand_out(withheld: Collection[str]) -> None:
    """Load what an answer may use, as long as files can be read; the names in `withheld` are not to be had."""
    import funcpipe_rag
    import funcpipe_rag.rag
    import funcpipe_rag.streams

    for file in iter_modules(funcpipe_rag.streams.__path__, "funcpipe_rag.streams."):
        import_module(file.name)
    for name in funcpipe_rag.__all__:
        try:
            getattr(funcpipe_rag, name)
        except ImportError:
            continue

    class Handed(ModuleType):
        """A module that does not hand out the answer by its name; its own functions find it all the same.

        It stops who imports it. Who digs for it might as well have typed it off, and that nobody can see.
        """

        def __getattribute__(self, name: str) -> Any:
            if name in withheld:
                raise ImportError(f"{name} is what you are asked to write: the package's own is not there")
            return super().__getattribute__(name)

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "funcpipe_rag":
            module.__class__ = Handed


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))
    main(sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else None)
