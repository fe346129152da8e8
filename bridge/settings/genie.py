"""Which Genie spaces there are, and how often they may be asked."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, StringConstraints

from bridge.errors import ConfigError
from bridge.settings.base import Section

_ID = r"^[0-9a-f]{32}$"
SpaceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$", max_length=100)]
SpaceId = Annotated[str, StringConstraints(pattern=_ID)]


class GenieSettings(Section):
    """Genie spaces by names of our own.

    spaces: name = id, the 32 hexadecimal digits behind /genie/rooms/ in the browser's address. questions_per_minute:
    over all spaces, and over everybody who asks this workspace through its API; more than it grants are refused by it.
    deadline_s: how long one answer may take. cache_s: how long the answer to the same question counts as good, 0 for
    never; recommendations always ask anew.
    """

    spaces: dict[SpaceName, SpaceId] = Field(default_factory=dict)
    questions_per_minute: Annotated[int, Field(ge=1, le=600)] = 5
    deadline_s: Annotated[float, Field(gt=0, le=900, allow_inf_nan=False)] = 120.0
    cache_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 60.0

    def space_id(self, space: str) -> str:
        """The id of a space, which may be given by its name or its id. ConfigError for neither."""
        if space in self.spaces:
            return self.spaces[space]
        if re.fullmatch(_ID, space):
            return space
        known = ", ".join(sorted(self.spaces)) or "none"
        raise ConfigError(
            [
                f"Genie space {space!r}: wanted a name of [genie.spaces] (there: {known}), or the 32 hexadecimal "
                "digits behind /genie/rooms/ in the browser's address"
            ]
        )
