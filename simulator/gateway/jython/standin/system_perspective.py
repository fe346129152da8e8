# mypy: ignore-errors
"""system.perspective: the arguments are Ignition's own, the work is the parent's.

In a Perspective thread session and page are those of the script; gateway scope names them.
"""

from java.lang import IllegalArgumentException, IllegalStateException

from standin import carried, trees


def functions(sessions):
    return _Perspective(sessions).functions()


class _Perspective(object):
    def __init__(self, sessions):
        self._sessions = sessions

    def functions(self):
        names = [name for name in dir(self) if not name.startswith("_") and name != "functions"]
        found = {name: getattr(self, name) for name in names}
        found["print"] = found.pop("print_")
        return found

    def _handle(self, function, sessionId, pageId):
        """Whose browser is meant: that of the script unless told otherwise."""
        context = self._sessions.current()
        if not sessionId or sessionId == "current_session":
            if context is None:
                raise IllegalStateException(
                    "system.perspective.%s: No perspective session attached to this thread; gateway scope names"
                    " sessionId (and pageId)" % function
                )
            own = {name: context.handle.get(name) for name in ("view", "component")}
            handle = dict(own, session=context.session, page=context.page)
        else:
            handle = {"session": sessionId, "page": None, "view": None, "component": None}
        if pageId and pageId != "current_page":
            handle.update(page=pageId, view=None, component=None)
        return handle

    def _do(self, function, sessionId, pageId, op=None, **arguments):
        where = "%s, system.perspective.%s" % (self._sessions.file(), function)
        handle = self._handle(function, sessionId, pageId)
        given = {name: carried.to_json(value, where) for name, value in arguments.items()}
        return self._sessions.ask(op or function, handle, arguments=given)

    def sendMessage(self, messageType, payload=None, scope="page", sessionId=None, pageId=None):
        _text("sendMessage", "messageType", messageType)
        _dictionary("sendMessage", "payload", payload)
        if scope not in ("page", "session", "view"):
            raise IllegalArgumentException(
                "system.perspective.sendMessage: scope is page, session or view, found '%s'" % scope
            )
        payload = {} if payload is None else payload
        self._do("sendMessage", sessionId, pageId, messageType=messageType, payload=payload, scope=scope)

    # popups

    def openPopup(
        self,
        id,
        view,
        params=None,
        title="",
        position=None,
        showCloseIcon=True,
        draggable=True,
        resizable=False,
        modal=False,
        overlayDismiss=False,
        sessionId=None,
        pageId=None,
        viewPortBound=False,
    ):
        self._popup(
            "openPopup",
            sessionId,
            pageId,
            id=id,
            view=view,
            params=params,
            title=title,
            position=position,
            showCloseIcon=showCloseIcon,
            draggable=draggable,
            resizable=resizable,
            modal=modal,
            overlayDismiss=overlayDismiss,
            viewPortBound=viewPortBound,
        )

    def togglePopup(
        self,
        id,
        view,
        params=None,
        title="",
        position=None,
        showCloseIcon=True,
        draggable=True,
        resizable=False,
        modal=False,
        overlayDismiss=False,
        sessionId=None,
        pageId=None,
        viewPortBound=False,
    ):
        self._popup(
            "togglePopup",
            sessionId,
            pageId,
            id=id,
            view=view,
            params=params,
            title=title,
            position=position,
            showCloseIcon=showCloseIcon,
            draggable=draggable,
            resizable=resizable,
            modal=modal,
            overlayDismiss=overlayDismiss,
            viewPortBound=viewPortBound,
        )

    def _popup(self, function, sessionId, pageId, **arguments):
        _text(function, "id", arguments["id"])
        _text(function, "view", arguments["view"])
        for name in ("params", "position"):
            _dictionary(function, name, arguments[name])
            arguments[name] = {} if arguments[name] is None else arguments[name]
        self._do(function, sessionId, pageId, **arguments)

    def closePopup(self, id, sessionId=None, pageId=None):
        _text("closePopup", "id", id)
        self._do("closePopup", sessionId, pageId, id=id)

    # docks

    def openDock(self, id, sessionId=None, pageId=None, params=None):
        self._dock("openDock", id, sessionId, pageId, params)

    def closeDock(self, id, sessionId=None, pageId=None):
        self._dock("closeDock", id, sessionId, pageId, None)

    def toggleDock(self, id, sessionId=None, pageId=None, params=None):
        self._dock("toggleDock", id, sessionId, pageId, params)

    def _dock(self, function, id, sessionId, pageId, params):
        _text(function, "id", id)
        _dictionary(function, "params", params)
        self._do(function, sessionId, pageId, id=id, params={} if params is None else params)

    # page and session

    def navigate(
        self, page=None, url=None, view=None, params=None, sessionId=None, pageId=None, newTab=False
    ):
        if page is None and url is None and view is None:
            raise IllegalArgumentException("system.perspective.navigate: one of page, url and view is wanted")
        for name, value in (("page", page), ("url", url), ("view", view)):
            if value is not None:
                _text("navigate", name, value)
        _dictionary("navigate", "params", params)
        params = {} if params is None else params
        self._do("navigate", sessionId, pageId, page=page, url=url, view=view, params=params, newTab=newTab)

    def refresh(self, sessionId=None, pageId=None):
        self._do("refresh", sessionId, pageId, op="refreshPage")

    def setTheme(self, name, sessionId=None, pageId=None):
        _text("setTheme", "name", name)
        self._do("setTheme", sessionId, pageId, name=name)

    def login(self, sessionId=None, pageId=None, forceAuth=False):
        self._do("login", sessionId, pageId, forceAuth=forceAuth)

    def logout(self, sessionId=None, pageId=None, message=None):
        self._do("logout", sessionId, pageId, message=message)

    def print_(self, message, sessionId=None, pageId=None, destination="client"):
        if destination not in ("client", "gateway", "all"):
            raise IllegalArgumentException(
                "system.perspective.print: destination is client, gateway or all, found '%s'" % destination
            )
        text = message if isinstance(message, basestring) else unicode(message)
        self._do("print", sessionId, pageId, message=text, destination=destination)

    def download(self, filename, data, contentType=None, sessionId=None, pageId=None):
        _text("download", "filename", filename)
        if not isinstance(data, basestring):
            raise TypeError("download(): data is a string; the stand-in sends no %s" % type(data).__name__)
        self._do("download", sessionId, pageId, filename=filename, data=data, contentType=contentType)

    def isAuthorized(self, isAllOf, securityLevels, sessionId=None):
        if isinstance(securityLevels, basestring) or not hasattr(securityLevels, "__iter__"):
            raise TypeError("isAuthorized(): 2nd arg can't be coerced to a list of String")
        return self._do(
            "isAuthorized", sessionId, None, isAllOf=bool(isAllOf), securityLevels=list(securityLevels)
        )

    def getSessionInfo(self, usernameFilter=None, projectFilter=None, pageDetails=False):
        nobody = {"session": None, "page": None, "view": None, "component": None}
        arguments = {
            "usernameFilter": usernameFilter,
            "projectFilter": projectFilter,
            "pageDetails": pageDetails,
        }
        found = self._sessions.ask("getSessionInfo", nobody, arguments=arguments)
        return [trees.wrapped(one, trees.Detached()) for one in found]


def _text(function, name, value):
    if not isinstance(value, basestring):
        raise TypeError("%s(): %s can't be coerced to String" % (function, name))


def _dictionary(function, name, value):
    if value is not None and not hasattr(value, "keys"):
        raise TypeError("%s(): %s can't be coerced to PyDictionary" % (function, name))
