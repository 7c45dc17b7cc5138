"""The repository's own promises: what lies at the top, what the lock holds, what no file may say."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

TOP_LEVEL = {
    "README.md",
    "progression-map.md",
    "pyproject.toml",
    "modules",
    "notebooks",
    "funcpipe_rag",
    "tests",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
    "requirements.lock",
}


def git_lists(*options: str) -> list[str]:
    try:
        command = ["git", "ls-files", "-z", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return []
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def files() -> list[str]:
    """The repository's files: those git tracks, or, before the first commit, those it would."""
    found = git_lists() or git_lists("--others", "--exclude-standard")
    if not found:
        pytest.skip("not a git checkout, so nothing says which files are the repository's")
    return found


def text_of(name: str) -> str | None:
    try:
        return (ROOT / name).read_text("utf-8")
    except UnicodeDecodeError:
        return None


def test_the_top_level_is_the_one_we_drew(files: list[str]) -> None:
    top = {name.split("/")[0] for name in files}
    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL


def test_no_file_has_a_name_that_says_nothing(files: list[str]) -> None:
    empty_words = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert [name for name in files if empty_words & {Path(part).stem for part in Path(name).parts}] == []


MACHINE_PATH = re.compile(r"(?<![\w.~%-])(?:/(?:root|work|home/\w+|Users/\w+)/|[A-Z]:\\Users\\)")
REGISTRY_HOST = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|registry\.(?:npmjs|yarnpkg)\.)")


@pytest.mark.parametrize("wrong", [MACHINE_PATH, REGISTRY_HOST], ids=["machine path", "registry host"])
def test_no_file_knows_the_machine_it_was_made_on(files: list[str], wrong: re.Pattern[str]) -> None:
    hits = []
    for name in files:
        for number, line in enumerate((text_of(name) or "").splitlines(), start=1):
            if found := wrong.search(line):
                hits.append(f"{name}:{number}: {found.group()}")
    assert hits == []


def test_the_pattern_for_machine_paths_finds_them() -> None:
    for path in ("root", "work", "home/ada", "Users/ada"):
        assert MACHINE_PATH.search(f"see /{path}/notes.md")
    assert not MACHINE_PATH.search("https://example.com/work/notes.md and tests/work/notes.md")


# requirements.lock


def lock_entries() -> list[str]:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [entry for entry in re.split(r"\n(?=\S)", "\n".join(lines)) if entry.strip()]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_locked_version_is_exact_and_hashed() -> None:
    entries = lock_entries()
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==[^\s;]+( ; [^\\]+)? \\\n", entry), entry.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]


def test_the_lock_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|-e|--(extra-)?index-url|--find-links)\b", text, re.MULTILINE)


def test_the_lock_holds_whatever_the_development_extra_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted, asked = {"dev"}, set()
    while wanted:
        for requirement in extras[wanted.pop()]:
            match = re.match(r"([\w.-]+)(?:\[([\w,\s-]+)\])?", requirement)
            assert match
            if match[1] == project["project"]["name"]:
                wanted |= {extra.strip() for extra in match[2].split(",")}
            else:
                asked.add(normal(match[1]))
    builders = project["build-system"]["requires"]
    asked |= {normal(re.split(r"[^\w.-]", requirement)[0]) for requirement in builders}
    assert asked - {entry.split("==")[0] for entry in lock_entries()} == set()


def test_the_package_itself_asks_for_nothing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["dependencies"] == []


def test_git_keeps_no_link() -> None:
    """A link to a folder of ours leads nowhere in a clone, and `make bench-rag` would build its environment there."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        pytest.skip("there is no git here")
    assert [line for line in done.stdout.splitlines() if line.startswith("120000")] == []


# CHANGELOG.md


def test_the_changelog_keeps_its_form() -> None:
    """Keep a Changelog: Unreleased first, then dated versions, newest first, under six known headings."""
    lines = (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()
    assert lines[0] == "# Changelog"
    releases = [line for line in lines if line.startswith("## ")]
    assert releases[0] == "## [Unreleased]"
    dates = []
    for line in releases[1:]:
        match = re.fullmatch(r"## \[\d+\.\d+\.\d+\] - (\d{4}-\d{2}-\d{2})", line)
        assert match, line
        dates.append(match[1])
    assert dates == sorted(dates, reverse=True)
    kinds = {line[4:] for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert any(line.startswith("- ") for line in lines)


# Makefile and .ci


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_every_target_says_what_it_does() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == make_targets()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_command_on_a_page_is_a_target(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    named = set(re.findall(r"(?:`|^\s*\$?\s*)make ([a-z-]+)", text, re.MULTILINE))
    assert named - make_targets() == set()


def test_the_ci_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
