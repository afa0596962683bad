"""What things are called elsewhere: DNS labels (RFC 1035) of Kubernetes, references of images."""

from __future__ import annotations

import hashlib
import re

LONGEST = 52  # of 63: a controller adds a suffix of its own
MARK = 6


def label(text: str) -> str:
    """A name that Kubernetes takes for a Service; what had to be changed keeps apart by a digest."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    cleaned = cleaned if cleaned[:1].isalpha() else f"m-{cleaned}".strip("-")
    if cleaned == text and len(text) <= LONGEST:
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()[:MARK]
    return f"{cleaned[: LONGEST - MARK - 1].rstrip('-')}-{mark}"


def versioned(name: str, version: str) -> str:
    """The label of one version of what is served as `name`."""
    return label(f"{name}-{version}")


def image(registry: str, name: str, version: str) -> str:
    """A reference of an image, e.g. registry.example.org/ml/loans:v1."""
    return f"{f'{registry}/' if registry else ''}{label(name)}:{version}"
