# mypy: ignore-errors
"""system.project, system.dataset, and system.perspective as gateway scope has it: without a session."""

from java.lang import IllegalArgumentException, IllegalStateException

from standin import datasets


def project_functions(project):
    return {
        "getProjectName": lambda: project["name"],
        "getProjectNames": lambda: [project["name"]],
    }


def dataset_functions():
    return {"toPyDataSet": datasets.to_py, "toDataSet": datasets.to_dataset}


def perspective_functions():
    """Nobody looks at a stand-in's screens, so a call without a session fails as it does from a timer."""

    def absent(function, sessionId):
        if not sessionId:
            raise IllegalStateException(
                "system.perspective.%s: No perspective session attached to this thread; gateway scope names"
                " sessionId (and pageId)" % function
            )
        raise IllegalArgumentException(
            "system.perspective.%s: there is no session '%s'" % (function, sessionId)
        )

    def sendMessage(messageType, payload=None, scope="page", sessionId=None, pageId=None):
        absent("sendMessage", sessionId)

    def openPopup(
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
        absent("openPopup", sessionId)

    def closePopup(id, sessionId=None, pageId=None):
        absent("closePopup", sessionId)

    def navigate(page=None, url=None, view=None, params=None, sessionId=None, pageId=None, newTab=False):
        absent("navigate", sessionId)

    def print_(message, sessionId=None, pageId=None, destination="client"):
        absent("print", sessionId)

    def isAuthorized(isAllOf, securityLevels, sessionId=None):
        absent("isAuthorized", sessionId)

    def getSessionInfo(usernameFilter=None, projectFilter=None, pageDetails=False):
        return []

    return {
        "sendMessage": sendMessage,
        "openPopup": openPopup,
        "closePopup": closePopup,
        "navigate": navigate,
        "print": print_,
        "isAuthorized": isAuthorized,
        "getSessionInfo": getSessionInfo,
    }
