"""The stems that full text is found by."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cashman.limits import NOTES_CHARACTERS_MAX, SEARCH_CHARACTERS_MAX
from cashman.stems import stems_of

pure = settings(derandomize=True, deadline=None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("play", "plays"), ("play", "playing"), ("play", "played"), ("PLAY", "play"), ("Café", "cafe"),
        ("Café", "cafe\u0301"), ("ÉCLAIR", "eclair"), ("Straße", "STRASSE"), ("\ufb01ne", "fine"),
        ("Ｐｉｚｚａ", "pizza"),
        ("ΑΘΗΝΑ", "αθήνα"), ("ΟΔΟΣ", "οδός"), ("Ёлка", "елка"), ("İstanbul", "istanbul"), ("x²", "x2"), ("①", "1"),
        ("ガ", "ｶﾞ"), ("groceries", "grocery"), ("running", "run"),
    ],
)  # fmt: skip
def test_spellings_of_one_word_have_one_stem(one: str, other: str) -> None:
    assert stems_of([one]) == stems_of([other])
    assert len(stems_of([one])) == 1


@pytest.mark.parametrize(("one", "other"), [("play", "pray"), ("Food", "Foodstuff"), ("10", "100"), ("漢", "漢字")])
def test_different_words_have_different_stems(one: str, other: str) -> None:
    assert stems_of([one]) != stems_of([other])


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("", []), ("   ", []), ("'\"*-_()", []), ("_", []), ("🍕", []), ("\u0301", []), ("\n\t", []), ("…—", []),
        ("night out", ["night", "out"]), ("out-night", ["night", "out"]), ("night_out", ["night", "out"]),
        ("night out night", ["night", "out"]), ("it's", ["it", "s"]), ("a:b", ["a", "b"]), ("🍕pizza🍕", ["pizza"]),
        ("12.50", ["12", "50"]), ("AND", ["and"]), ("NEAR(", ["near"]), ("漢字 かな", ["かな", "漢字"]),
    ],
)  # fmt: skip
def test_text_is_cut_into_runs_of_letters_and_digits(text: str, stems: list[str]) -> None:
    assert stems_of([text]) == stems


def test_several_texts_are_one_set_and_none_is_no_text() -> None:
    assert stems_of(["plays", None, "", "Luigi", "playing"]) == ["luigi", "play"]
    assert stems_of([]) == []


def test_a_word_never_reaches_over_two_texts() -> None:
    assert stems_of(["foo", "bar"]) == ["bar", "foo"]


@pure
@given(st.lists(st.text(max_size=40), max_size=4))
def test_stems_are_sorted_distinct_words_that_need_no_escaping(texts: list[str]) -> None:
    found = stems_of(texts)
    assert found == sorted(set(found))
    assert all(stem and all(character.isalnum() for character in stem) for stem in found)
    assert all(stem == stem.lower() for stem in found if stem.isascii())


@pure
@given(st.text(max_size=40))
def test_composed_and_decomposed_text_have_the_same_stems(text: str) -> None:
    assert stems_of([unicodedata.normalize("NFC", text)]) == stems_of([unicodedata.normalize("NFD", text)])


@pure
@given(st.text(max_size=40))
def test_ascii_words_have_the_same_stems_beside_any_other_text(text: str) -> None:
    assert set(stems_of(["Plays"])) <= set(stems_of([f"é Plays {text}"]))


@pytest.mark.parametrize("character", ["x", "漢", "\U00020000", "\ufdfa", "9"])
def test_a_word_without_end_has_a_stem_that_an_index_can_hold(character: str) -> None:
    """An entry of PostgreSQL's inverted index has at most 2,712 bytes."""
    stems = stems_of([character * NOTES_CHARACTERS_MAX])
    assert stems
    assert all(len(stem.encode()) <= 2_500 for stem in stems)


def test_what_two_words_of_the_longest_search_differ_in_is_kept() -> None:
    word = "z" * (SEARCH_CHARACTERS_MAX - 1)
    assert stems_of([word + "a"]) != stems_of([word + "b"])
