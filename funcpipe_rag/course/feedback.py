"""What a learner and an instructor read of a grading: a page a learner, and one page about the class.

A page stands alone: no script, nothing fetched. It tells laws, points and smallest inputs, and what somebody else handed
in is on nobody's page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

from funcpipe_rag.laws.display import with_code

from .exercises import EXERCISES
from .exercises.variants import find_exercise
from .grading import Graded, Judged, Result
from .similarity import Pair

_MARKS = {"kept": "✓", "broken": "✗", "not looked at": "–"}

_STATES = {
    "judged": "judged",
    "not attempted": "not attempted",
    "not found": "not found",
    "does not load": "stopped before there was a function",
}

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.2rem; border-top: 1px solid #8886; padding-top: 1rem; }
ul.laws { list-style: none; padding-left: 0; }
ul.laws > li { margin: .6rem 0; padding-left: 1.6rem; text-indent: -1.6rem; }
ul.laws > li > * { text-indent: 0; }
dl { margin: .3rem 0 .3rem 0; display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .6rem; background: #8882; text-indent: 0; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .6rem .25rem 0; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
meter { width: 8rem; } .bar { white-space: nowrap; } code { font-size: .95em; }
"""


def feedback_page(graded: Graded) -> str:
    """One learner's page: what each law says, what it earned, and the smallest input where it is broken."""
    body = [
        f"<h1>{escape(graded.learner)}: {graded.points} of {graded.of} points</h1>",
        "<p>Each law is a sentence that has to be true of your function. Where it is not, you find the smallest input "
        "that shows it, what came, and a question.</p>",
        *(f"<p><b>Note</b>: {escape(note)}</p>" for note in graded.notes),
    ]
    for result in graded.results:
        body += _exercise(result)
    return _page(f"Feedback for {graded.learner}", body)


def _exercise(result: Result) -> list[str]:
    head = f"<h2>{escape(result.title)}: {result.points} of {result.of}</h2>"
    name = f"<code>{escape(result.exercise)}</code> <code>{escape(result.function)}</code>"
    if result.state != "judged":
        said = {
            "not attempted": f"It is as you were given it ({escape(result.where)}).",
            "not found": f"It was not found: {escape(result.where)}.",
            "does not load": f"It stopped before there was a function to call: {escape(result.where)}.",
        }[result.state]
        return [head, f"<p>{name}. {said}</p>"]
    lines = [head, f"<p>{name}, found in {escape(result.where)}.</p>", '<ul class="laws">']
    lines += map(_law, result.laws)
    lines.append("</ul>")
    if any(law.state == "not looked at" for law in result.laws):
        lines.append(
            "<p>The first law is the door: until the values are right, how they come is not looked at.</p>"
        )
    return lines


def _law(law: Judged) -> str:
    earned = f", {law.points} of {law.of}" if law.of else ""
    head = f"{_MARKS[law.state]} <b>{escape(law.promise)}</b>{earned}: {with_code(law.says)}"
    if law.state != "broken":
        return f"<li>{head}</li>"
    facts = {
        "smallest input": law.smallest,
        "what came": law.came,
        "expected": law.expected,
        "think about": law.hint,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{with_code(text)}</dd>" for name, text in facts.items() if text)
    drawn = f"<pre>{escape(law.diagram)}</pre>" if law.diagram else ""
    return f"<li>{head}<dl>{rows}</dl>{drawn}</li>"


def class_page(graded: Sequence[Graded], pairs: Sequence[Pair]) -> str:
    """The class at a glance: each law and how many keep it, and each misconception with those whose code shows it.

    A mutant is a wrong program that stands for a misconception. Beside it stands the number of learners whose code
    broke the law that catches it: a guess at what they think, and not a proof.
    """
    most = max((one.of for one in graded), default=0)
    mean = sum(one.points for one in graded) / len(graded) if graded else 0
    body = [
        f"<h1>The class: {len(graded)} submissions, {mean:.1f} of {most} points on average</h1>",
        "<table><tr><th>points</th><th>learners</th></tr>",
        *(
            f"<tr><td>{low} to {high}</td><td>{_bar(count, len(graded))}</td></tr>"
            for low, high, count in _spread([one.points for one in graded], most)
        ),
        "</table>",
    ]
    for place, id in enumerate(result.exercise for result in (graded[0].results if graded else ())):
        body += _of_class(id, [one.results[place] for one in graded])
    body += _alike(pairs)
    return _page("The class", body)


def _of_class(id: str, results: Sequence[Result]) -> list[str]:
    exercise = find_exercise(f"{id}{results[0].variant}") or EXERCISES[id]
    states = Counter(result.state for result in results)
    said = ", ".join(f"{count} {_STATES[state]}" for state, count in states.most_common())
    lines = [f"<h2>{escape(id)} {escape(exercise.title)}</h2>", f"<p>{said}.</p>"]
    lines += ["<table><tr><th>law</th><th>kept by</th></tr>"]
    for place, law in enumerate(results[0].laws):
        kept = sum(result.laws[place].state == "kept" for result in results)
        lines.append(
            f"<tr><td><b>{escape(law.promise)}</b>: {with_code(law.says)}</td><td>{_bar(kept, len(results))}</td></tr>"
        )
    lines.append("</table>")
    broken = Counter(law.law for result in results for law in result.laws if law.state == "broken")
    if exercise.mutants:
        lines.append("<table><tr><th>misconception</th><th></th><th>may be behind</th></tr>")
        for mutant in exercise.mutants:
            story = (mutant.impl.__doc__ or "").strip().partition("\n")[0]
            lines.append(
                f"<tr><td><code>{escape(mutant.name)}</code></td><td>{with_code(story)}</td>"
                f"<td>{_bar(broken[mutant.killed_by], len(results))}</td></tr>"
            )
        lines.append("</table>")
    return lines


COMMON = 0.1
"""From this share of the others on, what two have in common is common."""


def _alike(pairs: Sequence[Pair]) -> list[str]:
    few = [pair for pair in pairs if pair.base_rate <= COMMON]
    if not pairs:
        return []
    rows = [
        f"<tr><td><code>{escape(pair.exercise)}</code></td><td>{escape(pair.one)}, {escape(pair.other)}</td>"
        f'<td class="number">{pair.common:.0%}</td><td class="number">{pair.base_rate:.1%}</td></tr>'
        for pair in few[:50]
    ]
    return [
        "<h2>Answers that are alike</h2>",
        "<p>Advice, not a verdict. Names and comments are not looked at. A small exercise has one natural answer, and "
        "whoever finds it writes the same: the last column says how many of the others did. Talk to people before you "
        f"conclude anything. ({len(pairs) - len(few)} pairs that more than {COMMON:.0%} of the others are like are left out.)</p>",
        '<table><tr><th>exercise</th><th>learners</th><th class="number">in common</th>'
        '<th class="number">of the others, too</th></tr>',
        *rows,
        "</table>",
    ]


def _spread(points: Iterable[int], most: int) -> list[tuple[int, int, int]]:
    """Five equal ranges of points, and how many learners are in each."""
    points = list(points)
    steps = sorted({round(most * part / 5) for part in range(6)})
    ranges = [(low + (low > 0), high) for low, high in pairwise(steps)]
    return [(low, high, sum(low <= one <= high for one in points)) for low, high in ranges]


def _bar(count: int, of: int) -> str:
    meter = f'<meter min="0" max="{max(1, of)}" value="{count}">{count} of {of}</meter>'
    return f'<span class="bar">{meter} {count} of {of}</span>'


def _page(title: str, body: Iterable[str]) -> str:
    lines = "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{lines}\n</body>\n</html>\n"
    )
