import re
from datetime import date

import pytest

from pipelines.briefs.languages import LANGUAGES, language
from schemas.labels import PLANET_LABELS

_PLACEHOLDER = re.compile(r"{(\w+)}")


@pytest.mark.parametrize("code", LANGUAGES)
def test_each_language_has_every_text_with_the_same_values(code: str) -> None:
    english, words = language("en").words, language(code).words
    assert list(words) == list(english)
    texts = [key for key in english if isinstance(english[key], str)]
    for key in texts:
        assert set(_PLACEHOLDER.findall(words[key])) == set(_PLACEHOLDER.findall(english[key])), key
        assert words[key].count("|") == english[key].count("|"), key
    assert len(words["months"]) == 12


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_label_of_planet_has_words_of_its_own(code: str) -> None:
    spoken = [language(code).label(name) for name in PLANET_LABELS.names]
    assert len(set(spoken)) == len(PLANET_LABELS.names)
    assert not [text for text in spoken if "_" in text]


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_language_claims_that_anything_is_illegal(code: str) -> None:
    assert not re.search(r"ill?egal|garimpo|delito|crime|crimen", str(language(code).words), re.I)


def test_a_mine_is_artisanal_and_other_labels_lose_their_underscores() -> None:
    assert language("en").label("artisinal_mine") == "artisanal mine"
    assert language("es").label("artisinal_mine") == "mina artesanal"
    assert language("pt").label("new_air_strip") == "new air strip"


def test_numbers_and_dates_are_written_as_in_the_language() -> None:
    day = date(2026, 7, 3)
    assert [language(code).number(12345.6, 1) for code in LANGUAGES] == [
        "12,345.6",
        "12.345,6",
        "12.345,6",
    ]
    assert [language(code).day(day) for code in LANGUAGES] == [
        "3 July 2026",
        "3 de julio de 2026",
        "3 de julho de 2026",
    ]


def test_one_and_many_have_forms_of_their_own() -> None:
    assert language("en").say("seen_times", n=1) == "seen once"
    assert language("en").say("seen_times", n=1200) == "seen 1,200 times"
    assert language("pt").say("seen_times", n=2) == "visto 2 vezes"


def test_a_value_with_braces_or_bars_stays_as_it_is() -> None:
    assert language("en").say("area", area="{n} | {0}") == "Area: {n} | {0}"
