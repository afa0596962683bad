"""What goes over the wire or into a file as JSON, whatever text is in it."""

from __future__ import annotations

import json

from pydantic import BaseModel


def as_json(model: BaseModel, exclude_unset: bool = False) -> str:
    """The JSON of a model; half a character, e.g. of a file name that is not UTF-8, becomes a question mark."""
    try:
        return model.model_dump_json(by_alias=True, exclude_unset=exclude_unset)
    except ValueError:
        plain = model.model_dump(by_alias=True, exclude_unset=exclude_unset)
        return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace").decode()
