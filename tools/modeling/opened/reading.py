"""Read a model from a skops file: every node is held against our list before skops may act on it, every number that
native code would follow before that code gets it."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any, cast

from ...errors import ToolFailure
from .admitted import ADMITTED, TRUSTED
from .rules import check_attributes, check_names
from .sklearn_trees import check_shape, check_trees

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
        message = f"{name} is no skops file of a model: {error or type(error).__name__}"[:300]
        raise ToolFailure(message, "Save it again with the skops of this installation, or train it here.") from error


def _read(file: zipfile.ZipFile, name: str, sealed: bool) -> Any:
    from skops.io._audit import audit_tree, get_tree
    from skops.io._protocol import PROTOCOL
    from skops.io._utils import read_schema

    _require_small(file)
    schema, context = read_schema(file)
    if context.protocol != PROTOCOL:
        raise ValueError(f"it was written by another version of skops (protocol {context.protocol}, not {PROTOCOL})")
    nodes = _nodes(schema)
    others = sorted({kind for _, kind in nodes - ADMITTED})
    if others and not sealed:
        raise _untrusted(name, others)
    # skops goes through all of what is trusted at every node.
    trusted = sorted({kind for _, kind in nodes} & {*TRUSTED})
    tree = get_tree(schema, context, trusted=trusted)
    audit_tree(tree, trusted=trusted)
    _check(tree)
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


def _nodes(schema: Any) -> set[tuple[str, str]]:
    """What skops would build, wherever it stands: how, and of which class."""
    found: set[tuple[str, str]] = set()
    waiting: list[Any] = [schema]
    while waiting:
        state = waiting.pop()
        if isinstance(state, dict):
            known = cast("dict[str, Any]", state)
            if "__loader__" in known:
                found.add((str(known["__loader__"]), f"{known['__module__']}.{known['__class__']}"))
            waiting.extend(each for each in known.values() if isinstance(each, dict | list))
        else:
            waiting.extend(each for each in state if isinstance(each, dict | list))
    return found


def _check(root: Any) -> None:
    """Look at the innermost first: what lies inside is built by looking at what it is in, which follows no tree."""
    from skops.io._audit import Node
    from skops.io._general import ObjectNode
    from skops.io._sklearn import TreeNode

    seen: set[int] = set()
    trees: list[TreeNode] = []

    def check(node: Any) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        for child in node.children.values():
            members: Any = child.values() if isinstance(child, dict) else child if isinstance(child, list) else [child]
            for member in members:
                if isinstance(member, Node):
                    check(member)
        if isinstance(node, TreeNode):
            check_shape(node.args.construct(), node.attrs.construct())
            trees.append(node)
        elif isinstance(node, ObjectNode) and node.attrs is not None:
            _check_object(f"{node.module_name}.{node.class_name}", node.attrs.construct())

    check(root)
    check_trees([each.args.construct()[0] for each in trees], [each.attrs.construct()["nodes"] for each in trees])


def _check_object(kind: str, attributes: Any) -> None:
    from skops.io._utils import gettype

    if isinstance(attributes, dict):
        check_attributes(kind, cast("dict[str, Any]", attributes))
        check_names(gettype(*kind.rsplit(".", 1)), cast("dict[str, Any]", attributes))


def _untrusted(name: str, kinds: list[str]) -> ToolFailure:
    return ToolFailure(
        f"{name} holds types that are not trusted: {', '.join(kinds)}"[:400],
        "Models of list_algorithms and their preprocessing are opened; train such a one here with train_model.",
    )
