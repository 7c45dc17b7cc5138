"""Print, as JSON, the smallest input on which each mutant breaks the law it names.

`python tests/counterexamples.py > tests/counterexamples.json` writes them anew; tests/test_counterexamples.py
compares. It needs nothing but the package and Hypothesis, so any Python and any installation can run it.
"""

import json

from funcpipe_rag import laws
from funcpipe_rag.laws.mutants import MUTANTS


def counterexamples() -> dict[str, list[str]]:
    """For each mutant: the law, the smallest input, and what came."""
    found = {}
    for mutant in MUTANTS:
        verdict = laws.run(laws.LAWS[mutant.killed_by], mutant.impl)
        found[mutant.id] = [mutant.killed_by, verdict.smallest, verdict.came]
    return found


if __name__ == "__main__":
    print(json.dumps(counterexamples(), indent=1, ensure_ascii=False))
