"""A folder of Parquet files as one table, with what its folders are called after (`year=2024/…`) as columns."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..errors import ToolFailure
from ..user_files import held
from .bounds import named
from .cells import Convention, read_column
from .plain import MISSING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SUFFIXES = (".parquet", ".pq")
MOST_FILES, SHOWN = 10_000, 3
# What Hive writes for a missing value.
NOTHING = "__HIVE_DEFAULT_PARTITION__"


def holds_parquet(folder: Path) -> bool:
    return folder.is_dir() and any(not said for _, said in _entries(folder))


def _entries(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file and link in it, and why it is left out; empty for those that are read.

    What is hidden or begins with `_` writers mark as their own; a link would lead elsewhere, or to rows twice.
    """
    for path in folder.rglob("*"):
        if any(part.startswith((".", "_")) for part in path.relative_to(folder).parts):
            said = "whose name, or folder's, begins with . or _"
        elif path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
            said = "that are links"
        else:
            said = "" if path.suffix.lower() in SUFFIXES else f"that are not {' or '.join(SUFFIXES)}"
        if path.is_symlink() or not path.is_dir():
            yield path, said


def _contents(folder: Path) -> tuple[list[Path], list[str]]:
    """The files that are read, in the order of their names, and a note on those that are not.

    Raises:
        ToolFailure: too many files.
    """
    files, left = list[Path](), dict[str, list[Path]]()
    for path, said in _entries(folder):
        (left.setdefault(said, []) if said else files).append(path)
        if len(files) > MOST_FILES:
            raise ToolFailure(f"{folder.name} holds more than {MOST_FILES} files", "Pass a folder below it.")
    counted = [
        f"{len(paths)} {said} ({named(sorted(path.name for path in paths), SHOWN)})"
        for said, paths in sorted(left.items())
    ]
    return sorted(files), [f"files left out: {'; '.join(counted)}"] if counted else []


def read_folder(folder: Path, max_mb: int) -> tuple[pa.Table, list[str]]:
    """All rows, in the order of the files' names; columns that a file does not have are missing in its rows.

    Raises:
        ToolFailure: too many files, more than so many megabytes, or files whose columns differ in type.
    """
    import pyarrow as pa

    files, left_out = _contents(folder)
    with _opened(files) as heads:
        size = sum(
            head.metadata.row_group(place).total_byte_size
            for head in heads.values()
            for place in range(head.num_row_groups)
        )
        if size > max_mb << 20:
            raise ToolFailure(
                f"{folder.name} holds more than {max_mb} MB (data.max_mb)", "Pass a folder or file in it."
            )
        schema, notes = _unified({path: head.schema_arrow for path, head in heads.items()})
        tables = [_fitted(head.read(), schema) for head in heads.values()]
    table = pa.concat_tables(tables)
    added, said = _partitions(folder, files, [part.num_rows for part in tables], table.column_names)
    for name, column in added.items():
        table = table.append_column(name, column)
    return table, [f"{len(files)} Parquet files", *left_out, *notes, *said]


@contextmanager
def _opened(files: Sequence[Path]) -> Generator[dict[Path, pq.ParquetFile]]:
    """Each file by its descriptor: what stands in its place by now is not read.

    Raises:
        ToolFailure: one has been replaced since it was looked at.
    """
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        yield {path: pq.ParquetFile(stack.enter_context(held(path))) for path in files}


def _unified(schemas: Mapping[Path, pa.Schema]) -> tuple[pa.Schema, list[str]]:
    import pyarrow as pa

    first, *others = schemas
    whole = schemas[first].remove_metadata()
    for path in others:
        if not set(whole.names) & set(schemas[path].names):
            raise ToolFailure(f"{path.name} has no column of the files before it", "Load the files one by one.")
        try:
            whole = pa.unify_schemas([whole, schemas[path].remove_metadata()], promote_options="default")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ToolFailure(
                f"the files differ in types: {path.name} and those before it: {str(error)[:200]}",
                "Load them one by one and join them by query_dataset: SELECT … UNION ALL BY NAME SELECT ….",
            ) from error
    holes = {name: sum(name not in schema.names for schema in schemas.values()) for name in whole.names}
    missing = [f"{name} ({count} of {len(schemas)} files)" for name, count in holes.items() if count]
    return whole, [f"columns that not all files have, missing in their rows: {named(missing)}"] if missing else []


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = [
        table.column(field.name).cast(field.type) if field.name in table.column_names
        else pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        for field in schema
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=schema)


def _partitions(
    folder: Path, files: Sequence[Path], rows: Sequence[int], known: Sequence[str]
) -> tuple[dict[str, pa.ChunkedArray], list[str]]:
    """What `name=value` in the folders' names says of each row, read as text is; columns of the files stay theirs."""
    import pyarrow as pa

    values = [_values(folder, path) for path in files]
    names = list(dict.fromkeys(name for each in values for name in each))
    columns = dict[str, pa.ChunkedArray]()
    for name in names:
        if name not in known:
            cells = [
                pa.repeat(pa.scalar(each.get(name), pa.string()), count)
                for each, count in zip(values, rows, strict=True)
            ]
            columns[name] = read_column(pa.chunked_array(cells, pa.string()), Convention(), MISSING).values
    return columns, [f"columns out of the folders' names: {named(columns)}"] if columns else []


def _values(folder: Path, path: Path) -> dict[str, str | None]:
    parts = [part.partition("=") for part in path.relative_to(folder).parts[:-1] if "=" in part]
    return {unquote(name): None if value == NOTHING else unquote(value) for name, _, value in parts}
