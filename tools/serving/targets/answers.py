"""What is asked of an export, and what is said and kept of one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from ..models import Percent, Resources

Platform = Literal["docker", "kubernetes", "bentocloud"]


class ExportRequest(BaseModel):
    """`traffic` is the percentage of the calls by bento or model; they add up to 100."""

    platform: Platform
    name: str
    traffic: dict[str, Percent]
    replicas: int = 1
    resources: Resources = Resources()


class ExportedFile(BaseModel):
    path: str
    sha256: str
    bytes: int


class Exported(BaseModel):
    """A folder of files: `images` are the references by bento, `commands` what is left to do, in order.

    `files` leaves out what lies in the contexts of images; `export.json` in the folder has the digests of all.
    """

    export: str
    platform: Platform
    folder: str
    traffic: dict[str, int]
    images: dict[str, str]
    files: list[ExportedFile]
    commands: list[str]
    made: bool
    notes: list[str] = []
    undo: str | None = None


class Manifest(BaseModel):
    """`export.json`: what the folder holds."""

    platform: Platform
    name: str
    traffic: dict[str, int]
    images: dict[str, str]
    files: list[ExportedFile]


class ApplyRequest(BaseModel):
    export: str
    withdraw: bool = False


class Applied(BaseModel):
    """`objects` there that were applied, or taken away, in this order; `state` in the words of that place."""

    export: str
    withdrawn: bool
    context: str
    namespace: str
    objects: list[str]
    state: str | None = None
    urls: list[str] = []
    notes: list[str] = []
    undo: str | None = None


class Standing(BaseModel):
    """What is there of an export: `state` is absent where nothing is, else in the words of that place."""

    export: str
    platform: Platform
    context: str
    namespace: str
    state: str
    urls: list[str]
    objects: list[str]
    notes: list[str] = []
