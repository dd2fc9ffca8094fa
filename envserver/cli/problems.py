"""How a command fails: one line on standard error, a remedy where there is one, and one of a closed set of statuses.

Commands let the errors of what they call go by; `explain` is the one place that turns them into a status. An error that
it does not know is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

from enum import IntEnum

NODE_REMEDY = (
    "`make up` starts a node; --url or ENVSERVER_URL says where one is, `envserver doctor` what is wrong with it"
)
KEY_REMEDY = "give the key with --api-key or ENVSERVER_API_KEY"


class Exit(IntEnum):
    """Exit statuses; docs/cli.md explains each. Beside them 130, Click's own for an interrupted command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    DIVERGED = 6


class CommandError(Exception):
    """A command cannot do what it was asked."""

    def __init__(self, message: str, status: Exit = Exit.FAILED, remedy: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}; {self.remedy}" if self.remedy else message


def explain(error: Exception) -> CommandError | None:
    """What an error means to a person; None for a defect."""
    if isinstance(error, CommandError):
        return error
    return _of_client(error) or _of_node(error) or _of_tasks(error) or _of_access(error) or _of_journal(error)


def _of_client(error: Exception) -> CommandError | None:
    from envserver_sdk import errors

    if not isinstance(error, errors.EnvserverClientError):
        return None
    if isinstance(error, (errors.ConnectionFailed, errors.CallTimeout)):
        return CommandError(str(error), Exit.UNREACHABLE, NODE_REMEDY)
    if isinstance(error, (errors.Overloaded, errors.ShuttingDown)):
        return CommandError(str(error), Exit.UNREACHABLE, "try again later")
    if isinstance(error, errors.Unauthorized):
        return CommandError(str(error), Exit.REFUSED, KEY_REMEDY)
    if isinstance(error, errors.NotFound):
        return CommandError(str(error), Exit.NOT_FOUND)
    if isinstance(error, (errors.InfraError, errors.InternalError, errors.UnknownProblem)):
        return CommandError(str(error), Exit.FAILED)
    return CommandError(str(error), Exit.REFUSED)


def _of_tasks(error: Exception) -> CommandError | None:
    from environments.folders.places import TaskFolderError

    if not isinstance(error, TaskFolderError):
        return None
    faults = "".join(f"\n  {fault}" for fault in error.faults)
    return CommandError(f"task sets have {len(error.faults)} faults:{faults}")


def _of_node(error: Exception) -> CommandError | None:
    from envserver.images.build import BuildError
    from envserver.launcher.client import LauncherRefusedError

    if isinstance(error, BuildError):
        return CommandError(str(error))
    if isinstance(error, LauncherRefusedError):
        return CommandError(f"the launcher refused: {error.code}: {error}", Exit.REFUSED)
    if isinstance(error, (ConnectionError, TimeoutError)):
        return CommandError(str(error), Exit.UNREACHABLE)
    if isinstance(error, OSError):
        return CommandError(str(error))
    return None


def _of_access(error: Exception) -> CommandError | None:
    from envserver.access.audit import AuditError
    from envserver.access.keys import KeysFileError

    return CommandError(str(error)) if isinstance(error, (AuditError, KeysFileError)) else None


def _of_journal(error: Exception) -> CommandError | None:
    from envserver.episodes.journal.errors import JournalError

    return CommandError(f"the journal: {error}") if isinstance(error, JournalError) else None
