"""The periods that reports go by: what each is called, where it begins, and which one comes before or after it."""

import datetime as dt

from cashman.totals import first_of_month, first_of_year, last_of_month


def bucket(period: str, day_or_month: str) -> str:
    """The name of the period of a kind that a day, or a month, YYYY-MM, or a year lies in."""
    if period == "year":
        return day_or_month[:4]
    if period == "month":
        return day_or_month[:7]
    if period == "quarter":
        return f"{day_or_month[:4]}-Q{(int(day_or_month[5:7]) + 2) // 3}"
    if period == "week":  # of ISO 8601: its year may differ from the day's
        year, week, _ = dt.date.fromisoformat(day_or_month).isocalendar()
        return f"{year:04}-W{week:02}"
    return day_or_month


def bucket_start(period: str, day: dt.date) -> dt.date:
    """The first day of the period of a kind that a day lies in."""
    if period == "year":
        return first_of_year(day)
    if period == "quarter":
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    if period == "month":
        return first_of_month(day)
    if period == "week":
        return day - dt.timedelta(days=min(day.weekday(), (day - dt.date.min).days))
    return day


def last_day_before(period: str, day: dt.date) -> dt.date:
    """The last day before the period that a day lies in; the calendar's first day where there is none."""
    start = bucket_start(period, day)
    return start if start == dt.date.min else start - dt.timedelta(days=1)


def bucket_after(period: str, name: str) -> str | None:
    """The period after a period; None after the calendar's last."""
    try:
        if period == "year":
            after = dt.date(int(name) + 1, 1, 1)
        elif period == "quarter":
            number = int(name[:4]) * 4 + int(name[-1])
            after = dt.date(number // 4, number % 4 * 3 + 1, 1)
        elif period == "month":
            number = int(name[:4]) * 12 + int(name[5:])
            after = dt.date(number // 12, number % 12 + 1, 1)
        elif period == "week":
            after = dt.date.fromisocalendar(int(name[:4]), int(name[6:]), 1) + dt.timedelta(days=7)
        else:
            after = dt.date.fromisoformat(name) + dt.timedelta(days=1)
    except (OverflowError, ValueError):
        return None
    return bucket(period, after.isoformat())


def range_before(first: dt.date, last: dt.date) -> tuple[dt.date, dt.date] | None:
    """As many months, or else days, as there are from `first` to `last`, before `first`; None before the calendar."""
    try:
        before = first - dt.timedelta(days=1)
        if first.day == 1 and last == last_of_month(last):
            months = (last.year - first.year) * 12 + last.month - first.month + 1
            number = first.year * 12 + first.month - 1 - months
            return dt.date(number // 12, number % 12 + 1, 1), before
        return first - (last - first) - dt.timedelta(days=1), before
    except (OverflowError, ValueError):
        return None
