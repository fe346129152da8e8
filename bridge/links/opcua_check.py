"""What a configured tag and its node on the server disagree about, in words for the person who can fix it."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.domain.tag import DataType, Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What the server says about one node.

    `status` is Good or why nothing could be read. `data_type` is None for a type that no tag can have;
    `type_name` is then what to show. `value_range` is its EURange, low and high, if it has one.
    """

    status: str
    data_type: DataType | None = None
    type_name: str = ""
    scalar: bool = True
    writable: bool = False
    user_writable: bool = False

    @property
    def exists(self) -> bool:
        """Whether the server let us read about the node at all."""
        return self.status == "Good"

    def mismatch(self, tag: Tag) -> str | None:
        """Why values of the tag's type do not fit this node, or None when they do."""
        if not self.scalar:
            return f"wanted a single {tag.data_type}, found an array on the server"
        if self.data_type is not tag.data_type:
            return f"wanted {tag.data_type}, found {self.type_name} on the server"
        return None


def differences(tag: Tag, facts: NodeFacts, value_range: tuple[float, float] | None) -> list[str]:
    """Everything that is wrong with one tag; empty when configuration and server agree."""
    where = f"tag {tag.path} ({tag.address})"
    if not facts.exists:
        return [f"{where}: {facts.status}; correct the address or create the node"]
    found = []
    mismatch = facts.mismatch(tag)
    if mismatch is not None:
        found.append(f"{where}: {mismatch}; correct data_type")
    if tag.limits is None:
        return found
    if not facts.writable:
        found.append(f"{where}: configured as a set-point, but the server says it is not writable")
    elif not facts.user_writable:
        found.append(f"{where}: the server does not let this user write it; grant it or use another user")
    if value_range is not None and not (
        value_range[0] <= tag.limits.low and tag.limits.high <= value_range[1]
    ):
        found.append(
            f"{where}: limits {tag.limits.low:g} to {tag.limits.high:g} reach outside the server's range "
            f"{value_range[0]:g} to {value_range[1]:g} (EURange); narrow the limits"
        )
    return found
