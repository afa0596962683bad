"""Shipping to Opik: an outbox on the trace store and one process that delivers it."""
