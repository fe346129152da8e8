# mypy: ignore-errors
"""Gateway timers and message handlers: when they run, on which thread, and what becomes of their errors."""

import sys
import traceback

from java.io import PrintWriter, StringWriter
from java.lang import Runnable, System, Thread, Throwable
from java.util.concurrent import Executors, TimeUnit
from java.util.concurrent.locks import ReentrantLock

from standin import link


def describe(error):
    """The error as the gateway logs it: Python traceback or Java stack with its causes."""
    if isinstance(error, Throwable):
        text = StringWriter()
        error.printStackTrace(PrintWriter(text))
        return text.toString().rstrip()
    return "".join(traceback.format_exception(*sys.exc_info())).rstrip()


class _Work(Runnable):
    def __init__(self, work):
        self._work = work

    def run(self):
        self._work()


def in_thread(name, work):
    thread = Thread(_Work(work), name)
    thread.setDaemon(True)
    thread.start()
    return thread


class Timer(object):
    """One timer script. It never runs twice at the same time."""

    def __init__(self, settings, project, parent):
        self.settings = settings
        self.name = settings["name"]
        self._project = project
        self._parent = parent
        self._lock = ReentrantLock()
        self._handler = None

    def run(self):
        """One pass; gives seconds and the error's last line, or ``None``."""
        self._lock.lock()
        started = System.nanoTime()
        error = None
        try:
            if self._handler is None:
                names = self._project.run_body(self.settings["path"])
                self._handler = names[self.settings["function"]]
            self._handler()
        except BaseException as caught:
            error = self._failed(caught)
        except Throwable as caught:
            error = self._failed(caught)
        finally:
            self._lock.unlock()
        return (System.nanoTime() - started) / 1e9, error

    def scheduled(self):
        seconds, error = self.run()
        self._parent.send({"timer": self.name, "seconds": seconds, "error": error})

    def _failed(self, caught):
        text = describe(caught)
        self._parent.log("ERROR", "ScriptManager.Timer", "timer '%s' failed\n%s" % (self.name, text))
        return "%s: %s" % (type(caught).__name__, caught)


class Timers(object):
    """All of them, and what the parent asks to be run besides."""

    def __init__(self, settings, project, parent):
        self._project = project
        self._parent = parent
        self._timers = {one["name"]: Timer(one, project, parent) for one in settings["timers"]}
        self._messages = {one["name"]: one for one in settings["messages"]}
        self._shared = Executors.newScheduledThreadPool(1)
        self._own = []

    def start(self, held):
        if held:
            return
        for timer in self._timers.values():
            pool = self._shared
            if not timer.settings["shared_thread"]:
                pool = Executors.newScheduledThreadPool(1)
                self._own.append(pool)
            delay = long(timer.settings["delay_ms"])
            schedule = (
                pool.scheduleWithFixedDelay if timer.settings["fixed_delay"] else pool.scheduleAtFixedRate
            )
            schedule(_Work(timer.scheduled), delay, delay, TimeUnit.MILLISECONDS)

    def stop(self):
        for pool in [self._shared] + self._own:
            pool.shutdown()
        for pool in [self._shared] + self._own:
            pool.awaitTermination(3, TimeUnit.SECONDS)
        System.exit(0)

    def run_now(self, number, name):
        def work():
            if name not in self._timers:
                self._parent.send({"done": number, "error": "no timer is called %r" % str(name)})
                return
            seconds, error = self._timers[name].run()
            self._parent.send({"done": number, "seconds": seconds, "error": error})

        in_thread("timer-order", work)

    def call(self, number, function, arguments):
        def work():
            try:
                value = link.to_json(self._project.function(function)(*arguments))
                self._parent.send({"done": number, "value": value, "error": None})
            except BaseException as caught:
                self._called(number, caught)
            except Throwable as caught:
                self._called(number, caught)

        in_thread("call-order", work)

    def _called(self, number, caught):
        self._parent.log("ERROR", "stand-in.call", describe(caught))
        self._parent.send({"done": number, "error": "%s: %s" % (type(caught).__name__, caught)})

    def message(self, name, payload):
        """A gateway message handler, on a thread of its own; nobody waits for it."""

        def work():
            one = self._messages.get(name)
            if one is None:
                self._parent.log(
                    "WARN", "ScriptManager.Message", "no message handler is called %r" % str(name)
                )
                return
            try:
                self._project.run_body(one["path"])[one["function"]](payload)
            except BaseException as caught:
                self._parent.log("ERROR", "ScriptManager.Message", describe(caught))
            except Throwable as caught:
                self._parent.log("ERROR", "ScriptManager.Message", describe(caught))

        in_thread("message-" + name, work)
