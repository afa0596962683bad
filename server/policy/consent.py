"""A call that a person has to confirm."""

from __future__ import annotations

from typing import ClassVar

from ...tools.errors import NeedsChoice


class NeedsConsent(NeedsChoice):
    """A person confirms a call, where the client can ask one; `given` stands for the call and all of its arguments."""

    YES: ClassVar[str] = "allow"
    NO: ClassVar[str] = "refuse"

    question: ClassVar[str] = "May it be done?"
    replaces: ClassVar[bool] = False

    def __init__(self, message: str, hint: str, given: str) -> None:
        super().__init__(message, hint, given, (self.YES, self.NO))
