"""A Genie space that a person asks by hand: settings in, answer out, with progress on the way."""

from __future__ import annotations

from collections.abc import Callable

from bridge.databricks.auth import workspace
from bridge.databricks.genie import Genie
from bridge.databricks.genie_answer import GenieAnswer
from bridge.databricks.genie_limits import AnswerMemory, Turns
from bridge.databricks.steps import Progress, run
from bridge.errors import FixConfiguration, WorkspaceRefused
from bridge.ports import Clock
from bridge.settings import Settings


class Asking:
    """Asks the configured Genie spaces, one question at a time; answers are remembered as [genie] says, in memory."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """ConfigError without a workspace or a login to it; nothing is sent yet."""
        self._settings = settings.genie
        self._clock = clock
        self._server = workspace(settings.databricks, clock)
        self._genie = Genie(
            Turns(clock, per_minute=settings.genie.questions_per_minute),
            AnswerMemory(clock, keep_s=settings.genie.cache_s),
        )

    def ask(self, space: str, question: str, *, on_progress: Callable[[Progress], None]) -> GenieAnswer:
        """Ask a space, given by its name or its id; blocks up to genie.deadline_s.

        Errors as `Genie.ask`; ConfigError for a space that is neither, FixConfiguration for one that does not exist.
        """
        space_id = self._settings.space_id(space)
        deadline_s = self._settings.deadline_s
        steps = run(
            self._genie.ask(space_id, question, patience_s=deadline_s),
            self._server,
            self._clock,
            deadline_s=deadline_s,
        )
        try:
            while True:
                on_progress(next(steps))
        except StopIteration as end:
            found: GenieAnswer = end.value
            return found
        except WorkspaceRefused as problem:
            if problem.status not in (403, 404):
                raise
            raise FixConfiguration(
                f"{problem}; does space {space_id} exist in {self._server.host}, and has our identity CAN RUN on it?"
            ) from problem
        finally:
            steps.close()

    def close(self) -> None:
        """Close the connections."""
        self._server.close()
