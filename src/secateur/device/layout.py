"""The TOML layout of a technology: every number a table with value, unit and origin; laws too.

[read_noise]
value = 0.02
unit = "1"
source = "..."            # or: assumption = "..."

[drift_law]
law = "power"             # names the formula
assumption = "..."        # one origin for all numbers of the law
exponent = { value = 0.002, unit = "1" }
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, get_args

import tomli_w
from pydantic.fields import FieldInfo

from secateur.device.laws import Law
from secateur.device.units import unit_symbol
from secateur.errors import FileError, SettingError, nearest

# Name, value, unit, meaning, provenance.
Row: TypeAlias = tuple[str, Any, str, str, str]
WORDS = ("name", "title")


def read_text(path: Path, *, remedy: str) -> str:
    """The text of a technology's file.

    Raises:
        FileError: where there is none.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"This technology cannot be read: {error}", where=str(path), remedy=remedy
        ) from error


def parse(text: str, *, fields: Mapping[str, FieldInfo], where: str) -> dict[str, Any]:
    """Values by parameter, and `provenance`, from TOML of this layout.

    Raises:
        FileError: for text that is no TOML.
        SettingError: for unknown names, missing units and missing origins.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(
            f"Not a TOML file: {error}", where=where, remedy="Mend that line"
        ) from error
    values: dict[str, Any] = {}
    provenance: dict[str, str] = {}
    known = [name for name in fields if name not in (*WORDS, "provenance")]
    for key, entry in table.items():
        if key in WORDS:
            values[key] = entry
            continue
        if key not in known:
            raise SettingError(
                f"{key!r} is no parameter of a technology", where=where,
                remedy=nearest(key, known),
            )  # fmt: skip
        if law_classes(fields[key]):
            values[key] = _law(key, entry, fields[key], where=where)
        else:
            values[key] = _number(key, entry, fields[key], where=where)
        _check_origin(key, entry, where=where)
        kind = "source" if "source" in entry else "assumption"
        provenance[key] = f"{kind}: {entry[kind]}"
    return {**values, "provenance": provenance}


def compose(
    values: Mapping[str, Any], *, fields: Mapping[str, FieldInfo], provenance: Mapping[str, str]
) -> str:
    """TOML of this layout, with what `parse` gives back."""
    table: dict[str, Any] = {word: values[word] for word in WORDS}
    for name, field in fields.items():
        if name in (*WORDS, "provenance"):
            continue
        kind, _, words = provenance.get(name, "assumption: not stated").partition(": ")
        if law_classes(field):
            table[name] = {**_law_table(values[name], field), kind: words}
        else:
            table[name] = {"value": values[name], "unit": unit_symbol(field), kind: words}
    return tomli_w.dumps(table)


def law_classes(field: FieldInfo) -> dict[str, type[Law]]:
    """The laws a parameter can follow, by their words; none for a number."""
    found = {}
    for member in get_args(field.annotation):
        if isinstance(member, type) and issubclass(member, Law):
            (word,) = get_args(member.model_fields["law"].annotation)
            found[word] = member
    return found


def law_rows(name: str, law: Law, *, meaning: str, provenance: str) -> Iterator[Row]:
    """The law's word, then its numbers; nested laws after their own word."""
    yield name, law.law, "", meaning, provenance
    for key, field in type(law).model_fields.items():
        value, place = getattr(law, key), f"{name}.{key}"
        if key == "law":
            continue
        if isinstance(value, Law):
            yield from law_rows(place, value, meaning=field.description or "", provenance="")
        else:
            yield place, value, unit_symbol(field) or "1", field.description or "", ""


# --- Inside ----------------------------------------------------------------------------------


def _law(key: str, entry: Any, field: FieldInfo, *, where: str) -> dict[str, Any]:
    laws = law_classes(field)
    word = entry.get("law") if isinstance(entry, dict) else None
    if word not in laws:
        raise SettingError(
            f"{key} names the law {word!r}", where=where,
            remedy=f"Write [{key}] with law = one of: {', '.join(map(repr, laws))}",
        )  # fmt: skip
    values: dict[str, Any] = {"law": word}
    parameters = {name: f for name, f in laws[word].model_fields.items() if name != "law"}
    for name, inner in entry.items():
        if name in ("law", "source", "assumption"):
            continue
        place = f"{key}.{name}"
        if name not in parameters:
            raise SettingError(
                f"{place} is no number of the law {word!r}", where=where,
                remedy=nearest(name, parameters) if parameters else "It has none",
            )  # fmt: skip
        nested = law_classes(parameters[name])
        read = _law if nested else _number
        values[name] = read(place, inner, parameters[name], where=where)
    missing = sorted(set(parameters) - set(values))
    if missing:
        raise SettingError(
            f"{key}.{missing[0]} is missing", where=where,
            remedy=f"The law {word!r} has: {', '.join(parameters)}",
        )  # fmt: skip
    return values


def _law_table(law: Mapping[str, Any], field: FieldInfo) -> dict[str, Any]:
    parameters = law_classes(field)[law["law"]].model_fields
    table: dict[str, Any] = {"law": law["law"]}
    for name, value in law.items():
        if name == "law":
            continue
        inner = parameters[name]
        if law_classes(inner):
            table[name] = _law_table(value, inner)
        else:
            plain = list(value) if isinstance(value, tuple) else value
            table[name] = {"value": plain, "unit": unit_symbol(inner)}
    return table


def _number(key: str, entry: Any, field: FieldInfo, *, where: str) -> Any:
    unit = unit_symbol(field)
    if not isinstance(entry, dict):
        raise SettingError(
            f"{key} is {entry!r}, without a unit and an origin", where=where,
            remedy=f'Make it a table [{key}] with value, unit = "{unit}" and source or assumption',
        )  # fmt: skip
    if entry.get("unit") != unit:
        raise SettingError(
            f"{key} has unit {entry.get('unit')!r}, but {unit!r} is expected",
            where=where,
            remedy=f'Convert the value and write unit = "{unit}"',
        )
    if "value" not in entry:
        _check_origin(key, {}, where=where)
    return entry["value"]


def _check_origin(key: str, entry: Mapping[str, Any], *, where: str) -> None:
    if not ("source" in entry or "assumption" in entry):
        raise SettingError(
            f"{key} needs a value, and a source or an assumption",
            where=where,
            cause="a number without an origin cannot be trusted later",
            remedy='Add source = "..." or assumption = "..."',
        )
