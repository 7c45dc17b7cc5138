"""Mutants that the laws cannot tell apart, and why both are here.

Two mutants that break exactly the same laws would usually be one too many. Each group below says in a sentence
what a learner gets out of having both. A test finds the groups anew and compares.
"""

from __future__ import annotations

from typing import NamedTuple


class Twins(NamedTuple):
    """Mutants killed by the same laws, of one function or of several."""

    functions: tuple[str, ...]
    mutants: frozenset[str]
    why: str


TWINS = (
    Twins(
        (
            "fmap",
            "ffilter",
            "fflat_map",
            "ftake_while",
            "fdrop_while",
            "fence_k",
            "make_batched",
            "batched",
        ),
        frozenset({"looks_ahead", "eager_inside"}),
        "One reads an item too many, the other all of them; a source that never ends stops both at the same pull.",
    ),
    Twins(
        ("fence_k",),
        frozenset({"one_pull_too_many", "zip_wrong_way"}),
        "Both pull one item too many; one counts too late, the other asks in the wrong order.",
    ),
    Twins(
        ("make_batched",),
        frozenset({"lost_tail", "reiterates"}),
        "One gives too little and the other never ends; both are wrong on the first list you try.",
    ),
    Twins(
        ("make_chain",),
        frozenset({"leaves_it_to_the_collector", "closes_the_failing_one_twice"}),
        "One never closes, the other closes twice.",
    ),
    Twins(
        ("make_roundrobin",),
        frozenset({"chains_instead", "removes_while_looping"}),
        "One takes no turns at all, the other skips one turn when a source ends.",
    ),
    Twins(
        ("make_merge",),
        frozenset({"trusts_its_sources", "closes_no_source", "stops_closing_at_the_first_error"}),
        "All three stand on heapq.merge, which neither checks nor closes; each stands for another thing to add.",
    ),
    Twins(
        ("fork2_lockstep", "fork_lockstep"),
        frozenset(
            {
                "pads_the_short_branch",
                "closes_its_input",
                "forgets_its_branches",
                "lets_the_skew_grow",
                "stops_with_the_shortest_branch",
            }
        ),
        "A fork by tee and zip breaks four laws at once; each of these is named after the one it stands for.",
    ),
    Twins(
        ("fork2_lockstep", "fork_lockstep"),
        frozenset({"wrong_branch_first", "restarts_for_each_item"}),
        "Both give wrong pairs; one in the wrong order, the other from stages that have forgotten what they saw.",
    ),
    Twins(
        ("multicast_bounded",),
        frozenset(
            {
                "ends_in_silence_after_an_overflow",
                "remembers_the_gone",
                "leaves_the_stream_open",
                "tells_one_branch_only",
            }
        ),
        "The usual queue-a-branch generator breaks seven laws; each of these is named after one of them.",
    ),
    Twins(
        ("compose",),
        frozenset({"backwards", "late_lambda"}),
        "One applies the stages in the wrong order, the other calls itself without end.",
    ),
    Twins(
        ("as_source",),
        frozenset({"takes_anything", "opens_when_called"}),
        "One accepts what it should refuse, the other opens before it is asked; the short answer does both.",
    ),
)
