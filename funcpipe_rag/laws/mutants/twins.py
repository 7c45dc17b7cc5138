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
            "try_map",
            "recover",
            "ok_only",
            "split_results",
            "until_n_errors",
            "until_error_rate",
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
        ("try_map", "recover", "ok_only", "split_results", "until_n_errors", "until_error_rate"),
        frozenset({"closes_what_it_was_handed", "leaks_what_it_opened"}),
        "One closes too much and the other too little; one law says both.",
    ),
    Twins(
        ("try_map",),
        frozenset({"drops_failures", "stops_at_the_first_failure", "takes_the_input_for_an_item"}),
        "Each loses a failure's item in another way: left out, last of all, or not its own.",
    ),
    Twins(
        ("recover",),
        frozenset({"asks_about_every_result", "replaces_what_is_false"}),
        "Both ask about good results; one about all, the other about those that are false.",
    ),
    Twins(
        ("recover",),
        frozenset({"gives_the_bare_value", "wraps_what_was_left"}),
        "One puts on too little Ok, the other too much.",
    ),
    Twins(
        ("retry",),
        frozenset({"grows_without_a_bound", "sleeps_after_the_last_try"}),
        "One waits too long, the other once too often.",
    ),
    Twins(
        ("make_breaker",),
        frozenset({"keeps_the_first_hour", "never_closes"}),
        "One tries too often once the time is over, the other never.",
    ),
    Twins(
        ("make_sliding",),
        frozenset({"batches_instead", "drops_the_last"}),
        "One takes fresh items for each window, the other loses the last window; both give too little.",
    ),
    Twins(
        ("make_sliding",),
        frozenset({"redundant_tail", "window_reuse"}),
        "One gives windows that are not whole, the other one window that goes on changing.",
    ),
    Twins(
        ("make_grouped",),
        frozenset({"gathers_in_a_dict", "saved_groups", "sorts_first"}),
        "One forgets that groups are neighbours, one that they are read later, one the order.",
    ),
    Twins(
        ("ensure_contiguous",),
        frozenset({"leaves_out_what_returns", "remembers_one_key"}),
        "Neither tells of a key that returns: one drops its items, the other does not know it.",
    ),
    Twins(
        ("make_rolling_mean",),
        frozenset({"means_of_all", "means_of_less", "whole_division"}),
        "All three give wrong numbers: of too many items, of too few, or cut to whole ones.",
    ),
    Twins(
        ("make_accumulate",),
        frozenset({"goes_on_with_an_old_key", "never_begins_anew"}),
        "One never begins anew, the other not when a key comes back.",
    ),
    Twins(
        ("make_walk_source",),
        frozenset({"files_before_folders", "lists_at_once"}),
        "One walks in another order, the other looks too early and not into the folders below.",
    ),
    Twins(
        ("make_tap",),
        frozenset({"tap_consumes", "map_not_tap"}),
        "Both hand on the wrong thing: one nothing at all, the other what the callback returned.",
    ),
    Twins(
        ("make_counter",),
        frozenset({"one_count_for_all_runs", "tells_at_the_end_only"}),
        "One adds the runs up, the other is silent about a run that did not reach its end.",
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
    Twins(
        ("make_jsonl_source",),
        frozenset({"counts_values_for_lines", "takes_nan_for_json"}),
        "One miscounts the lines of its failures, the other misses a failure.",
    ),
    Twins(
        ("make_log_source",),
        frozenset({"holds_on_to_the_old_file", "opens_anew_each_time"}),
        "One never looks at the path again, the other looks at nothing else.",
    ),
    Twins(
        ("topk",),
        frozenset({"begins_at_one", "takes_one_from_each"}),
        "Both count too little: one forgets what may have been before, the other takes away what was there.",
    ),
    Twins(
        ("count_distinct",),
        frozenset({"forgets_the_last", "counts_changes"}),
        "One leaves an item out, the other counts one twice that comes back.",
    ),
    Twins(
        ("make_regex_filter",),
        frozenset({"matches_at_the_start", "looks_for_the_text_itself"}),
        "One looks in one place alone, the other for the wrong thing.",
    ),
    Twins(
        ("make_tokenize",),
        frozenset({"splits_at_blanks", "gives_empty_words", "lowers_the_text_first"}),
        "All three find other words: whole chunks, words of nothing, words that the text does not have.",
    ),
    Twins(
        ("make_ngrams",),
        frozenset({"drops_the_last", "side_by_side", "joins_the_words"}),
        "Two give too few n-grams, the third gives texts in place of tuples; all are wrong on the first list you try.",
    ),
    Twins(
        ("make_ext_filter",),
        frozenset({"minds_the_case", "forgets_the_dot"}),
        "One keeps too few files, the other too many.",
    ),
    Twins(
        ("make_sha256_with_size",),
        frozenset({"looks_ahead", "reads_a_file_ahead"}),
        "One line around any stage and the same line in this one: here it opens a file too early.",
    ),
    Twins(
        ("make_sha256_with_size",),
        frozenset({"starts_the_digest_anew", "opens_as_text"}),
        "One digests too little of the file, the other something else than its bytes.",
    ),
    Twins(
        ("make_project",),
        frozenset({"fills_with_none", "keeps_the_row_s_order"}),
        "One makes up fields that are missing, the other leaves them out.",
    ),
    Twins(
        ("make_rolling_avg_by_device",),
        frozenset({"one_window_for_all", "divides_by_w", "waits_for_whole_windows", "adds_and_takes_away"}),
        "Four ways to another mean: of other devices' values, of zeros, too late, or of what was rounded off.",
    ),
    Twins(
        ("parse_ts",),
        frozenset({"drops_the_offset", "reads_iso_alone"}),
        "One reads every form and no zone, the other every zone and one form.",
    ),
    Twins(
        ("parse_ts",),
        frozenset({"calls_it_nought", "shows_no_text"}),
        "One hides that it failed, the other what it failed on.",
    ),
    Twins(
        ("gen_clean_docs",),
        frozenset({"drops_the_last", "ends_each_text_with_a_newline"}),
        "One loses a document, the other lengthens each; with one short document at hand, both are wrong at once.",
    ),
    Twins(
        ("gen_chunks",),
        frozenset({"gives_a_tail_that_was_there", "looks_the_passage_up"}),
        "One cuts a window too many, the other right ones whose places are wrong; both count in the clean text.",
    ),
    Twins(
        ("structural_dedup",),
        frozenset({"compares_with_the_last_one", "puts_them_into_a_set"}),
        "One remembers too little, the other remembers all and forgets the order.",
    ),
    Twins(
        ("amerge",),
        frozenset({"a_task_for_each_answer", "first_source_first"}),
        "Both begin a task for every pull and pass somebody over: one by the order of a list, the other by that of a set.",
    ),
    Twins(
        ("abuffer",),
        frozenset({"ends_with_the_task", "one_queue_for_all_streams"}),
        "Both begin a task over a queue without a limit; one loses the end of a stream, the other mixes two.",
    ),
    Twins(
        ("abuffer",),
        frozenset({"fills_only_when_asked", "one_more_in_hand", "reads_blocks"}),
        "What is ready too late and what is asked for too early show in the same two places, whichever way it is wrong.",
    ),
    Twins(
        ("amap",),
        frozenset({"gathers", "awaits_whatever_comes"}),
        "One knows no plain functions because gather wants awaitables, the other because it awaits; only one of them ever runs two calls at once.",
    ),
    Twins(
        ("amap",),
        frozenset({"a_task_for_every_item", "raises_before_its_turn"}),
        "Both begin everything at once: one is the tutorial's list of tasks, the other the same list under `gather`, which also throws away what was due.",
    ),
    Twins(
        ("amap",),
        frozenset({"stops_at_the_first_failure", "puts_failures_last", "stops_waiting_only"}),
        "Three policies by hand around one call at a time: one loses the rest, one the place, one the call itself.",
    ),
    Twins(
        ("amap",),
        frozenset({"calls_in_your_context", "never_closes_its_source"}),
        "Both are the plain loop of one `await` after another: one shows what it does to its reader, the other what it leaves open.",
    ),
    Twins(
        ("amap",),
        frozenset({"ends_while_siblings_run", "cancels_and_leaves"}),
        "Both leave calls behind: one never tells them to stop, the other does not wait until they have.",
    ),
    Twins(
        ("aroundrobin",),
        frozenset({"chains_instead", "ends_with_the_shortest"}),
        "One takes all of a source in a turn, the other ends with the first that ends; two sources of unequal length show both.",
    ),
    Twins(
        ("abatch",),
        frozenset(
            {
                "looks_at_the_clock_when_an_item_comes",
                "waits_anew_for_each_item",
                "loses_what_came_before_an_error",
            }
        ),
        "Three timers by hand: one that only an item can set off, one that every item sets back, one that an error leaves with a batch in its hands.",
    ),
    Twins(
        ("abatch",),
        frozenset({"closes_it_twice", "closes_nothing"}),
        "Too often and never.",
    ),
    Twins(
        ("abroadcast",),
        frozenset({"shares_the_work", "pulls_in_the_readers_task", "tells_one_branch_only"}),
        "Three that hand one iterator round: the items go to one branch, the stream dies with a reader, or the error is one branch's own.",
    ),
    Twins(
        ("abroadcast",),
        frozenset({"begins_to_pump", "loses_the_item_it_refuses", "drops_in_silence", "drops_the_newest"}),
        "Four queues in place of a bound: filled too early, or full at the wrong moment, and each has another idea of whom to take it from.",
    ),
    Twins(
        ("abroadcast",),
        frozenset({"closes_with_the_first", "leaves_the_stream_open"}),
        "Too early and never.",
    ),
    Twins(
        ("single_task",),
        frozenset(
            {
                "drops_none_in_lists",
                "fans_out_all_the_way",
                "fans_tuples_out",
                "keeps_side_inputs_on_the_task",
                "leaves_its_calls",
            }
        ),
        "On the same few lines, which count and close nothing: three take results apart in another way, one shares what is a run's own, one shows what the lines leave running.",
    ),
    Twins(
        ("single_task",),
        frozenset({"a_call_more", "reads_far_ahead"}),
        "One call more, and twice as many.",
    ),
    Twins(
        ("batch_task",),
        frozenset({"batches_as_completed", "one_batch_at_a_time"}),
        "Batches side by side in no order, and in order but not side by side.",
    ),
    Twins(
        ("get_current_context",),
        frozenset({"remembers_the_first_context", "shares_its_data", "there_is_none"}),
        "The first run's context for all, the first run's data for all, and none at all: the second run tells.",
    ),
    Twins(
        ("aprogress",),
        frozenset({"looks_ahead", "swallows_errors"}),
        "One asks too early and meets an error before its turn, the other hears of none; neither closes what it wraps.",
    ),
)
