"""What BentoCloud is told, read by BentoML's own schemas: the service itself is not asked."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_mcp.tools.serving.targets.cloud import configuration

from .test_manifests import version

pytestmark = pytest.mark.slow


def test_bentoml_reads_every_part_of_the_configuration_and_loses_none() -> None:
    from bentoml._internal.cloud.schemas.schemasv2 import CreateDeploymentSchema
    from bentoml._internal.utils.cattr import bentoml_cattr

    written = configuration(
        [version(number="v2", percent=10, memory=2 << 30), version(number="v1", percent=85), version("loans", "v3", 5)]
    )
    read: Any = bentoml_cattr.structure(written, CreateDeploymentSchema)
    assert (read.name, read.bento, read.access_authorization) == ("loans", "loans:v1", True)
    assert read.services["loans"].scaling.min_replicas == 2
    assert read.services["loans"].scaling.max_replicas == 8
    assert read.canary.route_type == "random"
    assert {each.bento: each.weight for each in read.canary.versions.values()} == {"loans:v2": 10, "loans:v3": 5}
    assert bentoml_cattr.unstructure(read) == written


def test_one_version_has_no_canary() -> None:
    assert "canary" not in configuration([version()])
