"""Connections that can be cut while a thread waits on them: at a deadline, or when nobody wants the answer any more.

A thread that waits for bytes cannot be told to stop, and a server that sends one now and then keeps it for ever. Its
socket can be shut down: then it fails at once, and the thread is free.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_here = threading.local()


class Work:
    """One request of one thread, as another thread may cut it."""

    def __init__(self) -> None:
        self.was_cut = False
        self._lock = threading.Lock()
        self._wire: socket.socket | None = None  # our own handle: TLS takes the first one away

    def takes(self, wire: socket.socket) -> None:
        """From now on it works on this connection; on none any more, when it was cut before."""
        with self._lock:
            self._let_go()
            if (number := wire.fileno()) < 0:
                return  # closed already; whoever uses it next will say so
            self._wire = socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM)
            if self.was_cut:
                self._shut()

    def cut(self) -> None:
        """Whoever waits on it fails at once. Nothing happens when it is over already."""
        with self._lock:
            self.was_cut = True
            self._shut()

    def over(self) -> None:
        """The connection may serve others now."""
        with self._lock:
            self._let_go()

    def _shut(self) -> None:
        if self._wire is not None:
            with contextlib.suppress(OSError):  # the other side was faster
                self._wire.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


@contextmanager
def doing(work: Work) -> Iterator[None]:
    """Connections that this thread takes within the block are this work's."""
    before = getattr(_here, "work", None)
    _here.work = work
    try:
        yield
    finally:
        _here.work = before


@contextmanager
def within(limit_s: float) -> Iterator[Work]:
    """The work that this thread does already, whose limit is kept elsewhere; else one that is cut after `limit_s`."""
    given = getattr(_here, "work", None)
    if isinstance(given, Work):
        yield given
        return
    work = Work()
    alarm = threading.Timer(min(limit_s, threading.TIMEOUT_MAX), work.cut)
    alarm.daemon = True
    alarm.start()
    try:
        yield work
    finally:
        alarm.cancel()
        work.over()


def _taken(wire: socket.socket) -> socket.socket:
    work = getattr(_here, "work", None)
    if isinstance(work, Work):
        work.takes(wire)
    return wire


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _taken(super()._new_conn())

    def request(self, *what: Any, **how: Any) -> None:
        if self.sock is not None:
            _taken(self.sock)
        super().request(*what, **how)


class _Secure(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _taken(super()._new_conn())

    def request(self, *what: Any, **how: Any) -> None:
        if self.sock is not None:
            _taken(self.sock)
        super().request(*what, **how)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class CuttableAdapter(HTTPAdapter):
    """Takes its connections from pools whose connections can be cut, through a proxy as well."""

    def init_poolmanager(self, *what: Any, **how: Any) -> None:
        """See `HTTPAdapter`."""
        super().init_poolmanager(*what, **how)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **how: Any) -> ProxyManager:
        """See `HTTPAdapter`."""
        manager: ProxyManager = super().proxy_manager_for(proxy, **how)
        manager.pool_classes_by_scheme = _POOLS
        return manager
