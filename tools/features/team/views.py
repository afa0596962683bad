"""Views and services of a team as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def views_of(store: Any) -> dict[str, TeamView]:
    return {view.name: _read(view) for view in sorted(store.list_feature_views(), key=lambda view: str(view.name))}


def services_of(store: Any) -> dict[str, TeamService]:
    views = views_of(store)
    services = sorted(store.list_feature_services(), key=lambda service: str(service.name))
    return {service.name: _service(service, views) for service in services}


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
        notes=[] if view.online else ["it is not meant for the online store"],
    )


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


def asked(
    views: Mapping[str, TeamView],
    services: Mapping[str, TeamService],
    withheld: Mapping[str, str],
    references: Sequence[str],
) -> Asked:
    """What `view:feature`, `view` and `service` references name.

    Raises:
        ToolFailure: nothing is requested, something does not exist or is withheld, or a service with other names of its
            own is not alone.
    """
    if not references:
        raise ToolFailure("no features are requested", "Pass e.g. ['view:feature'], or ['view'] for all of a view.")
    found: dict[str, list[str]] = {}
    for reference in references:
        name, _, feature = reference.removeprefix("features:").partition(":")
        if name not in views and name in services and not feature:
            service = services[name]
            if len(references) == 1:
                return Asked(service.owned, service.parts)
            if not all(part.is_plain for part in service.parts):
                raise ToolFailure(f"{name} gives its views other names or keys", "Ask for this service alone.")
            wanted = [(part.view, list(part.features)) for part in service.parts]
        else:
            view = named(views, services, withheld, name)
            wanted = [(view, [feature] if feature and feature != "*" else list(view.features))]
        for view, names in wanted:
            if strange := [each for each in names if each not in view.features]:
                raise unknown(f"feature of {view.name}", strange[0], view.features)
            chosen = found.setdefault(view.name, [])
            chosen.extend(each for each in names if each not in chosen)
    parts = tuple(Part(views[name], name, tuple(names), _same(views[name])) for name, names in found.items())
    return Asked([f"{part.called}:{name}" for part in parts for name in part.features], parts)


def named(
    views: Mapping[str, TeamView], services: Mapping[str, TeamService], withheld: Mapping[str, str], text: str
) -> TeamView:
    """The view behind `features:<view>` or its bare name.

    Raises:
        ToolFailure: there is no such view, it is a service, or it is withheld.
    """
    name = parse(text, "features").name
    if name in views:
        return views[name]
    if name in withheld:
        raise ToolFailure(f"{name} {withheld[name]}", "The other views of the repository are used as they are.")
    if name in services:
        raise ToolFailure(f"{name} is a feature service", f"Its views: {_views_in(services[name])}.")
    raise unknown("feature view", text, (*views, *services), "list_features shows what the repository has.")


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
    )


def dtype_of(field: Any) -> str:
    """Our name of a type where we have one, else Feast's."""
    text = str(field.dtype)
    return OURS.get(text.upper(), text)
