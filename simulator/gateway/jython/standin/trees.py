# mypy: ignore-errors
"""Property trees as scripts meet them: objects and arrays that write through to the parent's tree.

What is read is a picture of the moment; every fresh ``self.props....`` looks again. Perspective's own wrappers are
neither dict nor list (isinstance says so) and behave as both; so do these.
"""

import re

from java.lang import Exception as JavaException

from standin import carried

_METHODS = ("get", "keys", "values", "items")
_PLAIN_KEY = re.compile(r"^[^.\[\]]+$")


class Place(object):
    """Where in a tree something lies, and how it is written."""

    def __init__(self, sessions, handle, path, owner=None):
        self.sessions = sessions
        self.handle = handle
        self.path = path
        self._owner = owner

    def below(self, key, owner):
        """The place of a part; one whose name is no path step is written as part of its ``owner``."""
        if isinstance(key, (int, long)):
            path = "%s[%d]" % (self.path, key)
        elif _PLAIN_KEY.match(key):
            path = "%s.%s" % (self.path, key)
        else:
            path = None
        return Place(self.sessions, self.handle, path if self.path else None, owner)

    def write(self, content):
        """Tell the parent the whole content of this place."""
        if self.path is None:
            self._owner._write_whole()
            return
        self.sessions.ask("set", self.handle, path=self.path, value=content)

    def to_json(self, value):
        return carried.to_json(value, "%s (%s)" % (self.sessions.file(), self.path or "a nested value"))


class Detached(object):
    """No place at all: an event's object belongs to the script."""

    path = None

    def below(self, key, owner):
        return self

    def write(self, content):
        pass

    def to_json(self, value):
        return carried.to_json(value, "an event")


def wrapped(value, place):
    """A value of a tree for a script."""
    special = carried.scalar(value)
    if special is not value:
        return special
    if isinstance(value, dict):
        return ObjectScriptWrapper(value, place)
    if isinstance(value, list):
        return ArrayScriptWrapper(value, place)
    return value


def _missing(path, key):
    return "'%s' has no key '%s'" % (path or "the object", key)


class _Whole(carried.Wrapper):
    """Content that is here, and its place."""

    def __init__(self, content, place):
        object.__setattr__(self, "_content", content)
        object.__setattr__(self, "_place", place)

    def _plain(self):
        return carried.from_json(self._content)

    def _write_whole(self):
        self._place.write(self._content)

    def _store(self, key, value):
        """Keep the picture and the tree alike; the tree first, because it may refuse."""
        content = self._place.to_json(value)
        place = self._place.below(key, self)
        if place.path is None:
            self._content[key] = content
            self._write_whole()
        else:
            place.write(content)
            self._content[key] = content

    def __len__(self):
        return len(self._content)

    def __nonzero__(self):
        return len(self._content) > 0

    def __eq__(self, other):
        return self._plain() == (other._plain() if isinstance(other, carried.Wrapper) else other)

    def __ne__(self, other):
        return not self == other

    __hash__ = None

    def __repr__(self):
        return repr(self._plain())

    __str__ = __repr__


class ObjectScriptWrapper(_Whole):
    """An object: keys by item or by attribute."""

    def __getattribute__(self, name):
        """A key called items or values comes before the method of that name."""
        if not name.startswith("_") and name in self._content:
            return self[name]
        return object.__getattribute__(self, name)

    def __getattr__(self, name):
        if name not in self._content:
            raise AttributeError(_missing(self._place.path, name))
        return self[name]

    def __setattr__(self, name, value):
        self._store(name, value)

    def __getitem__(self, key):
        if key not in self._content:
            raise KeyError(key)
        return wrapped(self._content[key], self._place.below(key, self))

    def __setitem__(self, key, value):
        self._store(key, value)

    def __delitem__(self, key):
        del self._content[key]
        self._write_whole()

    def __contains__(self, key):
        return key in self._content

    has_key = __contains__

    def __iter__(self):
        return iter(list(self._content))

    def keys(self):
        return list(self._content)

    def values(self):
        return [self[key] for key in self._content]

    def items(self):
        return [(key, self[key]) for key in self._content]

    def get(self, key, default=None):
        return self[key] if key in self._content else default

    def update(self, other):
        self._content.update(self._place.to_json(dict(other)))
        self._write_whole()


