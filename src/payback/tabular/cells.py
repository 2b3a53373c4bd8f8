"""What one cell of a table says: missing, a number, a truth value, a date.

Everything here looks at one text at a time and decides conservatively: a text that could be read in two ways is not
read at all, and the column it stands in says so.
"""

from __future__ import annotations

import datetime
import math
import re

# Written in any of these cases: NA, na, Na.  "?" is how the UCI files mark a missing value.
_WORDS = ("na", "n/a", "n.a.", "nan", "null", "none", "nat", "#n/a", "#na", "<na>")
MISSING = frozenset(
    ["", "?", "-", "--", ".", "NaN", "NaT", "N/a"]
    + [form(word) for word in _WORDS for form in (str.lower, str.upper, str.title)]
)

TRUE_WORDS = {"true": "false", "yes": "no", "t": "f", "y": "n", "on": "off"}
_TRUTHS = dict.fromkeys([*TRUE_WORDS, "1"], 1.0) | dict.fromkeys([*TRUE_WORDS.values(), "0"], 0.0)

# No two neighboring repetitions can match the same digits, so matching is linear however long the cell is.
_NUMBER = {
    mark: re.compile(rf"[+-]?(?:[0-9]+(?:{re.escape(mark)}[0-9]*)?|{re.escape(mark)}[0-9]+)(?:[eE][+-]?[0-9]+)?")
    for mark in ".,"
}
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:([,.'’ \u00a0\u202f_])[0-9]{3})(?:\1[0-9]{3})*(?:[.,][0-9]+)?")

_TIME = r"(?:[T ](?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d(?:\.\d{1,9})?))?(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
_DIGITS = re.compile(r"(?P<a>\d{1,4})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)(?P<c>\d{1,4})" + _TIME, re.ASCII)
_NAMED = re.compile(
    r"(?:(?P<day>\d{1,2})[ -]+(?P<month>[A-Za-z]{3,9})\.?,?[ -]+|(?P<month2>[A-Za-z]{3,9})\.? +(?P<day2>\d{1,2}),? +)"
    r"(?P<year>\d{4})" + _TIME,
    re.ASCII,
)
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
DATE_ORDERS = ("ymd", "named", "dmy", "mdy")
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def quoted(text: str, limit: int = 60) -> str:
    """The text in quotes as it stands in the file, shortened: for error messages (who prints them escapes them).

    >>> quoted("size [cm]")
    "'size [cm]'"
    """
    return f"'{text}'" if len(text) <= limit else f"'{text[: limit - 1]}…'"


def counted(count: int, noun: str) -> str:
    """A number of things in words.

    >>> counted(1, "cell"), counted(1200, "cell"), counted(2, "category")
    ('1 cell', '1,200 cells', '2 categories')
    """
    many = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("s") else "s")
    return f"{count:,} {noun if count == 1 else many}"


def number(text: str, mark: str = ".") -> float | None:
    """The finite number that `text` writes with the decimal mark `mark`, or None. No thousands separators.

    >>> number("1.5e3"), number("1,5", ","), number("1,500"), number("inf"), number("1_000")
    (1500.0, 1.5, None, None, None)
    """
    if not _NUMBER[mark].fullmatch(text):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def infinite(text: str, mark: str = ".") -> bool:
    """Whether `text` writes infinity, or a number that is too large for a float64.

    >>> infinite("1e400"), infinite("-Inf"), infinite("1e4"), infinite("info")
    (True, True, False, False)
    """
    if _NUMBER[mark].fullmatch(text):
        return math.isinf(float(text.replace(",", ".")))
    return text.lstrip("+-").casefold() in ("inf", "infinity", "∞")


def doubtful_number(text: str, mark: str) -> bool:
    """Whether `text` looks like a number, but not like one that `number` reads: grouped, or with the other mark.

    >>> doubtful_number("1,234", "."), doubtful_number("1.5", ","), doubtful_number("1.5", ".")
    (True, True, False)
    """
    if _NUMBER[mark].fullmatch(text):
        return False
    return bool(_NUMBER["," if mark == "." else "."].fullmatch(text) or _GROUPED.fullmatch(text))


def grouped(text: str) -> bool:
    """Whether `text` could be a whole number with thousands separators: 1,234 or 1.234.567."""
    return bool(_GROUPED.fullmatch(text))


def number_text(value: float) -> str:
    """The shortest text that reads as `value`; whole numbers without a decimal point.

    >>> number_text(3.0), number_text(2.5)
    ('3', '2.5')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)


def truth(text: str) -> float | None:
    """1.0 for true, yes, t, y, on and 1; 0.0 for their opposites, in any case; None for any other text."""
    return _TRUTHS.get(text.casefold())


def day_number(text: str, order: str) -> float | None:
    """Days since 1970-01-01 (with a time of day: a fraction; with a zone: in UTC), or None.

    order: "ymd" 2024-02-29 · "dmy" 29.02.2024 · "mdy" 02/29/2024 · "named" 29 Feb 2024, February 29, 2024.

    >>> day_number("1970-01-02 12:00", "ymd"), day_number("2023-02-29", "ymd"), day_number("2 Jan 1970", "named")
    (1.5, None, 1.0)
    """
    match = (_NAMED if order == "named" else _DIGITS).fullmatch(text)
    if match is None:
        return None
    if order == "named":
        name = (match["month"] or match["month2"]).lower()
        months = [i for i, full in enumerate(_MONTHS, 1) if name in (full, full[:3]) or name == "sept" == full[:4]]
        if not months:
            return None
        year, month, day = match["year"], months[0], match["day"] or match["day2"]
    else:
        parts = dict(zip(order, (match["a"], match["b"], match["c"]), strict=True))
        year, month, day = parts["y"], int(parts["m"][:2]), parts["d"]
        if len(year) != 4 or len(parts["m"]) > 2 or len(day) > 2:
            return None
    try:
        days = datetime.date(int(year), month, int(day)).toordinal() - _EPOCH
    except ValueError:
        return None
    return _with_time(days, match)


def _with_time(days: int, match: re.Match[str]) -> float | None:
    if match["hour"] is None:
        return float(days)
    hour, minute, second = int(match["hour"]), int(match["minute"]), float(match["second"] or 0)
    if hour > 23 or minute > 59 or second >= 60:
        return None
    zone = match["zone"]
    if zone and zone != "Z":
        shift = int(zone[1:3]) * 60 + int(zone[-2:])
        minute -= shift if zone[0] == "+" else -shift
    return days + (hour * 3600 + minute * 60 + second) / 86400


def date_orders(labels: list[str]) -> list[str]:
    """The orders in which *every* label is a date; two of them when day and month cannot be told apart.

    Dates with dots are day first wherever they are used, so they are never unclear.

    >>> date_orders(["01/02/2024"]), date_orders(["01.02.2024"]), date_orders(["01/02/2024", "31/01/2024"])
    (['dmy', 'mdy'], ['dmy'], ['dmy'])
    """
    found = [order for order in DATE_ORDERS if all(day_number(text, order) is not None for text in labels)]
    if found == ["dmy", "mdy"] and all("." in text[:3] for text in labels):
        return ["dmy"]
    return found
