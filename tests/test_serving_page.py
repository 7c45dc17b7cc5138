"""The page that a service shows, in a browser: a question, five stages that light up, an answer with its place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("uvicorn")

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-browser" / "bin" / "python"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
CLI = [sys.executable, "-c", "from funcpipe_rag.cli import main; main()"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="needs playwright: make check-all installs it into .venv-browser"
    ),
    pytest.mark.skipif(BROWSER is None, reason="needs chromium on the PATH"),
]

# Runs where playwright is, which knows nothing of us: what it sees goes out as JSON.
LOOKS = """
import json, sys
from playwright.sync_api import sync_playwright

url, browser, token, question = sys.argv[1:]
seen = {"requests": [], "complaints": []}
with sync_playwright() as p:
    chromium = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
    page = chromium.new_page()
    page.on("request", lambda request: seen["requests"].append(request.url))
    page.on("console", lambda said: seen["complaints"].append(said.text))
    page.on("pageerror", lambda error: seen["complaints"].append(str(error)))
    page.goto(url)
    stages = page.get_by_role("list", name="Five stages").get_by_role("listitem")
    seen["before"] = stages.all_inner_texts()
    ask = page.get_by_label("Your question")
    # By keyboard alone.
    page.keyboard.press("Tab")
    seen["focused"] = page.evaluate("document.activeElement.id")
    seen["outline"] = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.type(question)
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("wants its token").wait_for()
    page.keyboard.type(token)
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("Answered, in").wait_for()
    seen["after"] = stages.all_inner_texts()
    seen["lit"] = page.locator("#stages li.lit").count()
    seen["contrast"] = page.evaluate('''() => {
        const grey = (colour) => {
            const [r, g, b] = colour.match(/\\d+/g).map((n) => n / 255)
                .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
        };
        const style = getComputedStyle(document.querySelector("#stages li.lit"));
        const [one, other] = [grey(style.color), grey(style.backgroundColor)];
        return Math.max(one, other) / Math.min(one, other);
    }''')
    seen["live"] = page.locator("#answer").get_attribute("aria-live")
    seen["answer"] = page.get_by_role("list", name="Answer").get_by_role("listitem").all_inner_texts()
    seen["cited"] = page.locator("cite").all_inner_texts()
    seen["markup"] = page.locator("#answer img, #answer script").count()
    ask.fill("xylophone quartz")
    ask.press("Enter")
    page.get_by_role("status").get_by_text("Nothing in the index answers that.").wait_for()
    chromium.close()
print(json.dumps(seen))
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "FUNCPIPE_RAG_TOKEN": "rosebud"}
    docs, index = tmp_path / "docs", tmp_path / "docs.db"
    docs.mkdir()
    (docs / "tee.md").write_text("# Tee\n\nA tee splits <img src=x> one stream into two.\n")
    subprocess.run([*CLI, "build", docs, "--index", index], env=env, check=True, capture_output=True)
    words = [*CLI, "serve", "--index", str(index), "--port", "0"]
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(line.split()[1] for line in process.stdout if line.startswith("http "))
        finally:
            process.kill()


def test_a_question_lights_up_five_stages_and_its_answer_says_where_it_stands(service: str) -> None:
    words = [str(PYTHON), "-c", LOOKS, service, str(BROWSER), "rosebud", "How do I split a stream?"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    names = ["parse", "featurize", "infer", "post-process", "write"]
    assert [one.split() for one in seen["before"]] == [[name, "waits"] for name in names]
    assert [one.split() for one in seen["after"]] == [[name, "✓", "done"] for name in names]
    assert seen["lit"] == 5
    assert seen["contrast"] >= 4.5
    assert (seen["focused"], seen["outline"], seen["live"]) == ("question", "solid", "polite")
    assert "A tee splits <img src=x> one stream into two." in seen["answer"][0]
    assert seen["cited"] == ["tee.md:7-52, under Tee (checked against the file)"]
    assert seen["markup"] == 0
    assert all(url.startswith(service) for url in seen["requests"]), seen["requests"]
    # The browser itself notes the 401 that asked for the token.
    assert [one for one in seen["complaints"] if "401" not in one] == []
