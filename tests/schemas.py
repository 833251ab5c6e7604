"""The documents of `--json`, held to the JSON schemas in docs/schemas/."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

__all__ = ["SCHEMAS", "problems"]

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
SCHEMAS: Mapping[str, Any] = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
REGISTRY: Registry[Any] = Registry().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)


FORMATS = FormatChecker()


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[f"{name}.json"], registry=REGISTRY, format_checker=FORMATS)


def problems(name: str, document: object) -> list[str]:
    """What is wrong with a document of that name, each with its place."""
    return [f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(document)]
