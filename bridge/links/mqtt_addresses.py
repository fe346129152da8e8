"""Which tags of a link to plain topics live where, and which configurations could never be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.domain.tag import Tag
from bridge.errors import ConfigError
from bridge.links.mqtt_payload import Address, parse
from bridge.settings.links import MqttLinkSettings


class Topics:
    """Made once from the configuration. ConfigError lists every address that cannot be.

    A command topic on which the link listens as well is refused: our own command would be heard as the
    device's word. So are two set-points that one and the same command would move.
    """

    def __init__(self, link: str, settings: MqttLinkSettings, tags: Sequence[Tag]) -> None:
        self.addresses: list[Address] = []
        self.values: dict[str, list[int]] = {}
        self.confirmations: dict[str, list[int]] = {}
        self.commands: dict[int, str] = {}
        problems = []
        for handle, tag in enumerate(tags):
            try:
                address = parse(tag.address)
                if settings.payload == "raw" and address.path is not None:
                    raise ValueError(
                        f"a path in JSON makes no sense with payload = raw, found {tag.address!r}"
                    )
            except ValueError as problem:
                problems.append(f"link {link}: tag {tag.path}: address: {problem}")
                self.addresses.append(Address("", None))
                continue
            self.addresses.append(address)
            self.values.setdefault(address.topic, []).append(handle)
            if tag.writable:
                self.commands[handle] = settings.command_topic.replace("{topic}", address.topic)
                confirmed = settings.confirm_topic.replace("{topic}", address.topic)
                self.confirmations.setdefault(confirmed, []).append(handle)
        problems += [f"link {link}: {found}" for found in self._ambiguities(settings, tags)]
        if problems:
            raise ConfigError(problems)

    def _ambiguities(self, settings: MqttLinkSettings, tags: Sequence[Tag]) -> list[str]:
        found = []
        moved: dict[tuple[str, tuple[str, ...]], int] = {}
        for handle, command in self.commands.items():
            tag = tags[handle]
            for role, members in (
                ("value topic", self.values.get(command)),
                ("confirmation topic", self.confirmations.get(command)),
            ):
                if members:
                    found.append(
                        f"tag {tag.path}: its command topic {command} is the {role} of {tags[members[0]].path} too, "
                        "so our own command would be heard as the device's word; change command_topic"
                    )
            path = self.addresses[handle].path or tuple(settings.value_path.split("."))
            other = moved.setdefault((command, () if settings.payload == "raw" else path), handle)
            if other != handle:
                where = "" if settings.payload == "raw" else f" and path {'.'.join(path)}"
                found.append(
                    f"tag {tag.path}: command topic {command}{where} are those of {tags[other].path} as well, so one "
                    "command would move both; give each a topic of its own (`{topic}` in command_topic) or a path"
                )
        return found

    @property
    def tags_per_message(self) -> int:
        """Most tags that one message speaks of."""
        return max(map(len, self.values.values()), default=1)
