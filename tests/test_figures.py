"""Dates and amounts of a file, each told by all of them."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cashman.errors import UnreadableFile
from cashman.formats.figures import Amount, Amounts, Days, is_date, is_like_a_date, plain


def settled(*texts: str, likely: str | None = None) -> Days:
    days = Days()
    for text in texts:
        days.note(text)
    days.settle(likely)
    return days


def order_of(*texts: str) -> str | None:
    return settled(*texts).order


def amounts(*texts: str, decimals_max: int | None = None) -> Amounts:
    found = Amounts()
    for text in texts:
        found.note(text)
    found.settle(decimals_max)
    return found


# Dates.


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-15", "2024/3/15", "2024.03.15", "20240315", "20240315120000[-5:EST]", "2024-03-15T23:59:59Z",
        "2024-03-15 23:59", "15 March 2024", "15 Mar 2024", "15-Mar-24", "March 15, 2024", "Mar 15th, 2024",
        "Fri, 15 Mar 2024 10:00", "2024-Mar-15", "15. März 2024", "15 mars 2024", "15 de marzo de 2024",
        "15 de março de 2024", "15 marzo 2024", "15 maart 2024", "15 mrt. 2024", " 15  Mar  2024 ",
    ],
)  # fmt: skip
def test_a_date_that_leaves_no_choice_is_read_in_any_file(text: str) -> None:
    assert Days("MDY")[text] == Days("DMY")[text] == settled()[text] == dt.date(2024, 3, 15)


@pytest.mark.parametrize(
    ("month", "names"),
    [
        (1, "january januar janvier enero janeiro gennaio januari jan ene gen janv"),
        (2, "february februar fevrier febrero fevereiro febbraio februari feb fev févr"),
        (5, "may mai mayo maio maggio mei"),
        (6, "june juni juin junio junho giugno jun giu"),
        (7, "july juli juillet julio julho luglio jul juil lug"),
        (8, "august août agosto augustus aug ago"),
        (10, "october oktober octobre octubre outubro ottobre oct okt out ott"),
        (12, "december dezember décembre diciembre dezembro dicembre dec dez dic"),
    ],
)
def test_months_have_names_in_seven_languages(month: int, names: str) -> None:
    for name in names.split():
        assert Days()[f"3 {name} 2024"] == dt.date(2024, month, 3), name
        assert Days()[f"3. {name.title()}. 2024"] == dt.date(2024, month, 3), name


def test_the_beginning_of_two_months_is_neither_of_them() -> None:
    assert Days()["3 jui 2024"] is None
    assert Days()["3 ju 2024"] is None


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "12.50", "1.234.567", "-5", "1/2", "1/2/3/4", "1-2/2024", "10.12.1", "123/1/2024", "1/123/2024",
        "15 2024 March", "March 2024", "15 Foo 2024", "15 March 24 7 8", "2024-13", "99", "٣/٤/٢٠٢٤", "1" * 1_000,
        "15 March 1", "15 March 12345",
    ],
)  # fmt: skip
def test_what_is_no_date_is_none(text: str) -> None:
    assert Days("DMY")[text] is None
    assert not is_date(text)
    assert not is_like_a_date(text)


@pytest.mark.parametrize("text", ["31.02.2024", "2023-02-29", "00.00.0000", "2024-13-01", "0/1/2024", "32/1/2024"])
def test_a_day_that_does_not_exist_is_written_like_a_date_and_is_none(text: str) -> None:
    assert Days("DMY")[text] is None
    assert is_like_a_date(text)


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["06/12/2021", "13/12/2021"], "DMY"),
        (["06/12/2021", "12/13/2021"], "MDY"),
        (["13-12-21", "06-12-21", "14-12-40"], "DMY"),
        (["99-12-31", "06-12-21"], "YMD"),
        (["2021-12-06", "2021-12-07"], "YMD"),
        (["06.12.2021"], "DMY"),
        (["06.12.21"], "DMY"),
        (["12.13.2021", "12.06.2021"], "MDY"),
        (["1/15'24", "1/ 5' 4"], "MDY"),
        (["6 Dec 2021"], "YMD"),
        ([], "YMD"),
    ],
)
def test_one_date_that_has_no_other_reading_tells_for_all(texts: list[str], order: str) -> None:
    assert order_of(*texts) == order


def test_a_date_that_cannot_be_tells_nothing() -> None:
    # As a year in front, 31/04/05 is 5 April 2031; as a day in front, it does not exist, and is meant.
    assert order_of("31/04/05", "13/01/05", "14/02/05", "12/02/05", "11/02/05") == "DMY"


def test_a_few_slips_among_many_proofs_do_not_count_and_a_real_mixture_is_told() -> None:
    days = [f"{day}/01/2024" for day in range(13, 32)]
    assert order_of(*days, "01/13/2024") == "DMY"
    with pytest.raises(UnreadableFile, match="some only as MDY: say `date_order`"):
        settled(*days, "01/13/2024", "01/14/2024")


def test_of_two_readings_the_one_in_sequence_is_taken() -> None:
    assert order_of("01/12/2023", "05/12/2023", "02/01/2024", "02/01/2024", "04/01/2024") == "DMY"
    assert order_of("04/01/2024", "02/01/2024", "05/12/2023", "01/12/2023") == "DMY"
    assert order_of("12/01/2023", "12/05/2023", "01/02/2024", "01/04/2024") == "MDY"


def test_of_two_readings_in_sequence_the_one_within_a_much_narrower_span_is_taken() -> None:
    assert order_of("01/02/2024", "01/02/2024", "02/02/2024", "05/02/2024") == "DMY"
    assert order_of("02/01/2024", "02/01/2024", "02/02/2024", "02/05/2024") == "MDY"


@pytest.mark.parametrize(
    "texts",
    [
        ["06/12/2021"],
        ["06/12/2021", "06/12/2021"],
        ["03/04/2024", "01/05/2024"],
        ["05/01/2024", "05/02/2024", "05/03/2024"],  # a rent, or three days of May
    ],
)
def test_dates_that_stay_open_are_refused_unless_it_is_said_what_is_likely(texts: list[str]) -> None:
    with pytest.raises(UnreadableFile, match="Say `date_order` in a mapping"):
        settled(*texts)
    assert settled(*texts, likely="MDY").order == "MDY"


def test_an_order_that_was_said_stands_against_all_dates() -> None:
    days = Days("MDY")
    days.note("13/12/2021")
    days.settle()
    assert days["06.12.2021"] == dt.date(2021, 6, 12)
    assert days["13/12/2021"] is None
    assert days.settled


def test_two_digits_are_a_year_of_this_century_or_of_the_last_thirty_of_the_other() -> None:
    days = Days("DMY")
    assert [days[text] for text in ("1.1.69", "1.1.70", "1.1.99", "1.1.00")] == [
        dt.date(2069, 1, 1), dt.date(1970, 1, 1), dt.date(1999, 1, 1), dt.date(2000, 1, 1),
    ]  # fmt: skip


def test_only_so_many_dates_are_kept() -> None:
    days = Days("DMY")
    for second in range(20_050):
        assert days[f"1.1.2024 10:{second:05d}"] == dt.date(2024, 1, 1)
    assert len(days) < 100
    assert days["x" * 100_000] is None
    assert max(map(len, days)) < 100


@given(
    st.lists(st.dates(dt.date(1970, 1, 1), dt.date(2069, 12, 31)), min_size=1),
    st.sampled_from(["%d/%m/%Y", "%m/%d/%y"]),
)
def test_dates_come_out_as_they_went_in_or_the_file_is_refused(dates: list[dt.date], form: str) -> None:
    dates = sorted({*dates, dt.date(2024, 3, 25), dt.date(2023, 11, 30)})
    days = settled(*(date.strftime(form) for date in dates))
    assert [days[date.strftime(form)] for date in dates] == dates


# Amounts.


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50", "50"), ("-50", "-50"), ("+50", "50"), ("1,280.8", "1280.8"), ("1'280.80", "1280.80"),
        ("1’280.80", "1280.80"), ("1 280.80", "1280.80"), ("1\u202f280.80", "1280.80"), ("1\u00a0280.80", "1280.80"),
        ("(50.00)", "-50.00"), ("(1,250.00)", "-1250.00"), ("50.00-", "-50.00"), ("50.00 -", "-50.00"),
        ("- 50.00", "-50.00"), ("−50.00", "-50.00"), ("–50.00", "-50.00"), ("50.00 CR", "50.00"), ("50.00DR", "-50.00"),
        ("50.00 S", "-50.00"), ("50.00 H", "50.00"), ("$50", "50"), ("$-50", "-50"), ("-$50.25", "-50.25"),
        ("($50.25)", "-50.25"), ("Rs.50", "50"), ("kr 50", "50"), (".50", "0.50"), ("-.5", "-0.5"), ("0", "0"),
        ("1,234,567.89", "1234567.89"), ("12,34,567.89", "1234567.89"), ("0.001", "0.001"), ("  7 ", "7"),
        ("999999999999999999999", "999999999999999999999"),
    ],
)  # fmt: skip
def test_an_amount_is_read_exactly(text: str, number: str) -> None:
    found = Amounts(".").read(text)
    assert found is not None
    assert str(found.number) == number
    swapped = text.translate({ord(","): ".", ord("."): ","}).replace("Rs,", "Rs.")
    assert Amounts(",").read(swapped) == found


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("€ 50", "EUR"), ("50 €", "EUR"), ("50€", "EUR"), ("EUR 50", "EUR"), ("50 eur", "EUR"), ("£50", "GBP"),
        ("R$ 50", "BRL"), ("US$ 50", "USD"), ("CHF50", "CHF"), ("$50", None), ("¥ 50", None), ("50 kr", None),
        ("€ 50 EUR", "EUR"),
    ],
)  # fmt: skip
def test_a_currency_beside_an_amount_is_taken_where_it_stands_for_one_only(text: str, currency: str | None) -> None:
    assert Amounts(".").read(text) == Amount(Decimal(50), currency)


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "abc", "12a", "a12", "1e5", "NaN", "Infinity", "0x10", "--5", "-5-", "(-5)", "(5", "5)", "((5))",
        "+-5", "1,2,3", "1,23", "1,2345", "1,234,56", "1,,234", ",1", "1.2.3", "1.2,3", "5.", "5.-", "1 2", "1 23",
        "1'2", "1,234'567.00", "5 EUR USD", "5%", "50.00 CR DR", "-50.00 DR", "١٢", "５", "1_000", "1" * 41,
        "1" * 1_000, "1" * 100_000, "5 6", "5\u20096",
    ],
)  # fmt: skip
def test_what_is_no_amount_is_none(text: str) -> None:
    assert Amounts(".").read(text) is None
    assert Amounts(".").plain(text) is None


@pytest.mark.parametrize(
    ("texts", "decimal"),
    [
        (["1,280.8", "4,884"], "."),
        (["1.280,8", "4.884"], ","),
        (["12.50", "4.884"], "."),
        (["12,50", "4,884"], ","),
        (["1,234,567", "1.234"], "."),
        (["1.234.567", "1,234"], ","),
        (["0,123", "4,884"], ","),
        (["0.123"], "."),
        (["1234.567"], "."),
        (["1 234,567"], ","),
        (["-55", "4,884", "-180"], "."),
        (["-55", "4.884", "-180"], ","),
        (["-55", "1500"], "."),
        ([], "."),
        (["x", ""], "."),
        (["1,2,3", "5"], "."),
    ],
)
def test_the_mark_before_the_decimals_is_told_by_all_amounts(texts: list[str], decimal: str) -> None:
    assert amounts(*texts).decimal == decimal


@pytest.mark.parametrize("texts", [["1,234"], ["1.234"], ["1.234", "1500"], ["1.234", "1,234", "5"]])
def test_thousands_that_may_be_decimals_are_refused_unless_the_currency_has_fewer(texts: list[str]) -> None:
    with pytest.raises(UnreadableFile, match="say `decimal` in a mapping"):
        amounts(*texts)
    with pytest.raises(UnreadableFile, match="say `decimal` in a mapping"):
        amounts(*texts, decimals_max=3)
    if len(texts) == 1:
        found = amounts(*texts, decimals_max=2).read(texts[0])
        assert found is not None
        assert found.number == 1234


def test_points_and_commas_before_decimals_in_one_file_are_refused_but_for_a_slip() -> None:
    with pytest.raises(UnreadableFile, match="some a decimal comma"):
        amounts("1.50", "1,50")
    slip = amounts(*["1.50"] * 10, "1,50")
    assert slip.decimal == "."
    assert slip.read("1,50") is None


def test_the_quick_way_reads_what_the_thorough_one_reads() -> None:
    for text in ("5", "-5", "1234.5", "1,234.5", "-1,234", "1.234.567", "1.234,5", "5,0", "(5)", "5-", "1,23", "+5"):
        for decimal in ".,":
            found = Amounts(decimal)
            quick, thorough = found.plain(text), found.read(text)
            if quick is not None:
                assert thorough == Amount(quick, None)


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12), st.booleans()
)
def test_amounts_come_out_as_they_went_in(number: Decimal, grouped: bool) -> None:
    text = f"{number:,.2f}" if grouped else f"{number:.2f}"
    english, german = amounts(text), amounts(text.translate({ord(","): ".", ord("."): ","}))
    assert english.read(text) == Amount(number, None)
    assert german.read(text.translate({ord(","): ".", ord("."): ","})) == Amount(number, None)


@given(st.text(max_size=60))
def test_no_text_breaks_them(text: str) -> None:
    for decimal in (".", ",", None):
        found = Amounts(decimal)
        found.note(text)
        found.plain(text)
        found.read(text)
    days = Days()
    days.note(text)
    assert days[text] is None or isinstance(days[text], dt.date)


def test_a_name_is_compared_without_case_accents_and_punctuation() -> None:
    assert plain("  Date de l'Opération (UTC)_") == "date de l operation utc"
    assert plain("Währung") == plain("WAHRUNG") == "wahrung"
    assert plain("…") == ""
