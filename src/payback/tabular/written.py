"""How the numbers of a column are written beside plainly: with a currency, a percent sign or a unit, and in groups of
three digits.

The whole column decides, never a cell: all cells have the same signs around them, and something in the column must
prove which mark is the decimal one.  `1,234` alone proves nothing; `$1,234` does, for money has no thousandths.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from payback.tabular import cells

_CURRENCIES = r"(?:[A-Z]{0,2}[$€£¥₹₽₩₺₫₴₪฿元円]|CHF|USD|EUR|GBP|JPY|CNY|RMB|INR|SEK|NOK|DKK|PLN|CZK|CAD|AUD|Fr\.|Rs\.?)"
_CURRENCY = re.compile(_CURRENCIES)
# a unit has no digits but as exponents; what only some of the cells have is no unit, and neither is 3 of "3 - 5"
_UNIT = r"[^\W\d_](?:[^\d\s,;:+]|[²³]){0,11}[23]?|[%‰°$€£¥₹₽₩₺元円](?:[^\d\s,;:+]){0,11}"
_SPACE = "[ \u00a0\u202f]?"
_CELL = re.compile(
    rf"(?P<sign>[+\-−]?)(?P<before>{_CURRENCIES})?{_SPACE}(?P<sign2>[+\-−]?)"
    rf"(?P<body>[0-9][0-9.,'’ \u00a0\u202f]*(?<=[0-9])(?:[eE][+-]?[0-9]+)?|[.,][0-9]+){_SPACE}(?P<after>{_UNIT})?"
)
_GROUPS = ",.'’ \u00a0\u202f"
SAMPLE = 2000  # cells that tell how all are written; each of them is then read so, or is an error


@dataclass(frozen=True)
class Written:
    """before, after: what stands around each number, or "".  group: what separates thousands, or "".  mark: decimal.

    >>> Written("$", "", ",", ".").number("-$1,234.50"), Written("", "kg", "", ",").number("2,5 kg")
    (-1234.5, 2.5)
    """

    before: str
    after: str
    group: str
    mark: str

    def __post_init__(self) -> None:
        if self.mark not in (".", ",") or (self.group and self.group not in _GROUPS) or self.group == self.mark:
            raise ValueError("a decimal mark and another sign for thousands")

    @property
    def unit(self) -> str:
        """What stands around the numbers."""
        return " … ".join(filter(None, (self.before, self.after)))

    @property
    def note(self) -> str:
        """What is to be said about a column that is written so."""
        signs = [cells.quoted(self.unit)] * bool(self.unit)
        signs += [f"the thousands separator {cells.quoted(self.group)}"] * bool(self.group)
        return "read without " + " and ".join(signs)

    def number(self, text: str) -> float | None:
        """The number of a cell that is written so, or plainly; None for any other."""
        found = _CELL.fullmatch(text)
        if found is None or (found["sign"] and found["sign2"]):
            return None
        before, after = found["before"] or "", found["after"] or ""
        if (before or after) and (before, after) != (self.before, self.after):
            return None
        body = found["body"]
        if self.group and self.group in body:
            if not _grouped(self.group, self.mark).fullmatch(body):
                return None
            body = body.replace(self.group, "")
        value = cells.number(body, self.mark)
        return -value if value is not None and found["sign"] + found["sign2"] in ("-", "−") else value


def find_written(labels: Sequence[str], mark: str, sure: bool) -> Written | None:
    """How these cells are written if at least nine of ten are written alike, and not plainly; else None.

    mark: the decimal mark of the table; sure: whether it is known, not just likely.

    >>> find_written(["12 kg", "7.5 kg"], ".", False).number("7.5 kg"), find_written(["1,234", "567"], ".", False)
    (7.5, None)
    >>> find_written(["1,234", "567"], ".", True).number("1,234")
    1234.0
    """
    labels = labels[:: max(1, len(labels) // SAMPLE)]
    first = [found for text in labels[:20] if (found := _CELL.fullmatch(text))]
    if 2 * len(first) < len(labels[:20]) or not first:
        return None
    before, after = _commonest([(found["before"] or "", found["after"] or "") for found in first])
    found_all = [found for text in labels if (found := _CELL.fullmatch(text))]
    bodies = [f["body"] for f in found_all if (f["before"] or "", f["after"] or "") == (before, after)]
    if 10 * len(bodies) < 9 * len(labels):
        return None
    money = bool(before or _CURRENCY.fullmatch(after))
    for decimal in (mark, "," if mark == "." else "."):
        proven = decimal == mark and sure
        plain = [body for body in bodies if cells.number(body, decimal) is not None]
        if (before or after) and len(plain) == len(bodies):
            marked = [body for body in bodies if decimal in body]
            if not marked or proven or (not money and decimal == ".") or not all(map(cells.grouped, marked)):
                return None if _codes(bodies) else Written(before, after, "", decimal)
            continue
        for group in _GROUPS:
            if group == decimal or not any(group in body for body in bodies):
                continue
            shape = _grouped(group, decimal)
            if 10 * sum(bool(shape.fullmatch(body)) for body in bodies) < 9 * len(bodies) or _codes(bodies):
                continue
            tells = any(body.count(group) > 1 or (group in body and decimal in body) for body in bodies)
            if proven or money or tells or group not in ".,":
                return Written(before, after, group, decimal)
    return None


@cache
def _grouped(group: str, mark: str) -> re.Pattern[str]:
    g, m = re.escape(group), re.escape(mark)
    return re.compile(rf"(?:0|[1-9][0-9]{{0,2}}(?:{g}[0-9]{{3}})*)(?:{m}[0-9]+)?")


def _codes(bodies: Sequence[str]) -> bool:
    """Whether these are codes and no amounts: of one width with a leading zero, or groups that are all alike (030 123
    456, as phones are)."""
    whole = all(re.sub("[ .'’,]", "", body).isdigit() for body in bodies)
    alike = len({re.sub("[0-9]", "0", body) for body in bodies}) == 1
    grouped = len(bodies) > 1 and not bodies[0].isdigit() and "," not in bodies[0] and "." not in bodies[0]
    zero = any(len(body) > 1 and body[0] == "0" and body[1].isdigit() for body in bodies)
    return whole and alike and (zero or grouped)


def _commonest(pairs: list[tuple[str, str]]) -> tuple[str, str]:
    return max(pairs, key=pairs.count)
