"""What the tree knows of the serving slice before it is imported."""

from __future__ import annotations

from ..slices import Slice

SLICE = Slice(
    # Its requests are joined with online features.
    floor=6,
    extra="serving",
    libraries=("bentoml",),
    needs=("bentoml", "sklearn"),
    stands_on=("modeling",),
    # What a worker imports, whatever it serves.
    preload=(
        "bentoml",
        "_bentoml_impl.loader",
        "_bentoml_impl.server.app",
        "_bentoml_impl.worker.service",
        "uvicorn.lifespan.on",
        "uvicorn.protocols.http.auto",
        "pandas",
        "sklearn.compose",
        "sklearn.pipeline",
        "threadpoolctl",
    ),
    handles=("bento", "endpoint", "export"),
    removes=("bento", "endpoint", "export"),
    # It starts processes, sees and ends them: those of another worker too, which Landlock would hide from one that is
    # held (ptrace(2) reaches no process outside of one's own domain, and /proc tells no more of it).
    reach="anything",
    # They open what others have made, and look after no process.
    files_only=("client:package_model", "batch:predict_dataset", "targets.exporting:export_deployment"),
)
