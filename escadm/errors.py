"""Every way in which a command can end without success, each with its exit code.

The codes are those of LSB init actions (see docs/reference/exit-codes.md). An error is raised with one
sentence that begins with "cannot …" or names the thing that is wrong, and a hint: the next thing to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from escadm.core.problem import Problem


class EscadmError(Exception):
    """The root: something could not be done, for a reason that an administrator can act on."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class Failed(EscadmError):
    """The thing was tried and did not work."""

    exit_code = 1


class Usage(EscadmError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class NotPermitted(EscadmError):
    """The caller lacks the rights: not root."""

    exit_code = 4


class NotInstalled(EscadmError):
    """A program that is needed is not on this machine."""

    exit_code = 5


class InvalidConfig(EscadmError):
    """The configuration has mistakes; all of them are in ``problems``. Nothing was changed."""

    exit_code = 6
    subject: ClassVar[str] = "the configuration"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def is_of_machine(self) -> bool:
        """Whether the file has no mistake, and only does not fit this machine as it is now."""
        return all(problem.of_machine for problem in self.problems)


class InvalidUserData(InvalidConfig):
    """cloud-init's user data has mistakes."""

    subject = "the user data"


class InvalidEnvironment(InvalidConfig):
    """The OVF environment has mistakes."""

    subject = "the OVF environment"


class AgentNotRunning(EscadmError):
    """The command needs the agent, and the agent is not there."""

    exit_code = 7
