"""The graph of what was made from what is walked nearest first, and no further than is shown."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_mcp.tools.lineage import Edge, Lineage

OLDER = """
create table edges(child text not null, parent text not null, by text not null, at real not null,
  primary key(child, parent));
create index edges_parent on edges(parent);
insert into edges values('b', 'a', 'train', 1);
"""


@given(
    edges=st.sets(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=25),
    limit=st.sampled_from((1, 3, 200)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_nearest_edges_come_first_also_in_circles(tmp_path: Path, edges: set[tuple[str, str]], limit: int) -> None:
    (tmp_path / "lineage.db").unlink(missing_ok=True)
    lineage = Lineage(tmp_path)
    kept = {(child, parent) for child, parent in edges if child != parent}
    for child, parent in sorted(kept):
        lineage.record(child, [parent], "by")
    for found, here, there in ((lineage.ancestors("a", limit), 0, 1), (lineage.descendants("a", limit), 1, 0)):
        wanted = walked(kept, here, there)
        assert found == [Edge(child, parent, "by") for _, child, parent in wanted][:limit]


def walked(edges: set[tuple[str, str]], here: int, there: int) -> list[tuple[int, str, str]]:
    distance, queue = {"a": 0}, ["a"]
    for node in queue:
        for edge in sorted(edges):
            if edge[here] == node and edge[there] not in distance:
                distance[edge[there]] = distance[node] + 1
                queue.append(edge[there])
    return sorted((distance[edge[here]], *edge) for edge in edges if edge[here] in distance)


def test_a_file_of_an_older_version_gets_the_index_that_a_root_of_many_needs(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "lineage.db") as db:
        db.executescript(OLDER)
    assert Lineage(tmp_path).descendants("a") == [Edge("b", "a", "train")]
    with sqlite3.connect(tmp_path / "lineage.db") as db:
        names = {str(row[0]) for row in db.execute("select name from sqlite_master where type='index'")}
        query = "explain query plan select child from edges where parent in ('a') order by child, parent limit 5"
        plan = [str(row[3]) for row in db.execute(query)]
    assert "edges_children" in names
    assert "edges_parent" not in names
    assert plan == ["SEARCH edges USING COVERING INDEX edges_children (parent=?)"]
