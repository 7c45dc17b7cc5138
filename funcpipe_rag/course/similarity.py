"""Which answers are alike: a comparison of normalised syntax trees, as advice.

Two answers to a small exercise are alike because there is one way to write it. So a pair is only told above a size,
and beside each pair stands its base rate: how many of the others have written the same, too.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

SMALLEST = 30
"""Nodes of a syntax tree; smaller answers are not compared."""

ALIKE = 0.8
"""The share of common subtrees from which on a pair is told."""


@dataclass(frozen=True)
class Pair:
    """Two learners' answers to one exercise: how much of them is common, and the share of the others who wrote that, too."""

    exercise: str
    one: str
    other: str
    common: float
    base_rate: float


def similar(answers: Mapping[str, Mapping[str, str]]) -> list[Pair]:
    """The pairs of answers that are more alike than most, of `{exercise: {learner: program}}`, the most alike first.

    >>> loop = "def f(xs):\\n    total = 0\\n    for x in xs:\\n        if x > 2:\\n            total += x * x\\n"
    >>> loop += "        else:\\n            total -= x\\n    return [total, len(xs), sum(xs), max(xs)]\\n"
    >>> renamed = loop.replace("total", "acc").replace("xs", "values")
    >>> [(pair.one, pair.other, pair.common) for pair in similar({"e": {"ada": loop, "bob": renamed}})]
    [('ada', 'bob', 1.0)]
    """
    pairs = []
    for exercise, programs in answers.items():
        shapes = {learner: _shape(program) for learner, program in programs.items()}
        large = {learner: shape for learner, shape in shapes.items() if shape.total() >= SMALLEST}
        common = {
            frozenset(two): _common(large[two[0]], large[two[1]]) for two in combinations(sorted(large), 2)
        }
        for one, other in combinations(sorted(large), 2):
            share = common[frozenset((one, other))]
            if share < ALIKE:
                continue
            others = large.keys() - {one, other}
            too = sum(
                common[frozenset((one, third))] >= share and common[frozenset((other, third))] >= share
                for third in others
            )
            rate = round(too / len(others), 3) if others else 0.0
            pairs.append(Pair(exercise, one, other, round(share, 2), rate))
    return sorted(pairs, key=lambda pair: (pair.base_rate, -pair.common, pair.exercise, pair.one, pair.other))


def _common(one: Counter[str], other: Counter[str]) -> float:
    return (one & other).total() / max(1, (one | other).total())


def _shape(program: str) -> Counter[str]:
    """The subtrees of a program, each by what it looks like without its names."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Counter()
    try:
        return Counter(_subtrees(tree))
    except RecursionError:
        return Counter()


def _subtrees(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr_context | ast.operator | ast.cmpop | ast.Module):
            yield _look(node, 3)


def _look(node: ast.AST, depth: int) -> str:
    """A node and what stands under it, so deep; values of constants count, names do not."""
    if isinstance(node, ast.Constant):
        return repr(node.value)[:20] if not isinstance(node.value, str) else "text"
    kind = type(node).__name__
    if depth == 0:
        return kind
    below = [
        _look(child, depth - 1)
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, ast.expr_context)
    ]
    return f"{kind}({','.join(below)})"
