"""The label set of labelled chips: Planet's, one of their own, or one from a file.

A set that is Planet's but for case or a letter would silently train another model, without a sky
group, so it is refused with the nearest names.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from pipelines.errors import UsageError, as_usage_error
from schemas.labels import PLANET_LABELS, LabelSet, LabelSetError
from train.addresses import read_file

_SHOWN = 20


def choose_label_set(names: Collection[str], source: str = "labels csv") -> LabelSet:
    """The label set of the names in a labels csv.

    It is Planet's if the file has any of Planet's sky labels, or only labels of Planet: another
    name is then a misspelling. Otherwise it is the file's own names in alphabetical order, without
    a sky group.

    Args:
        source: where the names are from, for messages.

    Raises:
        UsageError: other names next to Planet's sky labels, a set that differs from Planet's only
            in spelling, or two names that would share a column.
    """
    own = set(names) - set(PLANET_LABELS.names)
    if not own or set(names) & set(PLANET_LABELS.sky):
        check_known(names, PLANET_LABELS, source, "use --label_set for others")
        return PLANET_LABELS
    misspelt = {name: near for name in sorted(own) if (near := planet_label_near(name))}
    if misspelt and _is_meant_as_planets(misspelt, names):
        raise UsageError(
            f"{source}: labels that are nearly Planet's: {_with_nearest(misspelt)}; write them "
            f"like Planet's, or, if they are your own, give --label_set FILE with "
            f"{_label_set_text(sorted(names))}"
        )
    with as_usage_error(source, (LabelSetError,)):
        return LabelSet(tuple(sorted(names)))


def planet_label_near(name: str) -> str | None:
    """The label of Planet from which a name differs only by case, by what is between its words, or
    by one letter (wrong, missing, added, or swapped with the next); None if there is none.

    >>> planet_label_near("Partly Cloudy"), planet_label_near("artisanal_mine")
    ('partly_cloudy', 'artisinal_mine')
    """
    plain = _plain(name)
    return next((label for label in PLANET_LABELS.names if _is_one_typo(plain, label)), None)


def read_label_set(uri: str) -> LabelSet:
    """Read a label-set file, `{"labels": [...], "sky": [...]}`.

    Raises:
        UsageError: it contradicts itself.
        StorageError: it cannot be read.
    """
    with as_usage_error(f"--label_set {uri}", (LabelSetError,)):
        return LabelSet.from_json(read_file("--label_set", uri))


def check_known(
    names: Iterable[str], label_set: LabelSet, source: str = "labels csv", advice: str = ""
) -> None:
    """Refuse label names that a label set does not have.

    Args:
        source: where the names are from, for messages.
        advice: ends the message.

    Raises:
        UsageError: there are such names.
    """
    unknown = sorted(set(names) - set(label_set.names))
    if unknown:
        plain = {_plain(label): label for label in label_set.names}
        near = {n: difflib.get_close_matches(_plain(n), plain, 1) for n in unknown}
        nearest = {name: plain[found[0]] if found else None for name, found in near.items()}
        known = f"known: {', '.join(label_set.names)}"
        raise UsageError(
            f"{source}: unknown labels: {_with_nearest(nearest)} "
            f"({'; '.join(filter(None, [known, advice]))})"
        )


def _is_meant_as_planets(misspelt: Mapping[str, str], names: Collection[str]) -> bool:
    """Whether most names are Planet's or nearly so, or one is a sky label in another spelling."""
    planets = len(set(names) & set(PLANET_LABELS.names)) + len(misspelt)
    sky = [name for name, near in misspelt.items() if near in PLANET_LABELS.sky]
    return 2 * planets > len(names) or any(_plain(name) == misspelt[name] for name in sky)


def _is_one_typo(text: str, label: str) -> bool:
    """Whether two texts are equal, or differ by one letter or by two that are swapped."""
    short, long = sorted((text, label), key=len)
    if len(long) - len(short) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), None)
    if start is None:
        return True
    a, b = short[start:], long[start:]
    if len(a) != len(b):
        return a == b[1:]
    return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


def _plain(name: str) -> str:
    """A name in lower case with `_` between its words."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def _with_nearest(nearest: Mapping[str, str | None]) -> str:
    shown = [f"{n!r} (nearest: {near})" if near else repr(n) for n, near in nearest.items()]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _label_set_text(names: Sequence[str]) -> str:
    text = json.dumps({"labels": list(names[:_SHOWN])}, ensure_ascii=False)
    return text if len(names) <= _SHOWN else text.replace("]}", ", ...]}")
