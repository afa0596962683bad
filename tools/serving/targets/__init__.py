"""Bentos made ready for where they are served by others: images, a Kubernetes cluster."""
