"""A study's database that goes away for a while: what was asked of it is asked again until it is back.

Optuna does each of these in one transaction, which a database that ends rolls back. Only where the answer to a commit
is lost may a thing be done twice: values and attributes are the same then, and of a trial that is there twice the one
is taken up as any that was left running.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from ..errors import Unavailable
from ..tracing.redaction import redact

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

SETTING = "optuna.study_storage"
# A restart takes seconds, the failover of a cluster a minute or two.
PATIENCE_S = 120.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
# What `optuna.storages._CachedStorage` asks of the database below it.
ASKED = (
    "create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "get_all_studies", "_create_new_trial", "_set_trial_param", "get_trial_id_from_study_id_trial_number",
    "_get_best_trial_id", "set_trial_state_values", "set_trial_intermediate_value", "set_trial_user_attr",
    "set_trial_system_attr", "get_trial", "_get_trials",
)  # fmt: skip


@dataclass(frozen=True)
class Patience:
    """How long an answer is waited for; `wait` stands for the clock."""

    most_s: float = PATIENCE_S
    wait: Callable[[float], None] = time.sleep


def patient(storage: RDBStorage, patience: Patience) -> RDBStorage:
    """The same storage, each of whose calls outlasts a database that comes back in time.

    Its calls raise Unavailable if it does not.
    """
    for name in ASKED:
        setattr(storage, name, _again(getattr(storage, name), patience, name == "set_trial_state_values"))
    return storage


def _again(call: Callable[..., Any], patience: Patience, ends_a_trial: bool) -> Callable[..., Any]:
    from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

    @wraps(call)
    def asked(*arguments: Any, **named: Any) -> Any:
        ends, wait, tries = time.monotonic() + patience.most_s, FIRST_WAIT_S, 0
        while True:
            try:
                return call(*arguments, **named)
            except UpdateFinishedTrialError:
                # The first try has ended it, though nobody said so.
                if not (tries and ends_a_trial):
                    raise
                return True
            except StorageInternalError as error:
                if not _is_away(error):
                    raise
                if time.monotonic() >= ends:
                    raise _unavailable(error, patience) from error
            tries += 1
            patience.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    return asked


def _is_away(error: BaseException) -> bool:
    """Whether it is the connection that has failed, and not what was asked."""
    from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError

    return isinstance(error.__cause__, OperationalError | InterfaceError | PendingRollbackError)


def _unavailable(error: BaseException, patience: Patience) -> Unavailable:
    said = redact(str(error.__cause__).splitlines()[0][:200])
    return Unavailable(f"the study storage was away for {patience.most_s:.0f} s: {said}", f"See the setting {SETTING}.")
