"""The JSON schema of esc-config.yaml, by which editors complete and check it. Made from the models."""

from __future__ import annotations

import json
from typing import Any

from escadm.config.model import MODELS, Drbd, Filesystem, Group, Keepalived, Service
from escadm.config.overlay import ALIASES, catalogue

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema as a value; ``escadm config check`` knows more than it."""
    models = (Service, Group, Filesystem, Drbd, Keepalived)
    known = {name: str(keys.get("type", "")) for name, keys in catalogue().items()}
    known |= {alias: known[name] for alias, name in ALIASES.items()}
    return {
        "$schema": DIALECT,
        "title": "esc-config.yaml",
        "description": "The services of a node, and the pair that it belongs to",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "resources": {
                "description": "Name of a resource -> its keys; what is said here is laid over the built-in catalogue",
                "type": ["object", "null"],
                "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
                "properties": {name: _reference(MODELS.get(kind, Service)) for name, kind in sorted(known.items())},
                "additionalProperties": {
                    "anyOf": [_reference(Service), *(_typed(each) for each in (Group, Filesystem))]
                },
            }
        },
        "$defs": {model.__name__.lower(): _definition(model) for model in models},
    }


def json_schema_text() -> str:
    """The schema as the file that ships."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _reference(model: type[object]) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{model.__name__.lower()}"}


def _typed(model: type[object]) -> dict[str, Any]:
    """A resource that the catalogue does not know must say what it is."""
    return {**_reference(model), "type": "object", "required": ["type"]}


def _definition(model: type[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = model.model_json_schema()
    schema["type"] = ["object", "null"]
    for each in schema["properties"].values():
        each.pop("title", None)
        if each.get("default") in (None, [], {}, ""):
            each.pop("default", None)
    schema.pop("title", None)
    return schema
