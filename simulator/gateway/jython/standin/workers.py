# mypy: ignore-errors
"""Threads for scripts and queries: so many work at once, the rest wait in line."""

from java.lang import Runnable, Thread
from java.util.concurrent import LinkedBlockingQueue, ThreadFactory, ThreadPoolExecutor, TimeUnit
from java.util.concurrent.locks import ReentrantLock

WORKERS = 8
_MOST = 256


class _Work(Runnable):
    def __init__(self, work):
        self._work = work

    def run(self):
        self._work()


class _Daemons(ThreadFactory):
    def __init__(self, name):
        self._name = name

    def newThread(self, work):
        thread = Thread(work, self._name)
        thread.setDaemon(True)
        return thread


class Workers(object):
    """A pool whose size grows by one while one of its threads waits for work that may come back to it."""

    def __init__(self, name, count=WORKERS):
        self._pool = ThreadPoolExecutor(
            count, _MOST, 10, TimeUnit.SECONDS, LinkedBlockingQueue(), _Daemons(name)
        )
        self._lock = ReentrantLock()

    def submit(self, work):
        self._pool.execute(_Work(work))

    def elsewhere(self):
        """``with workers.elsewhere():`` around the waiting; without it eight scripts could wait for a ninth."""
        return _Elsewhere(self)

    def resize(self, step):
        self._lock.lock()
        try:
            self._pool.setCorePoolSize(min(self._pool.getCorePoolSize() + step, _MOST))
        finally:
            self._lock.unlock()


class _Elsewhere(object):
    def __init__(self, workers):
        self._workers = workers

    def __enter__(self):
        self._workers.resize(1)

    def __exit__(self, *error):
        self._workers.resize(-1)
