# mypy: ignore-errors
"""``system`` as scripts see it. What is not here is refused by name, and told to the log once more."""

import sys
import types

from standin import system_date, system_db, system_perspective, system_project, system_tag, system_util
from standin.library import NotSupported

_NEWER = (
    "execQuery",
    "execScalar",
    "execUpdate",
    "execUpdateAsync",
)  # asked for with hasattr, so not an error


class Section(types.ModuleType):
    """``system.tag`` and the like."""

    def __init__(self, name, functions, parent):
        types.ModuleType.__init__(self, name)
        self.__dict__.update(functions)
        self.__parent__ = parent

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        text = "%s.%s is not supported by the stand-in" % (self.__name__, name)
        if name not in _NEWER:
            self.__parent__.log("ERROR", "stand-in", text)
        raise NotSupported(text)


class System(types.ModuleType):
    """The whole. A section without any function still names what was asked of it."""

    def __init__(self, sections, parent):
        types.ModuleType.__init__(self, "system")
        self.__dict__.update(sections)
        self.__parent__ = parent

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Section("system." + name, {}, self.__parent__)


def install(project, sources, parent, start, sessions):
    """Put ``system`` where every script of the project finds it; gives the functions of system.db."""
    functions = {
        "db": system_db.functions(start["project"], sources, parent, start["target"], sessions),
        "tag": system_tag.functions(parent),
        "date": system_date.functions(),
        "util": system_util.functions(start["project"], parent, start["target"]),
        "project": system_project.project_functions(start["project"]),
        "dataset": system_project.dataset_functions(),
        "perspective": system_perspective.functions(sessions),
    }
    sections = {name: Section("system." + name, ones, parent) for name, ones in functions.items()}
    system = System(sections, parent)
    sys.modules["system"] = system
    for name, section in sections.items():
        sys.modules["system." + name] = section
    project.add("system", system)
    return functions["db"]
