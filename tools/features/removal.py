"""How feature views and their online values go."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ...config.feast_file import is_repository
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..lineage import Lineage
from ..removal import Found, Gone, Hold, Removal, Remover, erase
from ..runtime.work import Work
from ..undo import deletes
from .online import mark_of, written
from .registry import applying, changing, drop_online, empty_online, opened
from .views import Definition, all_views, find_view, forget_view


def find_features(work: Work, text: str) -> Found:
    """A view, with its online values."""
    with opened(work) as store:
        view = find_view(store, text)
    online = written(work.settings, view.name)
    return Found(
        handles=(view.handle, view.versioned, *([f"online:{view.name}"] if online else [])),
        paths=(mark_of(work.settings, view.name),) if online else (),
        notes=(f"its rows stay: they are {view.dataset}",),
    )


def remove_features(work: Work, found: Found) -> None:
    """The mark of its online values first: what is left of a crash is a view that was not materialized."""
    name = parse(found.handles[0], "features").name
    with changing(work, name), opened(work) as store:
        try:
            view = find_view(store, name)
        except ToolFailure:
            raise Gone(found.handles) from None
        erase(work.settings, [mark_of(work.settings, name)])
        with applying(work.settings):
            forget_view(store, view)
        drop_online(work.settings, name)


def find_online(work: Work, text: str) -> Found:
    name = parse(text, "online").name
    with opened(work) as store:
        views = all_views(store)
    online = [view.name for view in views if written(work.settings, view.name)]
    if name not in online:
        raise unknown("view with online values", text, (f"online:{each}" for each in online), "materialize_features.")
    return Found((f"online:{name}",), (mark_of(work.settings, name),))


def remove_online(work: Work, found: Found) -> None:
    name = parse(found.handles[0], "online").name
    with changing(work, name):
        if written(work.settings, name) is None:
            raise Gone(found.handles)
        erase(work.settings, [mark_of(work.settings, name)])
        empty_online(work.settings, name)


def holds(work: Work, handles: Collection[str]) -> Iterator[Hold]:
    """A view reads the file of its dataset. Feast is only asked where the lineage knows of views.

    Those of a team read sources of their own.
    """
    if is_repository(work.settings):
        return
    datasets = [handle for handle in handles if handle.startswith("dataset:")]
    lineage = Lineage(work.home)
    if not any(edge.child.startswith("features:") for each in datasets for edge in lineage.descendants(each)):
        return
    with opened(work) as store:
        views: list[Definition] = all_views(store)
    for view in views:
        yield Hold(view.dataset, view.handle, deletes(view.handle))


REMOVAL = Removal(
    removers={
        "features": Remover(find_features, remove_features),
        "online": Remover(find_online, remove_online),
    },
    holds=holds,
)
