"""Preloaded into the fork server, where importing is the only hook there is: it must die with the server."""

from __future__ import annotations

from .limits import die_with_parent, divert_standard_streams

divert_standard_streams()
die_with_parent()
