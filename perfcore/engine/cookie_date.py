"""The instant that an Expires attribute names, read as libcurl's curl_getdate reads it.

Servers write this date in many ways, so it is read part by part and in any order: a weekday, a month, a zone, a time,
a day, a year. At most six parts are read. A name that is none of these makes the whole text no date, and a cookie with
no date lives as long as its user; so what is read and what is not decides what is sent.
"""

import calendar
import re

_MOST_PARTS = 6
_LONGEST_WORD = 11
_LARGEST_NUMBER = 99_999_999
_FIRST_YEAR = 1583  # the first whole year of this calendar
_LAST_YEAR = 9999  # of Python's calendar; whatever is later is as good as for ever
_LARGEST_ZONE = 1400  # as +1400 is written

_PART = re.compile(r"([A-Za-z]+)|([0-9]+)")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2}))?")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAYS = {*_DAYS, *(day[:3] for day in _DAYS)}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Hours from a zone's time to that of Greenwich, as libcurl has them, and by these capitals only.
_ZONES_H = {
    **{letter: -hours for hours, letter in enumerate("ABCDEFGHIKLM", 1)},  # the military zones
    **{letter: hours for hours, letter in enumerate("NOPQRSTUVWXY", 1)},
    **{
        name: hours
        for hours, *names in (
            (0, "Z", "GMT", "UT", "UTC", "WET"),
            (-1, "BST", "CET", "FWT", "MET", "MEWT"),
            (-2, "CEST", "EET", "FST", "MEST", "MESZ"),
            (-7, "WAST"),
            (-8, "CCT", "WADT"),
            (-9, "JST"),
            (-10, "EAST", "GST"),
            (-11, "EADT"),
            (-12, "IDLE", "NZST", "NZT"),
            (-13, "NZDT"),
            (1, "WAT"),
            (3, "ADT"),
            (4, "AST", "EDT"),
            (5, "CDT", "EST"),
            (6, "CST", "MDT"),
            (7, "MST", "PDT"),
            (8, "PST", "YDT"),
            (9, "HDT", "YST"),
            (10, "AHST", "CAT", "HST"),
            (11, "NT"),
            (12, "IDLW"),
        )
        for name in names
    },
}


def read_date(text: str) -> int | None:
    """Seconds since 1970, also negative; None for what libcurl takes for no date."""
    date = _Date()
    at = 0
    for _ in range(_MOST_PARTS):
        part = _PART.search(text, at)
        if part is None:
            break
        if part[1]:
            is_read = date.take_word(part[1])
            at = part.end()
        elif date.time_s is None and (time := _TIME.match(text, part.start())) and date.take_time(time):
            is_read = True
            at = time.end()
        else:
            is_read = date.take_number(part[2], text[part.start() - 1 : part.start()])
            at = part.end()
        if not is_read:
            return None
    return date.instant_s()


class _Date:
    """What the parts read so far have told; a `take_…` says whether the part could be one of a date."""

    __slots__ = ("_day", "_month", "_next_is_year", "_weekday", "_year", "_zone_s", "time_s")

    def __init__(self) -> None:
        self.time_s: int | None = None  # of the day
        self._weekday: str | None = None
        self._day: int | None = None
        self._month: int | None = None
        self._year: int | None = None
        self._zone_s: int | None = None
        self._next_is_year = False

    def take_word(self, word: str) -> bool:
        if len(word) > _LONGEST_WORD:
            return False
        name = word.lower()
        if self._weekday is None and name in _WEEKDAYS:
            self._weekday = name
        elif self._month is None and name in _MONTHS:
            self._month = _MONTHS.index(name) + 1
        elif self._zone_s is None and word in _ZONES_H:
            self._zone_s = _ZONES_H[word] * 3600
        else:
            return False
        return True

    def take_time(self, time: re.Match[str]) -> bool:
        hours, minutes, seconds = (int(digits or 0) for digits in time.groups())
        if hours > 23 or minutes > 59 or seconds > 60:
            return False
        self.time_s = (hours * 60 + minutes) * 60 + seconds
        return True

    def take_number(self, digits: str, sign: str) -> bool:
        number = int(digits)
        if number > _LARGEST_NUMBER:
            return False
        if self._zone_s is None and len(digits) == 4 and number <= _LARGEST_ZONE and sign in ("+", "-"):
            offset_s = (number // 100 * 60 + number % 100) * 60
            self._zone_s = -offset_s if sign == "+" else offset_s
            return True
        if len(digits) == 8 and self._year is None and self._month is None and self._day is None:
            self._year, self._day = number // 10_000, number % 100
            self._month = number % 10_000 // 100 or None  # one may still come
            return True
        return self._take_day_or_year(number)

    def _take_day_or_year(self, number: int) -> bool:
        if not self._next_is_year and self._day is None:
            self._next_is_year = True
            if 0 < number < 32:
                self._day = number
                return True
        if self._next_is_year and self._year is None:
            self._year = number if number > 99 else number + (1900 if number > 70 else 2000)
            if self._day is None:
                self._next_is_year = False
            return True
        return False

    def instant_s(self) -> int | None:
        """What the parts amount to; None where one is missing or out of range."""
        day, month, year = self._day, self._month, self._year
        if day is None or month is None or year is None:
            return None
        if year < _FIRST_YEAR or day > 31 or not 1 <= month <= 12:
            return None
        days_s = calendar.timegm((min(year, _LAST_YEAR), month, 1, 0, 0, 0)) + (day - 1) * 86_400
        return days_s + (self.time_s or 0) + (self._zone_s or 0)
