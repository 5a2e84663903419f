"""Tables of settings, names and units are those of the code."""

import importlib
import importlib.util
import inspect
import json
import re
from typing import Any, Literal, get_args, get_origin

import pages
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from secateur.device import Technology
from secateur.experiment.recipe import ARM_NAMES, Recipe
from secateur.tasks import TASKS


def _fields() -> dict[str, FieldInfo]:
    found: dict[str, FieldInfo] = {}
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found |= {f"{name}.{key}": inner for key, inner in section.model_fields.items()}
        else:
            found[name] = field
    return found


def _in_words(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    words = {PydanticUndefined: "must be given", None: "unset", ARM_NAMES: "every arm"}
    if default == {}:
        return "empty"
    return words[default] if default in words else f"`{json.dumps(default)}`"


def _settings() -> dict[str, list[str]]:
    listed = pages.rows(pages.named("docs/recipes.md"), "setting", "default", "meaning")
    return {name: [default, meaning] for name, default, meaning in listed}


def test_the_recipes_page_lists_every_setting_with_its_default() -> None:
    fields = _fields()
    listed = {
        name.strip("`"): default for name, (default, _) in _settings().items() if ":" not in name
    }
    assert listed == {name: _in_words(field) for name, field in fields.items()}


def test_the_recipes_page_names_every_choice() -> None:
    for name, field in _fields().items():
        if get_origin(field.annotation) is Literal:
            meaning = _settings()[f"`{name}`"][1]
            assert all(f'`"{choice}"`' in meaning for choice in get_args(field.annotation)), name


def test_the_recipes_page_lists_the_arguments_of_loaders_and_networks() -> None:
    listed = {name: default for name, (default, _) in _settings().items() if ":" in name}
    assert listed == {
        f"{task.name}: `{section}.{name}`": f"`{json.dumps(argument.default)}`"
        for task in TASKS.values()
        for section, function in (("task", task.loader), ("network", task.network))
        for name, argument in inspect.signature(function).parameters.items()
        if argument.kind is argument.KEYWORD_ONLY
    }


def test_the_glossary_has_every_parameter_of_a_technology() -> None:
    listed = pages.rows(pages.named("docs/glossary.md"), "parameter", "unit", "meaning")
    known = Technology.load("taox-40nm").parameters()
    assert listed == [[f"`{name}`", unit, meaning] for name, _, unit, meaning, _ in known]


_GLOSSARY = pages.rows(pages.named("docs/glossary.md"), "name", "unit", "meaning", "in code")


@pytest.mark.parametrize(("name", "path"), [(row[0], row[3].strip("`")) for row in _GLOSSARY])
def test_glossary_names_exist_in_the_code(name: str, path: str) -> None:
    assert _exists(path), f"{name}: there is no {path}"


def test_glossary_names_are_explained_once() -> None:
    names = [name for row in _GLOSSARY for name in row[0].split(", ")]
    assert len(names) == len(set(names)) > 30
    assert all(len(row[2].split()) > 2 for row in _GLOSSARY)


def _exists(path: str) -> bool:
    """Whether a dotted path leads to a module, a member, a field, or an argument."""
    parts = path.split(".")
    found: Any = importlib.import_module(parts[0])
    for n, part in enumerate(parts[1:], start=2):
        fields = {*getattr(found, "model_fields", {}), *getattr(found, "__annotations__", {})}
        if hasattr(found, part):
            found = getattr(found, part)
        elif inspect.ismodule(found) and importlib.util.find_spec(".".join(parts[:n])):
            found = importlib.import_module(".".join(parts[:n]))
        else:
            arguments = inspect.signature(found).parameters if callable(found) else ()
            kept = re.search(rf"self\.{part}\b", inspect.getsource(found))
            return n == len(parts) and (part in fields or part in arguments or bool(kept))
    return True
