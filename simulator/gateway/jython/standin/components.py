# mypy: ignore-errors
"""``self`` of Perspective scripts: component, view, page or session, by its handle."""

from standin import carried, trees
from standin.library import NotSupported

_NOT_HERE = ("children", "getChildren", "focus", "getInfo", "pages", "docks", "popups")


def of(sessions, handle):
    """The object of a handle: component, else view, else page, else session."""
    if handle.get("component") is not None:
        return Component(sessions, handle)
    if handle.get("view") is not None:
        return View(sessions, handle)
    if handle.get("page") is not None:
        return Page(sessions, handle)
    return Session(sessions, handle)


class _Model(object):
    """What they have in common: property trees, and the way up."""

    _TREES = ("props", "custom")
    _KIND = None

    def __init__(self, sessions, handle):
        names = ("session", "page", "view", "component")
        self.__dict__["_sessions"] = sessions
        self.__dict__["_handle"] = {name: handle.get(name) for name in names}

    def _tree(self, name):
        return trees.PropertyTree(trees.Place(self._sessions, self._handle, name))

    def _ask(self, op, **fields):
        return self._sessions.ask(op, self._handle, **fields)

    def _up(self, model, *kept):
        return model(self._sessions, {name: self._handle[name] for name in kept})

    def __getattr__(self, name):
        if name in self._TREES:
            return self._tree(name)
        if name in _NOT_HERE:
            raise NotSupported(
                "%s: %s.%s is not supported by the stand-in" % (self._file(), self._KIND, name)
            )
        if not name.startswith("_") and name in self._methods():
            return self._method(name)
        raise AttributeError("'%s' (%s) has no attribute '%s'" % (self._KIND, self._file(), name))

    def __setattr__(self, name, value):
        raise AttributeError(
            "'%s' (%s): '%s' cannot be assigned; write a property of %s"
            % (self._KIND, self._file(), name, ", ".join("self." + tree for tree in self._TREES))
        )

    def _file(self):
        return self._sessions.file()

    def _methods(self):
        return ()

    def _method(self, name):
        def method(*arguments, **keywords):
            where = "%s, method %s" % (self._file(), name)
            answer = self._ask(
                "method",
                name=name,
                arguments=carried.to_json(list(arguments), where),
                keywords=carried.to_json(keywords, where),
            )
            return trees.wrapped(answer, trees.Detached())

        return method

    def __eq__(self, other):
        return isinstance(other, _Model) and other._handle == self._handle

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(tuple(sorted(self._handle.items())))

    def __repr__(self):
        return "<%s %s>" % (self._KIND, [one for one in self._handle.values() if one is not None])


class Session(_Model):
    _KIND = "Session"


class Page(_Model):
    _KIND = "Page"

    @property
    def session(self):
        return self._up(Session, "session")


class _OnPage(_Model):
    """Views and components."""

    def _methods(self):
        return self._ask("methods")

    @property
    def session(self):
        return self._up(Session, "session")

    @property
    def page(self):
        return self._up(Page, "session", "page")

    def refreshBinding(self, path):
        """Run the binding of a property again, at once."""
        self._ask("refresh", path=path)

    def _walk(self, to, name=None):
        found = self._ask("walk", to=to, name=name)
        return None if found is None else of(self._sessions, found)

    def getChild(self, name):
        return self._walk("child", name)


class View(_OnPage):
    _TREES = ("props", "custom", "params")
    _KIND = "View"

    @property
    def rootContainer(self):
        return self._walk("root")

    @property
    def id(self):
        return self._handle["view"]


class Component(_OnPage):
    _TREES = ("props", "custom", "position", "meta")
    _KIND = "Component"

    @property
    def name(self):
        return self.meta.name

    @property
    def view(self):
        return self._up(View, "session", "page", "view")

    @property
    def parent(self):
        return self._walk("parent")

    def getSibling(self, name):
        return self._walk("sibling", name)
