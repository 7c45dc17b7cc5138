"""What must be in place before a learner can work, and what to run where it is not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from funcpipe_rag.course.answers import NotebookError, read_notebook
from funcpipe_rag.course.lessons import Places, shown
from funcpipe_rag.course.progress import FILE, Progress
from funcpipe_rag.course.work_folder import find_notebook, originals, page_of

INSTALL = "pip install 'funcpipe-rag[course]'"
NEEDED = ("jupyterlab", "ipykernel", "nbformat", "jupytext", "nbclient", "hypothesis", "typer", "rich")


class Finding(NamedTuple):
    """One thing looked at: whether it is well, what was found, and what to run if not."""

    well: bool
    about: str
    found: str
    remedy: str = ""


SERVING = "pip install 'funcpipe-rag[course,serve]'"


def findings(places: Places, progress: Progress | None) -> Iterator[Finding]:
    """Look at Python, the extras, the kernel, the work folder, the progress file and the notebooks."""
    yield Finding(
        sys.version_info >= (3, 11),
        "python",
        f"{platform.python_version()} at {sys.executable}",
        "install Python 3.11 or newer, and this package into it",
    )
    missing = [name for name in NEEDED if find_spec(name) is None]
    yield Finding(
        not missing,
        "extras",
        f"missing: {', '.join(missing)}" if missing else "all that the course needs",
        INSTALL,
    )
    # Whoever is not there yet has nothing to run.
    classifier = "scikit-learn is here" if find_spec("sklearn") else f"needs scikit-learn as well: {SERVING}"
    yield Finding(True, "module 6", classifier)
    if not missing:
        yield _kernel()
    if progress is None or progress.folder is None:
        yield Finding(
            False, "folder", f"no folder to work in here: {Path.cwd()}", "funcpipe-rag course start"
        )
        return
    yield _folder(progress.folder)
    unread = progress.read()[1]
    yield Finding(
        not unread,
        "progress",
        f"line {unread[0].line} of {FILE} is not understood: {unread[0].text[:50]!r}"
        if unread
        else f"{FILE} can be read",
        f"open {FILE} and mend or delete that line",
    )
    yield from _notebooks(progress.folder, places)


def _kernel() -> Finding:
    """Whether the kernel named python3 starts a Python that has this package."""
    from jupyter_client.kernelspec import NoSuchKernel
    from jupyter_client.manager import KernelManager

    remedy = f"{quote(sys.executable)} -m ipykernel install --sys-prefix"
    try:
        python = KernelManager(kernel_name="python3").format_kernel_cmd()[0]
    except NoSuchKernel:
        return Finding(False, "kernel", "no kernel named python3", remedy)
    try:
        asked = subprocess.run(
            [python, "-c", "import ipykernel, funcpipe_rag; print(funcpipe_rag.__file__)"],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tempfile.gettempdir(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(False, "kernel", f"{python} does not start ({type(error).__name__})", remedy)
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["it ended with an error"])[-1]
        return Finding(False, "kernel", f"{python}: {why}", remedy)
    return Finding(True, "kernel", f"python3, by {python}")


def _folder(folder: Path) -> Finding:
    remedy = "funcpipe-rag course start DIR, with a DIR that you may write to"
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".funcpipe-rag-"):
            pass
    except OSError as error:
        return Finding(False, "folder", f"{folder}: nothing can be written ({error.strerror})", remedy)
    if not os.access(folder / FILE, os.W_OK):
        return Finding(
            False, "folder", f"{folder / FILE} is read-only", "make it writable: your progress goes there"
        )
    return Finding(True, "folder", str(folder))


def _notebooks(folder: Path, places: Places) -> Iterator[Finding]:
    wrong = 0
    course = originals(places)
    for original in course:
        lesson = page_of(original)
        path = find_notebook(folder, lesson)
        finding = None
        if path is None:
            finding = Finding(
                False, "notebook", f"{lesson} is not here", f"funcpipe-rag course start {quote(str(folder))}"
            )
        else:
            try:
                in_step = _fingerprint(path) == _fingerprint(original)
            except NotebookError as error:
                finding = Finding(False, "notebook", str(error), f"funcpipe-rag course reset {lesson}")
            else:
                if not in_step:
                    finding = Finding(
                        False,
                        "notebook",
                        f"{shown(path)} is from another version of the course",
                        f"funcpipe-rag course reset {lesson} (it keeps a copy of yours)",
                    )
        if finding:
            wrong += 1
            yield finding
    if not wrong:
        yield Finding(bool(course), "notebooks", f"{len(course)} in step with the course", INSTALL)


def _fingerprint(path: Path) -> str:
    match read_notebook(path):
        case {"metadata": {"funcpipe_rag": {"fingerprint": str(found)}}}:
            return found
    return ""
