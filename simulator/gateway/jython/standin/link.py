# mypy: ignore-errors
"""The line to the parent: one JSON object a line, questions with a number, answers with the same."""

import json

from java.io import BufferedReader, FileDescriptor, FileInputStream, FileOutputStream, InputStreamReader
from java.lang import Exception as JavaException
from java.lang import String
from java.util import Date
from java.util.concurrent import ConcurrentHashMap, LinkedBlockingQueue, TimeUnit
from java.util.concurrent.atomic import AtomicLong
from java.util.concurrent.locks import ReentrantLock


class Link(object):
    """Reads on one thread (``orders``), writes from any."""

    def __init__(self):
        self._in = BufferedReader(InputStreamReader(FileInputStream(getattr(FileDescriptor, "in")), "UTF-8"))
        self._out = FileOutputStream(FileDescriptor.out)
        self._lock = ReentrantLock()
        self._number = AtomicLong()
        self._waiting = ConcurrentHashMap()

    def first_line(self):
        return json.loads(self._in.readLine())

    def send(self, message):
        line = String(json.dumps(message) + "\n").getBytes("UTF-8")
        self._lock.lock()
        try:
            self._out.write(line)
            self._out.flush()
        finally:
            self._lock.unlock()

    def log(self, level, logger, text):
        self.send({"log": [level, logger, text]})

    def ask(self, what, timeout_ms, silent=None, **fields):
        """The parent's answer; ``silent`` when none came in time. Raises a Java exception when it refuses."""
        number = self._number.incrementAndGet()
        box = LinkedBlockingQueue()
        self._waiting.put(number, box)
        try:
            self.send(dict(fields, ask=what, id=number))
            answer = box.poll(timeout_ms, TimeUnit.MILLISECONDS)
        finally:
            self._waiting.remove(number)
        if answer is None:
            return silent
        if "refused" in answer:
            raise JavaException(answer["refused"])
        return answer["answer"]

    def orders(self):
        """Orders of the parent until it says stop or goes away; answers are delivered on the way."""
        while True:
            line = self._in.readLine()
            if line is None:
                return
            message = json.loads(line)
            if message["do"] == "stop":
                return
            if message["do"] != "answer":
                yield message
                continue
            box = self._waiting.get(long(message["id"]))
            if box is not None:
                box.put(message)


class Printed(object):
    """Where ``print`` goes: the gateway's log, as in Ignition, never the line to the parent."""

    softspace = 0
    encoding = "utf-8"

    def __init__(self, parent, logger):
        self._parent = parent
        self._logger = logger
        self._rest = ""

    def write(self, text):
        if not isinstance(text, unicode):
            text = text.decode("utf-8", "replace")
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._parent.log("INFO", self._logger, line)

    def flush(self):
        pass


def to_json(value):
    """A script's value on its way to a tag. Raises ``TypeError`` for what no tag holds."""
    if value is None or isinstance(value, (bool, int, long, float, unicode)):
        return value
    if isinstance(value, str):
        return value.decode("utf-8")
    if isinstance(value, Date):
        return {"date": value.getTime()}
    if hasattr(value, "doubleValue"):
        return value.doubleValue()
    raise TypeError(
        "a tag cannot hold a %s; the stand-in takes numbers, texts, booleans and dates" % type(value)
    )


def from_json(value):
    if isinstance(value, dict):
        return Date(long(value["date"]))
    return value
