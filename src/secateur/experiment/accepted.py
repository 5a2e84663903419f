"""What a setting takes, in words: read off the types and bounds of the recipe's own sections."""

from collections.abc import Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from secateur.errors import SettingError, kind_in_words, nearest


def refused(
    root: type[BaseModel], table: Any, errors: Sequence[ErrorDetails], *, where: str
) -> SettingError:
    """The refusal of the first setting that a section does not know or cannot use.

    Args:
        root: the outermost section.
        table: what was to become one.
        errors: what pydantic found wrong with it.
        where: the file or option concerned.
    """
    unknown = next((e["loc"] for e in errors if e["type"] == "extra_forbidden"), None)
    if unknown is not None:
        path = [str(part) for part in unknown]
        return SettingError(
            f"There is no setting {'.'.join(path)!r}", where=where, remedy=_suggestion(root, path)
        )
    first = errors[0]["loc"]
    # Of a choice of types each is refused by itself: the one that goes deepest is the one meant.
    place = max((e["loc"] for e in errors if e["loc"][:2] == first[:2]), key=len)
    kind: Any = root
    bounds: Sequence[object] = ()
    name, entry, value = "", "", table
    for part in place:
        if _is_section(kind):
            field = kind.model_fields[str(part)]
            kind, bounds = field.annotation, field.metadata
            name = f"{name}.{part}" if name else str(part)
            if part not in value:
                return SettingError(
                    f"{name} is missing", where=where, remedy=f"Give {taken(kind, bounds)}"
                )
            value = value[part]
        elif isinstance(value, Mapping) and part in value:
            value, entry = value[part], f"{entry} of {part!r}"
        elif isinstance(value, list | tuple) and isinstance(part, int):
            value, entry = value[part], f"{entry} at place {part + 1}"
    if _is_section(kind):
        within = ", ".join(f"{name}.{key}" for key in kind.model_fields)
        remedy = f"It is a section: give one of the settings in it, {within}"
    else:
        remedy = f"Give {taken(kind, bounds)}"
    return SettingError(f"{name}{entry} is {value!r}", where=where, remedy=remedy)


def taken(kind: Any, bounds: Sequence[object] = ()) -> str:
    """The values of a type with its bounds, as in `a number above 0 and at most 1`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return taken(inner[0], [*bounds, *_unpacked(inner[1:])])
    if origin is Literal:
        return " or ".join(repr(choice) for choice in inner)
    if origin in (Union, UnionType):
        # Whole numbers are numbers.
        kinds = [one for one in inner if one is not NoneType]
        kinds = [one for one in kinds if one is not int or float not in kinds]
        return ", or ".join(taken(one, bounds) for one in kinds)
    if origin is tuple:
        some = ", not empty" if any(getattr(bound, "min_length", 0) for bound in bounds) else ""
        return f"a list [..., ...]{some}, of which each is {taken(inner[0])}"
    if origin is dict:
        return "a table" if inner[1] is Any else f"a table of names, each with {taken(inner[1])}"
    words = "a table of settings" if _is_section(kind) else kind_in_words(kind)
    return f"{words}{_limits(bounds)}"


# --- Inside -----------------------------------------------------------------------------------


def _is_section(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _unpacked(marks: Iterable[Any]) -> list[Any]:
    """Pydantic's `Field` keeps its bounds inside; annotations of a model's fields show them."""
    return [bound for mark in marks for bound in getattr(mark, "metadata", [mark])]


def _limits(bounds: Sequence[object]) -> str:
    words = {"gt": "above {:g}", "ge": "of at least {:g}", "lt": "below {:g}", "le": "at most {:g}"}
    found = [
        words[key].format(limit)
        for key in words
        for limit in (getattr(bound, key, None) for bound in bounds)
        if limit is not None
    ]
    if any(getattr(bound, "allow_inf_nan", None) is False for bound in bounds):
        found.append("finite")
    return f" {' and '.join(found)}" if found else ""


def _suggestion(root: type[BaseModel], path: Sequence[str]) -> str:
    """The nearest name in the same section, or the same name in another one."""
    *sections, last = path
    section: Any = root
    for part in sections:
        section = section.model_fields[part].annotation
    elsewhere = [
        f"{name}.{last}"
        for name, field in root.model_fields.items()
        if _is_section(field.annotation) and last in field.annotation.model_fields
    ]
    if elsewhere:
        return f"Did you mean {' or '.join(map(repr, elsewhere))}?"
    return nearest(last, section.model_fields, prefix="".join(f"{part}." for part in sections))
