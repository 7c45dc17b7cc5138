"""The laws of reading timestamps: one instant, however it is written, and never a guess at its zone."""

from __future__ import annotations

from calendar import timegm
from typing import Any

from .inputs import choice
from .law import holds, law, same
from .worlds import World

Moment = tuple[int, int, int, int, int, int]

_MOMENTS = choice(
    (1970, 1, 1, 0, 0, 0), (2024, 5, 1, 12, 0, 0), (2024, 12, 31, 23, 59, 59), (1969, 2, 3, 4, 5, 6)
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_FORMS = {
    "iso": "{0:04}-{1:02}-{2:02}T{3:02}:{4:02}:{5:02}{zone}",
    "blank": "{0:04}-{1:02}-{2:02} {3:02}:{4:02}:{5:02}{zone}",
    "slashes": "{0:04}/{1:02}/{2:02} {3:02}:{4:02}:{5:02}{zone}",
    "basic": "{0:04}{1:02}{2:02}T{3:02}{4:02}{5:02}{zone}",
    "common log": "{2:02}/{month}/{0:04}:{3:02}:{4:02}:{5:02} {zone}",
    "in brackets": "[{2:02}/{month}/{0:04}:{3:02}:{4:02}:{5:02} {zone}]",
}


def _written(moment: Moment, form: str, zone: str) -> str:
    text = _FORMS[form].format(*moment, month=_MONTHS[moment[1] - 1], zone=zone)
    return text if zone else text.replace(" ]", "]").rstrip()


@law(
    "parse-ts-reads-one-instant-from-every-form",
    about="parse_ts",
    promise="same answer",
    says="However an instant is written, and in whichever zone, it is the same number of seconds.",
    hint="What does the offset at the end change: the instant, or the way to tell it?",
    moment=_MOMENTS,
    form=choice(*_FORMS),
    minutes=choice(0, 120, -330),
)
def _(world: World, parse_ts: Any, moment: Moment, form: str, minutes: int) -> None:
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    text = _written(moment, form, zone)
    same(parse_ts(text), float(timegm((*moment, 0, 0, 0)) - 60 * minutes), f"{text!r} gave {{}}")


@law(
    "parse-ts-takes-no-zone-for-granted",
    about="parse_ts",
    promise="same answer",
    says="A text without a zone is a ValueError that shows the text: nobody guesses.",
    hint="Noon, but where? Which zone did your program take, and who told it?",
    moment=_MOMENTS,
    form=choice(*_FORMS),
)
def _(world: World, parse_ts: Any, moment: Moment, form: str) -> None:
    _refused(parse_ts, _written(moment, form, ""))


@law(
    "parse-ts-refuses-what-is-no-time",
    about="parse_ts",
    promise="same answer",
    says="What is no timestamp is a ValueError that shows the text.",
    hint="Which error did the reader of a log get, and which line was it?",
    text=choice(
        "",
        "noon",
        "1714564800",
        "2024-02-30T00:00:00Z",
        "2024-05-01T12:00:60Z",
        "May  1 12:00:00",
        "05/01/2024 12:00:00 +0000",
        "01/Mai/2024:12:00:00 +0000",
    ),
)
def _(world: World, parse_ts: Any, text: str) -> None:
    _refused(parse_ts, text)


def _refused(parse_ts: Any, text: str) -> None:
    try:
        came = parse_ts(text)
    except ValueError as error:
        holds(repr(text) in str(error), f"ValueError: {error}", f"a ValueError that shows {text!r}")
    else:
        holds(False, f"{text!r} gave {came!r}", "a ValueError")
