"""Views and services of a team as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ...errors import ToolFailure, unknown
from ...handles import parse
from ..models import View
from ..views import FEAST_NAMES

OURS = {feast_name.upper(): name for name, feast_name in FEAST_NAMES.items()}
DAY = timedelta(days=1)


@dataclass(frozen=True)
class TeamView:
    """A view of a team's registry, which may have several keys or none; types that are not ours go by Feast's names."""

    name: str
    keys: Mapping[str, str]
    features: Mapping[str, str]
    source: str
    timestamp: str
    created: str
    ttl: timedelta | None
    until: datetime | None
    online: bool
    description: str
    descriptions: Mapping[str, str]
    push_source: str = ""

    @property
    def handle(self) -> str:
        return f"features:{self.name}"


@dataclass(frozen=True)
class Part:
    """What a service takes of a view, and under which name and keys."""

    view: TeamView
    called: str
    features: tuple[str, ...]
    keys: Mapping[str, str]
    """Of the view's keys, the columns of the rows that hold them."""

    @property
    def is_plain(self) -> bool:
        return self.called == self.view.name and all(key == column for key, column in self.keys.items())


@dataclass(frozen=True)
class TeamService:
    name: str
    parts: tuple[Part, ...]
    description: str
    owned: Any
    """Feast's own object, which it takes in place of names."""


def shown(view: TeamView) -> View:
    """A view in the form in which ours are shown."""
    return View(
        view=view.handle,
        dataset="",
        source=view.source,
        entity=", ".join(view.keys),
        entity_type=", ".join(view.keys.values()),
        timestamp_column=view.timestamp,
        created_timestamp_column=view.created or None,
        ttl_days=view.ttl / DAY if view.ttl else None,
        features=dict(view.features),
        description=view.description,
        feature_descriptions=dict(view.descriptions) or None,
        online_until=view.until.isoformat() if view.until else None,
        notes=_notes(view),
    )


def _notes(view: TeamView) -> list[str]:
    if not view.online:
        return ["it is not meant for the online store"]
    return [f"push_features(source={view.push_source!r}) writes to it"] if view.push_source else []


def shown_service(service: TeamService) -> View:
    """A service as a view of all its features, by the names that say whose they are."""
    keys = {part.keys[key]: kind for part in service.parts for key, kind in part.view.keys.items()}
    return View(
        view=f"features:{service.name}",
        kind="service",
        dataset="",
        entity=", ".join(keys),
        entity_type=", ".join(keys.values()),
        timestamp_column="",
        features={
            f"{part.called}:{name}": part.view.features[name] for part in service.parts for name in part.features
        },
        description=service.description,
    )


@dataclass(frozen=True)
class Asked:
    """What is asked of Feast, in its own terms, and which parts that has."""

    features: Any
    parts: tuple[Part, ...]

    @property
    def keys(self) -> dict[str, str]:
        """The columns that the rows must have, and their types."""
        return {part.keys[key]: kind for part in self.parts for key, kind in part.view.keys.items()}


