"""Read a model from a skops file: every node is held against our list before skops may act on it, every number that
native code would follow before that code gets it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from ...errors import ToolFailure
from .admitted import ADMITTED, TRUSTED
from .rules import check_attributes, check_names
from .sklearn_trees import check_tree

# Of a file, unpacked; a schema is a few hundred bytes a tree.
MAX_BYTES = 4 << 30
MAX_SCHEMA = 256 << 20
MAX_RATIO = 200
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, AttributeError, IndexError, EOFError,
    RecursionError, MemoryError, OverflowError, ImportError, NotImplementedError,
)  # fmt: skip


def read_model(source: Path | bytes, name: str, sealed: bool = False) -> Any:
    """The model of a skops file.

    Args:
        name: what to call it in an error.
        sealed: whether this installation has sealed it, so that it may hold what only CatBoost can look at.

    Raises:
        ToolFailure: it holds what no pipeline of ours does, numbers that would lead astray, or is no skops file.
    """
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            return _read(file, name, sealed)
    except UntrustedTypesFoundException as error:
        raise _untrusted(name, [str(error)]) from error
    except UNREADABLE as error:
        raise ToolFailure(f"{name} is no skops file of a model: {error or type(error).__name__}"[:300]) from error


def _read(file: zipfile.ZipFile, name: str, sealed: bool) -> Any:
    from skops.io._audit import audit_tree, get_tree
    from skops.io._protocol import PROTOCOL
    from skops.io._utils import read_schema

    _require_small(file)
    schema, context = read_schema(file)
    if context.protocol != PROTOCOL:
        raise ValueError(f"it was written by another version of skops (protocol {context.protocol}, not {PROTOCOL})")
    others = sorted({kind for loader, kind in _nodes(schema) if (loader, kind) not in ADMITTED})
    if others and not sealed:
        raise _untrusted(name, others)
    tree = get_tree(schema, context, trusted=list(TRUSTED))
    audit_tree(tree, trusted=list(TRUSTED))
    _check(tree, set())
    return tree.construct()


def _require_small(file: zipfile.ZipFile) -> None:
    total = sum(each.file_size for each in file.infolist())
    packed = sum(each.compress_size for each in file.infolist())
    if (
        total > MAX_BYTES
        or total > MAX_RATIO * max(packed, 1 << 16)
        or file.getinfo("schema.json").file_size > MAX_SCHEMA
    ):
        raise ValueError(f"it would unpack to {total} bytes")


def _nodes(state: Any) -> Iterator[tuple[str, str]]:
    if isinstance(state, dict):
        found = cast("dict[str, Any]", state)
        if "__loader__" in found:
            yield str(found["__loader__"]), f"{found['__module__']}.{found['__class__']}"
        for value in found.values():
            yield from _nodes(value)
    elif isinstance(state, list):
        for value in state:
            yield from _nodes(value)


def _check(node: Any, seen: set[int]) -> None:
    """Look at the innermost first: what lies inside is built by looking at what it is in."""
    from skops.io._general import ObjectNode
    from skops.io._sklearn import TreeNode

    if id(node) in seen:
        return
    seen.add(id(node))
    for child in _children(node):
        _check(child, seen)
    kind = f"{node.module_name}.{node.class_name}"
    if isinstance(node, TreeNode):
        check_tree(node.args.construct(), node.attrs.construct())
    elif isinstance(node, ObjectNode) and node.attrs is not None:
        _check_object(kind, node.attrs.construct())


def _check_object(kind: str, attributes: Any) -> None:
    from skops.io._utils import gettype

    if isinstance(attributes, dict):
        check_attributes(kind, cast("dict[str, Any]", attributes))
        check_names(gettype(*kind.rsplit(".", 1)), cast("dict[str, Any]", attributes))


def _children(node: Any) -> Iterator[Any]:
    from skops.io._audit import Node

    for child in node.children.values():
        members: Any = child.values() if isinstance(child, dict) else child if isinstance(child, list) else [child]
        yield from (member for member in members if isinstance(member, Node))


def _untrusted(name: str, kinds: list[str]) -> ToolFailure:
    return ToolFailure(
        f"{name} holds types that are not trusted: {', '.join(kinds)}"[:400],
        "Models of list_algorithms and their preprocessing are opened; train such a one here with train_model.",
    )
