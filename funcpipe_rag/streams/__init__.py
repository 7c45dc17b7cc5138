"""The sync stream algebra: standard library only, lazy, and honest about every pull.

The names are fetched when first asked for, so that nobody pays for the files of this room that they do not use.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .branches import Branch as Branch
    from .decoding import UndecodableText as UndecodableText
    from .fan_in import make_chain as make_chain, make_roundrobin as make_roundrobin
    from .fan_out import (
        fork2_lockstep as fork2_lockstep,
        fork_lockstep as fork_lockstep,
        multicast_bounded as multicast_bounded,
    )
    from .groups import ensure_contiguous as ensure_contiguous, make_grouped as make_grouped
    from .heavy_hitters import (
        HeavyHitter as HeavyHitter,
        SpaceSaving as SpaceSaving,
        count_distinct as count_distinct,
        topk as topk,
    )
    from .joining import make_keyed_join as make_keyed_join
    from .lateness import make_merge_late as make_merge_late
    from .logs import make_log_source as make_log_source
    from .merging import make_merge as make_merge
    from .pacing import (
        FakeTime as FakeTime,
        make_rate_limit as make_rate_limit,
        make_throttle as make_throttle,
        make_timestamp as make_timestamp,
    )
    from .pages import Page as Page, RepeatedCursor as RepeatedCursor, make_pager_source as make_pager_source
    from .pipelines import Pipeline as Pipeline, compose as compose
    from .recipes import (
        make_ext_filter as make_ext_filter,
        make_ngrams as make_ngrams,
        make_regex_filter as make_regex_filter,
        make_sha256_with_size as make_sha256_with_size,
        make_tokenize as make_tokenize,
    )
    from .records import (
        BadRecord as BadRecord,
        make_csv_source as make_csv_source,
        make_jsonl_source as make_jsonl_source,
    )
    from .reports import Report as Report, error_report as error_report, ok_only as ok_only
    from .results import (
        Err as Err,
        Nothing as Nothing,
        Ok as Ok,
        Option as Option,
        Result as Result,
        Some as Some,
        recover as recover,
        split_results as split_results,
        try_map as try_map,
        until_error_rate as until_error_rate,
        until_n_errors as until_n_errors,
    )
    from .retrying import (
        Backoff as Backoff,
        Breaker as Breaker,
        BreakerOpen as BreakerOpen,
        RetryPolicy as RetryPolicy,
        make_breaker as make_breaker,
        retry as retry,
    )
    from .rolling import (
        make_accumulate as make_accumulate,
        make_rolling_mean as make_rolling_mean,
        make_rolling_sum as make_rolling_sum,
    )
    from .routing import Handler as Handler, make_router as make_router
    from .rows import (
        make_cast as make_cast,
        make_project as make_project,
        make_rolling_avg_by_device as make_rolling_avg_by_device,
    )
    from .sources import (
        make_lines_source as make_lines_source,
        make_text_source as make_text_source,
        make_walk_source as make_walk_source,
    )
    from .stages import (
        Sink as Sink,
        Source as Source,
        Stage as Stage,
        Transform as Transform,
        as_source as as_source,
        sink as sink,
        source as source,
        source_to_transform as source_to_transform,
        stage as stage,
    )
    from .taps import (
        Counter as Counter,
        make_counter as make_counter,
        make_peek as make_peek,
        make_progress as make_progress,
        make_sampler_bernoulli as make_sampler_bernoulli,
        make_sampler_periodic as make_sampler_periodic,
        make_sampler_stable as make_sampler_stable,
        make_tap as make_tap,
    )
    from .timestamps import parse_ts as parse_ts
    from .transforms import (
        fdrop_while as fdrop_while,
        fence_k as fence_k,
        ffilter as ffilter,
        fflat_map as fflat_map,
        fmap as fmap,
        ftake_while as ftake_while,
    )
    from .windows import (
        batched as batched,
        make_batched as make_batched,
        make_sliding as make_sliding,
        values_after_w as values_after_w,
    )

_HOME = {
    "groups": (
        "ensure_contiguous",
        "make_grouped",
    ),
    "joining": ("make_keyed_join",),
    "lateness": ("make_merge_late",),
    "rolling": (
        "make_accumulate",
        "make_rolling_mean",
        "make_rolling_sum",
    ),
    "routing": (
        "Handler",
        "make_router",
    ),
    "windows": (
        "batched",
        "make_batched",
        "make_sliding",
        "values_after_w",
    ),
    "rows": (
        "make_cast",
        "make_project",
        "make_rolling_avg_by_device",
    ),
    "recipes": (
        "make_ext_filter",
        "make_ngrams",
        "make_regex_filter",
        "make_sha256_with_size",
        "make_tokenize",
    ),
    "heavy_hitters": (
        "HeavyHitter",
        "SpaceSaving",
        "count_distinct",
        "topk",
    ),
    "timestamps": ("parse_ts",),
    "branches": ("Branch",),
    "decoding": ("UndecodableText",),
    "fan_in": (
        "make_chain",
        "make_roundrobin",
    ),
    "fan_out": (
        "fork2_lockstep",
        "fork_lockstep",
        "multicast_bounded",
    ),
    "logs": ("make_log_source",),
    "merging": ("make_merge",),
    "pacing": (
        "FakeTime",
        "make_rate_limit",
        "make_throttle",
        "make_timestamp",
    ),
    "pages": (
        "Page",
        "RepeatedCursor",
        "make_pager_source",
    ),
    "pipelines": (
        "Pipeline",
        "compose",
    ),
    "records": (
        "BadRecord",
        "make_csv_source",
        "make_jsonl_source",
    ),
    "reports": (
        "Report",
        "error_report",
        "ok_only",
    ),
    "results": (
        "Err",
        "Nothing",
        "Ok",
        "Option",
        "Result",
        "Some",
        "recover",
        "split_results",
        "try_map",
        "until_error_rate",
        "until_n_errors",
    ),
    "retrying": (
        "Backoff",
        "Breaker",
        "BreakerOpen",
        "RetryPolicy",
        "make_breaker",
        "retry",
    ),
    "sources": (
        "make_lines_source",
        "make_text_source",
        "make_walk_source",
    ),
    "stages": (
        "Sink",
        "Source",
        "Stage",
        "Transform",
        "as_source",
        "sink",
        "source",
        "source_to_transform",
        "stage",
    ),
    "taps": (
        "Counter",
        "make_counter",
        "make_peek",
        "make_progress",
        "make_sampler_bernoulli",
        "make_sampler_periodic",
        "make_sampler_stable",
        "make_tap",
    ),
    "transforms": (
        "fdrop_while",
        "fence_k",
        "ffilter",
        "fflat_map",
        "fmap",
        "ftake_while",
    ),
}
_FILE = {name: file for file, names in _HOME.items() for name in names}
__all__ = sorted(_FILE)


def __getattr__(name: str) -> object:
    if name not in _FILE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_FILE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
