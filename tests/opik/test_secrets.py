"""Secrets that were planted in everything a call says are found neither on the disk nor on the wire."""

from __future__ import annotations

from contextlib import suppress

import pytest

from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore

from ..waiting import until
from .conftest import Site
from .recorder import Recorder

PLANTED = {
    "postgresql://mlflow:Planted01hunter@db:5432/mlflow": "Planted01hunter",
    "redis://:Planted02hunter@cache:6379/0": "Planted02hunter",
    "https://bot:Planted03hunter@example.org/x": "Planted03hunter",
    "eyJhbGciOiJIUzI1NiJ9.eyJQbGFudGVkMDQiOiIxMjM0NTY3ODkwIn0.Planted04CVPabc": "Planted04CVPabc",
    "sk-ant-api03-Planted05def0123456789_XYZ-abc": "Planted05def",
    "sk-proj-Planted06def0123456789Abcdef": "Planted06def",
    "sk_live_51Planted07def0123456789": "Planted07def",
    "pk_live_51Planted08def0123456789": "Planted08def",
    "ghp_Planted09f0123456789Abcdef0123456789": "Planted09f",
    "github_pat_11Planted10f0123456789_Abcdef": "Planted10f",
    "gho_Planted11f0123456789Abcdef0123456789": "Planted11f",
    "glpat-Planted12f0123456789Abcd": "Planted12f",
    "xoxb-123456789012-Planted13f0123456789": "Planted13f",
    "https://hooks.slack.com/services/T0001/B0001/Planted14f0123456789": "Planted14f",
    "hf_Planted15f0123456789Abcdef0123456789": "Planted15f",
    "npm_Planted16f0123456789Abcdef0123456789": "Planted16f",
    "pypi-AgEIPlanted17ucmcCJDAbcdef0123456789": "Planted17",
    "AKIAPLANTED18XAMPLE7": "PLANTED18XAMPLE7",
    "aws_secret_access_key = Planted19FEMIK7MDENGbPxRfiCYEXAMPLEKEY": "Planted19FEMIK",
    "https://b.s3.amazonaws.com/k?X-Amz-Signature=Planted20abcdef0123": "Planted20abcdef",
    "AIzaSyA-Planted21xyzabcdefghijklmnopqrstuv": "Planted21xyz",
    "dapi0123456789abcdef2222222222222222": "0123456789abcdef2222222222222222",
    "AccountName=x;AccountKey=Planted23ef0123456789==;": "Planted23ef",
    "Authorization: Bearer Planted24f0123456789.x": "Planted24f",
    "Authorization: Basic UGxhbnRlZDI1OmhpZGRlbg==": "UGxhbnRlZDI1OmhpZGRlbg",
    "password='Planted26hunter'": "Planted26hunter",
    "client_secret=Planted27hunter": "Planted27hunter",
    "-----BEGIN RSA PRIVATE KEY-----\nPlanted28abc\n-----END RSA PRIVATE KEY-----": "Planted28abc",
    "mongodb+srv://app:Planted29hunter@cluster/x": "Planted29hunter",
    "api_key: Planted30hunter": "Planted30hunter",
}


def _tell(store: TraceStore, tracer: Tracer, text: str) -> None:
    given = {"note": [f"see {text} there"], text: 1}
    with tracer.span(f"call {text}", "tool", input=given, said=text) as span:
        span.set_output({"rows": [{"value": text}]})
        span.set_attribute("event", {"name": text})
        span.tags, span.thread, span.error_trace = [text], text, f"Traceback\n  {text}"
        store.put_score(Score("trace", span.trace_id, f"quality {text}", 1.0, reason=text, category=text))
        raise ValueError(f"failed at {text}")


@pytest.mark.slow
def test_thirty_planted_secrets_are_nowhere(site: Site, opik: Recorder) -> None:
    store = TraceStore(site.store, 64)
    tracer = Tracer(store.put)
    for text in PLANTED:
        with suppress(ValueError):
            _tell(store, tracer, text)
    store.flush()
    with site.shipping():
        until(site.delivered)
    on_disk = b"".join(file.read_bytes() for file in site.settings.home.iterdir() if file.is_file())
    store.close()
    on_wire = b"".join(request.raw for request in opik.requests)
    assert (len(PLANTED), len(opik.rows("traces")), len(opik.rows("traces_scores"))) == (30, 30, 30)
    found = {secret for secret in PLANTED.values() if secret.encode() in on_disk or secret.encode() in on_wire}
    assert found == set()
