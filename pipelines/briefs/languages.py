"""The words of the brief in each language: the JSON files in the folder `words`.

A text with `|` has two forms: for one, and for any other number.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "es", "pt")
"""English, Spanish and Portuguese."""


@dataclass(frozen=True)
class Language:
    """What a brief says in one language.

    Attributes:
        code: of `LANGUAGES`.
        words: text by key; `labels` and `months` are nested.
    """

    code: str
    words: Mapping[str, Any]

    def say(self, key: str, **values: Any) -> str:
        """A text with its values. Whole numbers get their separators; `n` chooses the form."""
        text: str = self.words[key]
        one, _, many = text.partition("|")
        number = values.get("n")
        if many and number != 1:
            one = many
        shown = {k: self.number(v) if isinstance(v, int) else v for k, v in values.items()}
        return one.format(**shown)

    def label(self, name: str) -> str:
        """A label in words; one that is not Planet's by its name, with spaces for underscores."""
        words: str = self.words["labels"].get(name) or name.replace("_", " ")
        return words

    def number(self, value: float, decimals: int = 0) -> str:
        """A number with its separators."""
        marks = str.maketrans({",": self.words["thousands"], ".": self.words["decimal"]})
        return f"{value:,.{decimals}f}".translate(marks)

    def size(self, hectares: float) -> str:
        """An area of land: with a decimal below 100 hectares."""
        return self.say("hectares", n=self.number(hectares, 1 if hectares < 100 else 0))

    def share(self, value: float) -> str:
        """A share in percent."""
        return f"{self.number(100 * value)} %"

    def day(self, day: date) -> str:
        """A date."""
        month = self.words["months"][day.month - 1]
        return str(self.words["date"].format(day=day.day, month=month, year=day.year))


@cache
def language(code: str) -> Language:
    """The language with a code of `LANGUAGES`."""
    text = files("pipelines.briefs").joinpath("words", f"{code}.json").read_text("utf-8")
    return Language(code, json.loads(text))