class ArrayScriptWrapper(_Whole):
    """An array: items by number, slices as plain lists."""

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [self[place] for place in range(*number.indices(len(self)))]
        if not isinstance(number, (int, long)):
            raise TypeError("array indices must be integers, not %s" % type(number).__name__)
        number = self._counted(number)
        return wrapped(self._content[number], self._place.below(number, self))

    def __setitem__(self, number, value):
        self._store(self._counted(number), value)

    def __delitem__(self, number):
        del self._content[number]
        self._write_whole()

    def _counted(self, number):
        counted = number + len(self._content) if number < 0 else number
        if not 0 <= counted < len(self._content):
            raise IndexError("array index %d out of range, it has %d items" % (number, len(self._content)))
        return counted

    def __iter__(self):
        return iter([self[number] for number in range(len(self._content))])

    def __contains__(self, value):
        return value in self._plain()

    def __add__(self, other):
        return list(self) + list(other)

    def index(self, value):
        return self._plain().index(value)

    def count(self, value):
        return self._plain().count(value)

    def append(self, value):
        self.insert(len(self._content), value)

    def insert(self, number, value):
        self._content.insert(number, self._place.to_json(value))
        self._write_whole()

    def extend(self, values):
        self._content.extend(self._place.to_json(list(values)))
        self._write_whole()

    def pop(self, number=-1):
        gone = carried.from_json(self._content.pop(number))
        self._write_whole()
        return gone


class PropertyTree(carried.Wrapper):
    """``self.props``, ``self.custom`` and their like: nothing is fetched before it is named."""

    def __init__(self, place):
        object.__setattr__(self, "_place", place)

    def _at(self, key):
        return self._place.below(key, self)

    def _read(self, key):
        place = self._at(key)
        if place.path is None:
            return self._whole()[key]
        try:
            value = place.sessions.ask("get", place.handle, path=place.path)
        except JavaException:
            if place.sessions.ask("exists", place.handle, path=place.path):
                raise
            raise KeyError(key)
        if value is None and not place.sessions.ask("exists", place.handle, path=place.path):
            raise KeyError(key)
        return wrapped(value, place)

    def _whole(self):
        content = self._place.sessions.ask("get", self._place.handle, path=self._place.path)
        return ObjectScriptWrapper(content or {}, self._place)

    def _plain(self):
        return self._whole()._plain()

    def __getattribute__(self, name):
        """A property called items or values comes before the method of that name."""
        if name in _METHODS:
            place = self._at(name)
            if place.sessions.ask("exists", place.handle, path=place.path):
                return self._read(name)
        return object.__getattribute__(self, name)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._read(name)
        except KeyError:
            raise AttributeError(_missing(self._place.path, name))

    def __getitem__(self, key):
        return self._read(key)

    def __setitem__(self, key, value):
        place = self._at(key)
        if place.path is None:
            raise KeyError("a property is not called %r: dots and brackets belong to paths" % key)
        place.write(place.to_json(value))

    __setattr__ = __setitem__

    def get(self, key, default=None):
        try:
            return self._read(key)
        except KeyError:
            return default

    def __contains__(self, key):
        return key in self._whole()

    def __len__(self):
        return len(self._whole())

    def __iter__(self):
        return iter(self._whole())

    def keys(self):
        return list(self._whole())

    def values(self):
        whole = self._whole()
        return [whole[key] for key in whole]

    def items(self):
        whole = self._whole()
        return [(key, whole[key]) for key in whole]

    def __repr__(self):
        return repr(self._whole())

    __str__ = __repr__
