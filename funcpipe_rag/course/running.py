"""Run a notebook so that one page gives one result: a fresh kernel, an empty folder, tidy outputs."""

from __future__ import annotations

import os
import re
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import funcpipe_rag
from funcpipe_rag.course.editions import Edition, cells_of
from funcpipe_rag.course.lessons import LessonError, Page

if TYPE_CHECKING:
    from nbformat import NotebookNode

CELL_SECONDS = 60
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Looking back first keeps the search linear: a picture is one word of a million characters.
CELL_FILE = re.compile(r"""(?<![^\s'"(<])[^\s'"(<]*/ipykernel_\d+/\d+\.py""")


def run(
    notebook: NotebookNode,
    page: Page,
    edition: Edition,
    *,
    on_cell: Callable[[int], object] = lambda done: None,
) -> None:
    """Run the notebook in place with this interpreter's kernel; `on_cell` hears how many cells are done.

    Raises LessonError with the page's file, line and cell when a cell fails, takes longer than
    CELL_SECONDS, or kills its kernel. A cell tagged `raises-exception` may fail. Markdown alone needs no kernel.
    """
    if not any(cell.cell_type == "code" for cell in notebook.cells):
        return
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    cells = cells_of(page, edition)
    current = 0

    def started(cell: NotebookNode, cell_index: int) -> None:
        nonlocal current
        current = cell_index
        on_cell(cell_index)

    def failed(why: str, line: int = 1) -> LessonError:
        cell = cells[current]
        return LessonError(f"cell {cell.id}: {why}", path=page.path, line=cell.line + line - 1)

    with tempfile.TemporaryDirectory(prefix="funcpipe-rag-") as folder:
        work = Path(folder).resolve() / "work"
        work.mkdir()
        env = {name: value for name, value in os.environ.items() if name != "PYTHONSTARTUP"}
        env |= {"PYTHONHASHSEED": "0", "IPYTHONDIR": str(work.parent / "ipython")}
        # A picture has random ids and today's date in it, unless matplotlib is told otherwise.
        rc = work.parent / "matplotlibrc"
        rc.write_text("svg.hashsalt: funcpipe-rag\n", encoding="utf-8")
        env |= {"MATPLOTLIBRC": str(rc), "SOURCE_DATE_EPOCH": "0"}
        # No kernel folders: a python3 kernel that was installed for another interpreter is passed by.
        specs = KernelSpecManager(kernel_dirs=[])
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs),
            timeout=CELL_SECONDS,
            record_timing=False,
            coalesce_streams=True,
            store_widget_state=False,
            extra_arguments=["--log-level=CRITICAL"],
            on_cell_start=started,
        )
        try:
            client.execute(cleanup_kc=True, cwd=str(work), env=env)
        except CellExecutionError as error:
            # The first frame is this cell's; those below it may be in cells above.
            line = re.search(r"Cell In\[\d+\], line (\d+)", ANSI.sub("", error.traceback))
            why = tidied(f"{error.ename}: {error.evalue}".splitlines()[0], work)
            raise failed(why, int(line[1]) if line else 1) from None
        except CellTimeoutError:
            raise failed(f"not done after {CELL_SECONDS} s") from None
        except DeadKernelError:
            raise failed("the kernel died") from None
        except (AssertionError, AttributeError):
            # After Ctrl-C nbclient has put its kernel away, and then tries to do so again.
            if client.km is None:
                raise KeyboardInterrupt from None
            raise
        on_cell(len(cells))
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [tidied(output, work) for output in cell.outputs]
    language = notebook.metadata.language_info
    # The version would make a difference between two Pythons that run the page alike.
    notebook.metadata.language_info = {
        key: language[key] for key in ("name", "file_extension", "mimetype", "pygments_lexer")
    }


def tidied(output: Any, work: Path) -> Any:
    """An output without colour and without the folders of this machine."""
    if isinstance(output, dict):
        for key, value in output.items():
            output[key] = tidied(value, work)
        return output
    if isinstance(output, list):
        return [tidied(part, work) for part in output]
    if not isinstance(output, str):
        return output
    text = CELL_FILE.sub("cell", ANSI.sub("", output))
    paths = sysconfig.get_paths()
    package = str(Path(funcpipe_rag.__file__).parent.parent)
    # The longest first: site-packages is inside the standard library's folder.
    folders = {package, paths["purelib"], paths["platlib"], paths["stdlib"]}
    for folder in sorted(folders, key=len, reverse=True):
        # IPython's tracebacks spell the home folder ~.
        for spelled in folder, folder.replace(str(Path.home()), "~", 1):
            text = text.replace(spelled + os.sep, "")
    return text.replace(str(work), ".")
