"""A slow check tells how far it is, and its saved output is the card alone."""

import os
import pty
import re
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

SLOW = """\
import time
from funcpipe_rag.course import check

def make_chain(*sources):
    time.sleep(0.008)
    def run():
        for source in sources:
            yield from list(source()) if EAGER else source()
    return run
"""


class Client(NotebookClient):
    """Runs a notebook as JupyterLab does, or as nbclient does; keeps what the kernel sent."""

    somebody_there = True

    async def async_start_new_kernel_client(self, **how):
        client = await super().async_start_new_kernel_client(**how)
        client.allow_stdin = self.somebody_there
        self.sent = []
        return client

    def process_message(self, msg, cell, cell_index):
        self.sent.append((msg["msg_type"], msg["content"]))
        return super().process_message(msg, cell, cell_index)


def outputs(*cells: str, somebody_there: bool) -> SimpleNamespace:
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    client = Client(notebook, timeout=60, kernel_name="python3")
    client.somebody_there = somebody_there
    client.execute()
    shown = [
        content["data"]["text/plain"]
        for kind, content in client.sent
        if kind in ("display_data", "update_display_data")
    ]
    return SimpleNamespace(cells=[cell.outputs for cell in notebook.cells], shown=shown)


def text(output: nbformat.NotebookNode) -> str:
    return output["text"] if output.output_type == "stream" else output["data"]["text/plain"]


@pytest.mark.parametrize("eager", [True, False])
def test_a_slow_check_shows_its_progress_where_the_card_will_stand(eager: bool) -> None:
    ran = outputs(
        f"EAGER = {eager}",
        SLOW,
        "print('before')\ncheck('m03c07e1', make_chain)",
        "kept = check('m03c07e1', make_chain)",
        "kept",
        somebody_there=True,
    )
    assert re.fullmatch(r"m03c07e1: law \d of 5, \d+ inputs, \d s", ran.shown[0])
    before, card = ran.cells[2]
    assert text(before) == "before\n"
    assert text(card).startswith("✗ On demand" if eager else "✓ m03c07e1 make_chain: every law holds")
    assert card["data"]["text/html"].startswith("<h4>")
    (once,) = ran.cells[3]
    assert text(once)[:4] == text(card)[:4]


def test_nothing_is_shown_where_nobody_watches() -> None:
    ran = outputs(
        "EAGER = False", SLOW, "print('before')\ncheck('m03c07e1', make_chain)", somebody_there=False
    )
    assert ran.shown == []
    assert [output.output_type for output in ran.cells[2]] == ["stream", "execute_result"]


def test_a_check_that_is_stopped_leaves_an_empty_line() -> None:
    stops = "import _thread, threading\nthreading.Timer(1.4, _thread.interrupt_main).start()\n"
    ran = outputs(
        "EAGER = False",
        SLOW,
        f"{stops}try:\n    check('m03c07e1', make_chain)\nexcept KeyboardInterrupt:\n    print('stopped')",
        somebody_there=True,
    )
    assert [text(output) for output in ran.cells[2]] == ["", "stopped\n"]


@pytest.mark.skipif(sys.platform == "win32", reason="opens a pseudo-terminal")
def test_a_terminal_is_wiped_clean() -> None:
    code = f"EAGER = False\n{SLOW}\ncard = check('m03c07e1', make_chain)"
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, text=True)
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert done.stdout == ""
    assert re.search(r"m03c07e1: law \d of 5, ", said)
    assert said.endswith("\r\x1b[K")
