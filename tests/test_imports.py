"""What an import costs and brings: the package without an extra is the standard library and nothing else."""

import subprocess
import sys
from pathlib import Path

import funcpipe_rag

HOME = Path(funcpipe_rag.__file__).resolve().parents[1]

# Stands in for an environment without extras: whatever is not the standard library's or ours cannot be found.
WITHOUT_EXTRAS = """
import sys

class NoExtras:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "funcpipe_rag":
            raise ModuleNotFoundError(f"no extra is installed, and {name} belongs to one", name=name)

sys.meta_path.insert(0, NoExtras)
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
exec(sys.argv[2])
print(*sorted(set(sys.modules) - before))
"""


def modules_loaded_by(statement: str, *flags: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", *flags, "-c", WITHOUT_EXTRAS, str(HOME), statement],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_four_names_need_the_standard_library_alone() -> None:
    names = "make_chain, fork2_lockstep, multicast_bounded, fence_k"
    loaded = modules_loaded_by(f"from funcpipe_rag import {names}")
    foreign = {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith("funcpipe_rag.")} == {"funcpipe_rag"}
    assert {name.split(".")[1] for name in foreign if "." in name} == {"streams"}


def test_the_diagrams_need_the_standard_library_alone() -> None:
    drawn = "DemandDiagram(log).to_svg(); SkewPlot(log, source='source', branches=['source']).to_svg(); Timeline(log).to_svg()"
    log = "from funcpipe_rag.streams.probe import Probe; log = Probe('ab').log"
    loaded = modules_loaded_by(
        f"from funcpipe_rag.plots import DemandDiagram, SkewPlot, Timeline; {log}; {drawn}"
    )
    ours = {name for name in loaded if name.partition(".")[0] == "funcpipe_rag"}
    assert {name.split(".")[1] for name in ours if "." in name} == {"plots", "streams"}
    assert not {name for name in ours if "memory" in name}


def test_serving_needs_an_extra_only_where_it_is_used() -> None:
    run = "from funcpipe_rag.aio.testing import run; from funcpipe_rag.serving import MemoryConnection, Trail, parse_requests"
    read = "[item async for item in parse_requests(MemoryConnection(['{}', 'x']))]"
    loaded = modules_loaded_by(f"{run}\nasync def go():\n    return {read}\nassert len(run(go())) == 2")
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert foreign == {"funcpipe_rag"}


def test_the_face_alone_loads_no_room() -> None:
    # -S: what site-packages' own start-up files import must not hide what we import.
    loaded = modules_loaded_by("import funcpipe_rag", "-S")
    assert {name for name in loaded if name.startswith("funcpipe_rag")} == {"funcpipe_rag"}
    heavy = {"asyncio", "dataclasses", "importlib.metadata", "inspect", "json", "pathlib", "re", "typing"}
    assert loaded & heavy == set()


def test_every_name_of_the_face_is_there() -> None:
    assert funcpipe_rag.__all__
    assert set(funcpipe_rag.__all__) <= set(dir(funcpipe_rag))
    missing = [name for name in funcpipe_rag.__all__ if not hasattr(funcpipe_rag, name)]
    assert missing == []
