"""What a worker or a job may still reach once it opens what others made: its files, and no network it has no use for.

A process that looks after others, as the call workers of endpoints and of upkeep and the jobs that deploy do, cannot be
held so: it would not see them any more. Jobs that open what others made (`files_only` of a slice) are held anyhow.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...config.feast_file import is_read_only
from ...config.settings import Settings
from ..landlock import DEVICES, Reach, confine, confines, needed_to_run
from ..slices import SLICES, held_to
from ..storage.state_files import private_folder

# What clients of clouds and databases look for in a home folder.
CREDENTIALS = (
    ".aws", ".azure", ".boto", ".config/gcloud", ".databrickscfg", ".netrc", ".pgpass", ".postgresql", ".mlflow",
)  # fmt: skip
NAMED = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "GOOGLE_APPLICATION_CREDENTIALS")
TOKEN = "AWS_WEB_IDENTITY_TOKEN_FILE"
TOOLS = __name__.removesuffix(".runtime.confined")
FOLDERS = ("", "file")
DATABASES = ("sqlite", "duckdb")
IN_MEMORY = ("", ":memory:")
# What SQLite and DuckDB keep beside a database.
BESIDE = ("-wal", "-shm", "-journal", ".wal")


def confine_to(settings: Settings, slice_name: str, function: str = "") -> None:
    """Hold this process to what the work of a slice needs.

    Args:
        function: the job (`module:function`) that is all that this process runs.

    Raises:
        OSError: the kernel refuses.
    """
    if confines() and is_held(slice_name, function):
        confine(reach_of(settings, network=held_to(slice_name, function) == "network"))


def is_held(slice_name: str, function: str = "") -> bool:
    """Whether what a slice does, or one job of it, is confined where the kernel can."""
    return slice_name in SLICES and held_to(slice_name, function) != "anything"


def slice_of(module: str) -> str:
    """The slice that a module belongs to, or something that is none."""
    return next(iter(module.removeprefix(f"{TOOLS}.").split(".")))


def reach_of(settings: Settings, network: bool) -> Reach:
    """The files of an installation; TCP only where a backend of it lies elsewhere, or if the work itself asks for it.

    Folders for artifacts may lie below those that are readable, so that these are not read-only.
    """
    network = network or _is_remote(settings)
    home = Path.home()
    credentials = (*(home / name for name in CREDENTIALS), *_named()) if network else ()
    changes = (*settings.roots, *_folders(settings), *_temporary(), *_caches(home))
    read = (settings.feast_home,) if is_read_only(settings) else ()
    return Reach((*needed_to_run(), *credentials, *read), changes, tcp=network)


def _named() -> Iterator[Path]:
    """Where variables say that credentials are; a token that is exchanged from time to time is another file then."""
    yield from (Path(os.environ[name]) for name in NAMED if os.environ.get(name))
    if token := os.environ.get(TOKEN):
        yield Path(token).parent


def _is_remote(settings: Settings) -> bool:
    elsewhere = settings.job_store, settings.storage.files, settings.feast.repo_path
    schemes = {_scheme(address) for address in _addresses(settings)}
    databricks = settings.tracking_uri.startswith("databricks")
    return settings.runtime.engine != "local" or any(elsewhere) or databricks or not schemes <= {*FOLDERS, *DATABASES}


def _addresses(settings: Settings) -> Iterator[str]:
    yield from (*_written(settings), *_read(settings))


def _written(settings: Settings) -> Iterator[str]:
    places = settings.tracking_uri, settings.artifact_root, settings.study_storage, settings.storage.files
    yield from filter(None, places)


def _read(settings: Settings) -> Iterator[str]:
    yield from filter(None, (source.get_secret_value() for source in settings.data.sources.values()))


def _folders(settings: Settings) -> Iterator[Path]:
    yield from (settings.home, settings.gx_home, settings.bentoml_home)
    if not is_read_only(settings):
        yield settings.feast_home
    for address in _addresses(settings):
        if _scheme(address) in FOLDERS:
            yield Path(unquote(urlsplit(address).path)).expanduser().absolute()
    # A database that is written makes files beside itself and takes them away again, wherever its owner has put it.
    yield from (file.parent for file in _databases(_written(settings)))
    for file in _databases(_read(settings)):
        yield from _of_source(file)


def _databases(addresses: Iterable[str]) -> Iterator[Path]:
    """What follows the third slash is the path; a fourth one makes it absolute."""
    for address in addresses:
        path = unquote(address.partition(":///")[2].partition("?")[0])
        if _scheme(address) in DATABASES and path not in IN_MEMORY:
            yield Path(path).expanduser().absolute()


def _of_source(file: Path) -> Iterator[Path]:
    """One that is read keeps its locks beside itself, but not where all that a user has would be opened with it."""
    if any(home.is_relative_to(folder) for home in _homes() for folder in (file.parent, file.parent.resolve())):
        yield from (file.with_name(file.name + end) for end in ("", *BESIDE))
    else:
        yield file.parent


def _homes() -> tuple[Path, ...]:
    return Path.home(), Path.home().resolve()


def _scheme(address: str) -> str:
    return urlsplit(address).scheme.partition("+")[0]


def _temporary() -> Iterator[Path]:
    yield from map(Path, (tempfile.gettempdir(), DEVICES))


def _caches(home: Path) -> Iterator[Path]:
    """matplotlib finds all fonts of the machine, which takes seconds, unless it may keep what it found."""
    if given := os.environ.get("MPLCONFIGDIR"):
        yield Path(given)
    yield home / ".config" / "matplotlib"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "matplotlib"
    with suppress(OSError):  # a home that cannot be written
        private_folder(cache)
    yield cache
