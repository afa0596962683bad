"""The rows of a subject as DuckDB sees them. No name of a column is ever SQL: they are numbered, as the rows are."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.settings import Settings
from ..data.sandbox import literal, parquet, sandbox

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROWS, NUMBER = "subject", "n"


@dataclass(frozen=True)
class Facts:
    """What a column holds: values that are neither null nor NaN, infinite ones, and the limits of whole numbers."""

    known: int
    infinite: int = 0
    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class Scan:
    """Questions about all rows of a file or a table: `n` is a row's number from 1, `c0`, `c1`, … its columns."""

    connection: duckdb.DuckDBPyConnection
    places: Mapping[str, int]
    kinds: Mapping[str, pa.DataType]

    def column(self, name: str) -> str:
        return f"c{self.places[name]}"

    def known(self, name: str) -> str:
        """The condition that a value is neither null nor NaN, as the library takes a missing one."""
        import pyarrow as pa

        column = self.column(name)
        real = pa.types.is_floating(self.kinds[name])
        return f"({column} IS NOT NULL AND NOT isnan({column}))" if real else f"({column} IS NOT NULL)"

    def key(self, name: str) -> str:
        """The column as values to group by, all missing ones alike."""
        return f"CASE WHEN {self.known(name)} THEN {self.column(name)} END"

    def one(self, expressions: Sequence[str]) -> tuple[Any, ...]:
        """The values of aggregates, all in one pass."""
        if not expressions:
            return ()
        found = self.connection.execute(f"SELECT {', '.join(expressions)} FROM {ROWS}").fetchone()
        assert found is not None
        return found

    def facts(self, names: Sequence[str]) -> dict[str, Facts]:
        asked = {name: self._facts_of(name) for name in names}
        answers = iter(self.one([expression for each in asked.values() for expression in each]))
        return {name: Facts(*(next(answers) or 0 for _ in each)) for name, each in asked.items()}

    def _facts_of(self, name: str) -> list[str]:
        import pyarrow as pa

        column, kind = self.column(name), self.kinds[name]
        known = f"count(*) FILTER ({self.known(name)})"
        if pa.types.is_floating(kind):
            return [known, f"count(*) FILTER (isinf({column}))"]
        return [known, "0", f"min({column})", f"max({column})"] if pa.types.is_integer(kind) else [known]

    def rows(self, condition: str, limit: int | None) -> list[int]:
        """The numbers of the rows for which it is true, in their order."""
        return self._numbers(f"SELECT {NUMBER} FROM {ROWS} WHERE {condition}", limit)

    def repeats(self, names: Sequence[str], condition: str) -> tuple[int, int]:
        """How many of these rows have their values in common with others, and how many such values there are."""
        counts = f"SELECT count(*) AS size {self._repeated(names, condition)}"
        rows, groups = self.connection.execute(f"SELECT coalesce(sum(size), 0), count(*) FROM ({counts})").fetchall()[0]
        return int(rows), int(groups)

    def repeating(self, names: Sequence[str], condition: str, limit: int | None) -> list[int]:
        """The numbers of the rows that `repeats` counts."""
        keys = [self.key(name) for name in names]
        listed = ", ".join(f"{key} AS k{place}" for place, key in enumerate(keys))
        same = " AND ".join(f"{key} IS NOT DISTINCT FROM k{place}" for place, key in enumerate(keys))
        values = f"SELECT {listed} {self._repeated(names, condition)}"
        return self._numbers(f"SELECT {NUMBER} FROM {ROWS} SEMI JOIN ({values}) ON {same} WHERE {condition}", limit)

    def distinct(self, name: str) -> int:
        values = f"SELECT DISTINCT {self.column(name)} FROM {ROWS} WHERE {self.known(name)}"
        return int(self.connection.execute(f"SELECT count(*) FROM ({values})").fetchall()[0][0])

    def unlike(self, name: str, pattern: str) -> int:
        """How many texts of a column a pattern of RE2 does not fit."""
        fits = f"regexp_matches({self.column(name)}, {literal(pattern)})"
        return int(self.one([f"count(*) FILTER (NOT {fits})"])[0])

    def reads(self, pattern: str) -> bool:
        """Whether DuckDB takes a regular expression."""
        import duckdb

        try:
            self.connection.execute(f"SELECT regexp_matches('', {literal(pattern)})")
        except duckdb.Error:
            return False
        return True

    def _repeated(self, names: Sequence[str], condition: str) -> str:
        keys = ", ".join(self.key(name) for name in names)
        return f"FROM {ROWS} WHERE {condition} GROUP BY {keys} HAVING count(*) > 1"

    def _numbers(self, query: str, limit: int | None) -> list[int]:
        cut = f" LIMIT {limit}" if limit is not None else ""
        found: Any = self.connection.execute(f"{query} ORDER BY {NUMBER}{cut}").fetchnumpy()[NUMBER]
        return [int(number) for number in found]


@contextmanager
def scan_of(
    settings: Settings, path: Path, schema: pa.Schema, chosen: tuple[pa.Table, pa.Array] | None
) -> Generator[Scan]:
    """Over a Parquet file; or, if some of its rows were chosen, over these and their numbers."""
    import pyarrow as pa

    with sandbox(settings, threads=pa.cpu_count()) as connection:
        if chosen is None:
            names, kinds = schema.names, schema
            source, number = parquet(path, "file_row_number = true"), 1
        else:
            table, rows = chosen
            names, kinds = table.column_names, table.schema
            columns = {f"c{place}": column for place, column in enumerate(table.columns)}
            connection.register("chosen", pa.table({**columns, "m": rows}))
            source, number = "chosen", 0
        listed = [f"c{place}" for place in range(len(names))]
        aliases = ", ".join([*listed, "m"])
        view = f"SELECT {', '.join([*listed, f'm + {number} AS {NUMBER}'])} FROM {source} AS given({aliases})"
        connection.execute(f"CREATE VIEW {ROWS} AS {view}")
        places = {name: place for place, name in enumerate(names)}
        yield Scan(connection, places, {name: kinds.field(name).type for name in names})