@dataclass(frozen=True)
class Catalog:
    """What a repository has, by name; of what is withheld, the reason."""

    views: Mapping[str, TeamView]
    services: Mapping[str, TeamService]
    withheld: Mapping[str, str]

    @classmethod
    def of(cls, store: Any, withheld: Mapping[str, str]) -> Catalog:
        """What Feast lists, in the order of the names."""
        views = {view.name: _read(view) for view in _sorted(store.list_feature_views())}
        services = {each.name: _service(each, views) for each in _sorted(store.list_feature_services())}
        return cls(views, services, withheld)

    @property
    def notes(self) -> list[str]:
        return [f"{name} {reason}, so it is left out" for name, reason in sorted(self.withheld.items())]

    def view(self, text: str) -> TeamView:
        """The view behind `features:<view>` or its bare name.

        Raises:
            ToolFailure: there is no such view, it is a service, or it is withheld.
        """
        name = parse(text, "features").name
        if name in self.views:
            return self.views[name]
        if name in self.withheld:
            said = f"{name} {self.withheld[name]}"
            raise ToolFailure(said, "The other views of the repository are used as they are.")
        if name in self.services:
            raise ToolFailure(f"{name} is a feature service", f"Its views: {_views_in(self.services[name])}.")
        hint = "list_features shows what the repository has."
        raise unknown("feature view", text, (*self.views, *self.services), hint)

    def asked(self, references: Sequence[str]) -> Asked:
        """What `view:feature`, `view` and `service` references name.

        Raises:
            ToolFailure: nothing is requested, something does not exist or is withheld, or a service with other names of
                its own is not alone.
        """
        if not references:
            raise ToolFailure("no features are requested", "Pass e.g. ['view:feature'], or ['view'] for all of a view.")
        if len(references) == 1 and (service := self._service(references[0])):
            return Asked(service.owned, service.parts)
        found: dict[str, list[str]] = {}
        for view, names in (each for reference in references for each in self._wanted(reference)):
            if strange := [name for name in names if name not in view.features]:
                raise unknown(f"feature of {view.name}", strange[0], view.features)
            chosen = found.setdefault(view.name, [])
            chosen.extend(name for name in names if name not in chosen)
        views = [self.views[name] for name in found]
        parts = tuple(Part(view, view.name, tuple(found[view.name]), _same(view)) for view in views)
        return Asked([f"{part.called}:{name}" for part in parts for name in part.features], parts)

    def _wanted(self, reference: str) -> list[tuple[TeamView, Sequence[str]]]:
        """Of each view that one of several references names, the features."""
        if service := self._service(reference):
            if not all(part.is_plain for part in service.parts):
                raise ToolFailure(f"{service.name} gives its views other names or keys", "Ask for this service alone.")
            return [(part.view, part.features) for part in service.parts]
        name, _, feature = reference.removeprefix("features:").partition(":")
        view = self.view(name)
        return [(view, [feature] if feature and feature != "*" else list(view.features))]

    def _service(self, reference: str) -> TeamService | None:
        """The one that is named, unless a view is."""
        name, _, feature = reference.removeprefix("features:").partition(":")
        return None if feature or name in self.views else self.services.get(name)


def _sorted(items: Iterable[Any]) -> list[Any]:
    return sorted(items, key=lambda each: str(each.name))


def _views_in(service: TeamService) -> str:
    return ", ".join(dict.fromkeys(part.view.name for part in service.parts))


def _same(view: TeamView) -> dict[str, str]:
    return {key: key for key in view.keys}


def _service(service: Any, views: Mapping[str, TeamView]) -> TeamService:
    parts = tuple(
        Part(
            view=views[each.name],
            called=each.name_to_use(),
            features=tuple(feature.name for feature in each.features),
            keys=_same(views[each.name]) | dict(each.join_key_map),
        )
        for each in service.feature_view_projections
        if each.name in views
    )
    return TeamService(service.name, parts, service.description, service)


def _read(view: Any) -> TeamView:
    ends = [end for _, end in view.materialization_intervals]
    source = view.batch_source
    return TeamView(
        name=view.name,
        keys={column.name: dtype_of(column) for column in view.entity_columns},
        features={feature.name: dtype_of(feature) for feature in view.features},
        source=getattr(source, "path", "") or getattr(source, "table", "") or source.name,
        timestamp=source.timestamp_field,
        created=source.created_timestamp_column or "",
        ttl=view.ttl or None,
        until=max(ends).astimezone(UTC) if ends else None,
        online=bool(view.online),
        description=view.description,
        descriptions={feature.name: feature.description for feature in view.features if feature.description},
        push_source=_push_source(view) if view.online else "",
    )


def _push_source(view: Any) -> str:
    from feast import PushSource

    stream = view.stream_source
    return str(stream.name) if isinstance(stream, PushSource) else ""


def dtype_of(field: Any) -> str:
    """Our name of a type where we have one, else Feast's."""
    text = str(field.dtype)
    return OURS.get(text.upper(), text)
