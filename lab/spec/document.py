"""The lab file as a document: its JSON schema, and one that explains every key."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import pairwise
from typing import Any

from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema

from lab.spec import node_schema, schema

__all__ = ["commented", "json_schema"]


class _Titleless(GenerateJsonSchema):
    """Without a title for each field, which would repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def json_schema() -> Mapping[str, Any]:
    """Return the JSON schema (2020-12) of a lab file. What depends on several keys is not in it."""
    found = schema.File.model_json_schema(by_alias=True, schema_generator=_Titleless)
    for model, field, words in _descriptions():
        properties = (found if model == schema.File.__name__ else found["$defs"][model])["properties"]
        properties[to_camel(field.rstrip("_"))]["description"] = words
    return {"$schema": GenerateJsonSchema.schema_dialect, **found, "title": "A lab file"}


def _descriptions() -> Iterator[tuple[str, str, str]]:
    """Yield the docstring of every field. pydantic could do that, but only whenever `lab` starts."""
    texts = [inspect.getsource(module) for module in (schema, node_schema)]
    for model in (item for text in texts for item in ast.parse(text).body if isinstance(item, ast.ClassDef)):
        for field, words in pairwise(model.body):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if isinstance(words, ast.Expr) and isinstance(words.value, ast.Constant):
                yield model.name, field.target.id, inspect.cleandoc(str(words.value.value))


def commented() -> str:
    """Return a lab file that is the tutorial's cluster, with what else there may be in comments."""
    return files(__package__).joinpath("commented.yaml").read_text(encoding="utf-8")
