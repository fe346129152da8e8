"""Which tag paths exist, as scripts, bindings and expressions write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.ignition.tag_tree import TagTree

_WRITTEN = re.compile(r"^\[(?P<provider>[^\]]+)\](?P<path>.*)$", re.DOTALL)
_HOLE = re.compile(r"%[sdr]|%\([^)]*\)[sdr]|\{[^{}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagPaths:
    """Paths of one provider in lower case, since Ignition does not tell upper from lower there."""

    provider: str
    tags: frozenset[str]
    folders: frozenset[str]

    @classmethod
    def of(cls, tree: TagTree) -> TagPaths:
        """The paths of a resolved tag file."""
        return cls(
            provider=tree.provider,
            tags=frozenset(tag.path.lower() for tag in tree.tags),
            folders=frozenset(folder.lower() for folder in tree.folders),
        )

    def missing(self, written: str) -> str | None:
        """Why a path such as `[default]Agent/Status` leads nowhere, or None when it leads somewhere.

        Other providers are not known here and pass. A path with holes (`%s`, `{name}`) must fit some tag
        or folder; one that ends in a slash, or is followed by more, must be a folder.
        """
        found = _WRITTEN.match(written.strip())
        if found is None or found["provider"].lower() != self.provider.lower():
            return None
        path = found["path"].lower()
        if not path.strip("/"):
            return None
        if _HOLE.search(path):
            parts = _HOLE.split(path)
            pattern = re.compile("[^/]+".join(map(re.escape, parts)).rstrip("/"))
            loose = re.compile(".+".join(map(re.escape, parts)).rstrip("/"))
            names = self.tags | self.folders
            bare = _bare(path)
            if bare != path:
                pattern = re.compile(pattern.pattern + "|" + "[^/]+".join(map(re.escape, _HOLE.split(bare))))
            if any(pattern.fullmatch(name) or loose.fullmatch(name) for name in names):
                return None
            return f"no tag fits {written!r}"
        path = path.rstrip("/")
        if path in self.tags or path in self.folders or _bare(path) in self.tags:
            return None
        folder = path.rpartition("/")[0]
        beside = sorted(name for name in self.tags | self.folders if name.rpartition("/")[0] == folder)
        there = f"; in {folder or 'the root'} there are {', '.join(beside[:8])}" if beside else ""
        return f"there is no tag {written!r}{there}"


def _bare(path: str) -> str:
    """The tag without a property (`.Quality`) or alarm (`/Alarms/High.IsActive`) behind it."""
    tag = path.partition("/alarms/")[0]
    folder, slash, name = tag.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"
