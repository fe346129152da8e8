# mypy: ignore-errors
"""The project's script library: ``package.module.function``, by name without import, and importable too."""

import imp
import sys
import types

from java.lang import Throwable

SCRIPT = "ignition/script-python/%s/code.py"


class NotSupported(AttributeError):
    """Something Ignition has and the stand-in has not."""


def _execute(code, names):
    """Alone in its function: Jython allows exec only where nothing is nested."""
    exec(code, names)


class _Package(types.ModuleType):
    """A folder of the library; what lies in it is loaded when it is first named."""

    def __getattr__(self, name):
        if not name.startswith("__"):
            child = self.__library__.load(self.__name__ + "." + name)
            if child is not None:
                return child
        raise AttributeError("'%s' has no script or folder '%s'" % (self.__name__, name))


class _Module(types.ModuleType):
    """A script of the library. One whose body failed is run again for whoever names something of it."""

    def __getattr__(self, name):
        if not name.startswith("__"):
            again = self.__library__.load(self.__name__)
            if again is not self:
                return getattr(again, name)
        raise AttributeError("'module' object has no attribute '%s'" % name)


class Library(object):
    """Finds, compiles and runs the project's modules, each once."""

    def __init__(self, project, target, parent):
        self.target = target
        self._sources = {path.replace("/", "."): code for path, code in project["scripts"].items()}
        self._others = project["events"]
        self._parent = parent
        self._compiled = {}
        self._loaded = {}
        self._names = {}
        self._folders = set()
        for name in self._sources:
            parts = name.split(".")
            self._folders.update(".".join(parts[:length]) for length in range(1, len(parts)))
        sys.meta_path.append(self)

    def names(self):
        """What every script sees without importing it."""
        for name in {path.split(".")[0] for path in list(self._sources) + list(self._folders)}:
            if name not in self._names:
                try:
                    self._names[name] = self.load(name)
                except (Exception, Throwable):
                    self._names[name] = self._module(name)  # what failed is told to who names it
        return self._names

    def add(self, name, value):
        self._names[name] = value

    def compile_all(self):
        """Compiles every script of the project; a list of what does not compile, by file and line."""
        problems = []
        everything = [(SCRIPT % name.replace(".", "/"), code) for name, code in self._sources.items()]
        for path, code in sorted(everything + [(event["path"], event["code"]) for event in self._others]):
            try:
                self._compiled[path] = compile(code, "<%s>" % path, "exec")
            except SyntaxError as error:
                problems.append("%s, line %s: %s" % (path, error.lineno, error.msg))
            except Throwable as error:
                problems.append("%s: %s" % (path, error))
        return problems

    def run_body(self, path):
        """Runs an event script's file and gives its names."""
        names = dict(self.names(), __name__="<%s>" % path)
        _execute(self._compiled[path], names)
        return names

    def load(self, name):
        """The module or folder with this dotted name; ``None`` if there is none."""
        imp.acquire_lock()  # the one that import takes too: with two, each could wait for the other
        try:
            if name in self._loaded:
                return self._loaded[name]
            if name in self._folders:
                package = _Package(name)
                package.__library__ = self
                package.__path__ = []
                package.__loader__ = self
                self._loaded[name] = sys.modules[name] = package
                return package
            if name not in self._sources:
                return None
            module = self._module(name)
            # known before it has run, so that two modules may name each other inside their functions
            self._loaded[name] = sys.modules[name] = module
            try:
                module.__dict__.update((key, value) for key, value in self.names().items() if key != name)
                _execute(self._compiled[SCRIPT % name.replace(".", "/")], module.__dict__)
            except BaseException:
                self._forget(module)
                raise
            except Throwable:
                self._forget(module)
                raise
            return module
        finally:
            imp.release_lock()

    def _module(self, name):
        module = _Module(name)
        module.__library__ = self
        module.__loader__ = self
        return module

    def _forget(self, module):
        """Who already holds the module is not to meet half of it."""
        del self._loaded[module.__name__], sys.modules[module.__name__]
        for name in [name for name in module.__dict__ if not name.startswith("__")]:
            del module.__dict__[name]

    def load_all(self):
        """So that the first page does not wait for it. What fails is told where a script names it."""
        for name in sorted(self._sources):
            try:
                self.load(name)
            except (Exception, Throwable):
                pass

    # an importer of PEP 302, so that `import package.module` works too

    def find_module(self, name, path=None):
        return self if name in self._sources or name in self._folders else None

    def load_module(self, name):
        return self.load(name)

    def function(self, dotted):
        """The function ``package.module.name``."""
        place, _, name = dotted.rpartition(".")
        module = self.load(place)
        if module is None:
            raise AttributeError("the project has no script %r" % place)
        return getattr(module, name)
