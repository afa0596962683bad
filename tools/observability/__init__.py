"""Traces of agents, tools and jobs (local store, Opik)."""
