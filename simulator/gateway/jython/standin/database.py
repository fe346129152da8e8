# mypy: ignore-errors
"""Database connections as the gateway keeps them: a small pool per name, over the real JDBC driver."""

from java.lang import Exception as JavaException
from java.lang import System
from java.sql import Connection, SQLException
from java.util import UUID, Properties
from java.util.concurrent import ConcurrentHashMap, ConcurrentLinkedDeque, Executor, Semaphore, TimeUnit
from org.postgresql import Driver

MAX_ACTIVE = 8  # Ignition's own default for a new connection
MAX_WAIT_MS = 5000
_NOBODY = "jdbc:postgresql://127.0.0.1:1/"  # nobody listens on port 1: the driver says what it says then


class _AtOnce(Executor):
    """Connection.abort wants somebody to do the work; it is done on the spot."""

    def execute(self, work):
        work.run()


class Source(object):
    """One named connection. ``borrow`` checks what it hands out, as testOnBorrow does."""

    def __init__(self, name, settings):
        self.name = name
        self._url = settings["url"]
        self._properties = Properties()
        for key, value in settings["properties"].items():
            self._properties.setProperty(key, value)
        self._idle = ConcurrentLinkedDeque()
        self._open = ConcurrentHashMap()
        self._slots = Semaphore(MAX_ACTIVE)
        self._driver = Driver()
        self._up = True

    def borrow(self):
        if not self._slots.tryAcquire(MAX_WAIT_MS, TimeUnit.MILLISECONDS):
            raise SQLException(
                "Cannot get a connection, pool error Timeout waiting for idle object (%s: %d in use)"
                % (self.name, MAX_ACTIVE)
            )
        try:
            while True:
                connection = self._idle.pollFirst()
                if connection is None:
                    break
                if self._answers(connection):
                    return connection
                self._drop(connection)
            connection = self._driver.connect(self._url if self._up else _NOBODY, self._properties)
            self._open.put(connection, True)
            return connection
        except BaseException:
            self._slots.release()
            raise
        except JavaException:
            self._slots.release()
            raise

    def give_back(self, connection):
        try:
            if connection.isClosed() or not self._up:
                self._drop(connection)
            else:
                self._idle.addFirst(connection)
        finally:
            self._slots.release()

    def set_up(self, up):
        """Down: everything open is cut in the middle of what it does, and nothing new can be had."""
        self._up = up
        if not up:
            for connection in list(self._open.keySet()):
                self._open.remove(connection)
                connection.abort(_AtOnce())

    def _answers(self, connection):
        try:
            statement = connection.createStatement()
            try:
                statement.execute("SELECT 1")
            finally:
                statement.close()
            return True
        except SQLException:
            return False

    def _drop(self, connection):
        self._open.remove(connection)
        try:
            connection.close()
        except SQLException:
            pass  # it was broken; that is why it goes


class Transaction(object):
    """A connection that stays with its number until closed, or until nobody used it for its timeout."""

    def __init__(self, source, connection, timeout_ms):
        self.source = source
        self.connection = connection
        self._timeout_ms = timeout_ms
        self.used_ms = System.currentTimeMillis()

    def late(self):
        return System.currentTimeMillis() - self.used_ms > self._timeout_ms


class Sources(object):
    """All named connections and the transactions open on them."""

    def __init__(self, settings):
        self._sources = {name: Source(name, one) for name, one in settings.items()}
        self._transactions = ConcurrentHashMap()

    def set_up(self, up):
        for source in self._sources.values():
            source.set_up(up)

    def connect(self):
        """A connection for each, as a gateway has that shows whether its databases are there."""
        for source in self._sources.values():
            try:
                source.give_back(source.borrow())
            except SQLException:
                pass  # whoever needs it hears of it

    def source(self, name):
        if name not in self._sources:
            raise JavaException('Datasource "%s" does not exist in this Gateway.' % name)
        return self._sources[name]

    def begin(self, name, isolation, timeout_ms):
        source = self.source(name)
        connection = source.borrow()
        connection.setTransactionIsolation(isolation)
        connection.setAutoCommit(False)
        number = UUID.randomUUID().toString()
        self._transactions.put(number, Transaction(source, connection, timeout_ms))
        return number

    def transaction(self, number):
        found = self._transactions.get(number)
        if found is None:
            raise JavaException('Transaction "%s" does not exist or timed out.' % number)
        if found.late():
            self.close(number)
            raise JavaException('Transaction "%s" does not exist or timed out.' % number)
        found.used_ms = System.currentTimeMillis()
        return found

    def commit(self, number):
        self.transaction(number).connection.commit()

    def rollback(self, number):
        self.transaction(number).connection.rollback()

    def close(self, number):
        found = self._transactions.remove(number)
        if found is None:
            return
        try:
            if not found.connection.isClosed():
                found.connection.rollback()
                found.connection.setAutoCommit(True)
                found.connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED)
        finally:
            found.source.give_back(found.connection)

    def run(self, name, transaction, sql, bind, work):
        """Prepare, let ``bind`` set the parameters, let ``work`` execute; the connection goes back in any case."""
        if transaction is not None:
            return _with_statement(self.transaction(transaction).connection, sql, bind, work)
        source = self.source(name)
        connection = source.borrow()
        try:
            return _with_statement(connection, sql, bind, work)
        finally:
            source.give_back(connection)


def _with_statement(connection, sql, bind, work):
    statement = connection.prepareStatement(sql)
    try:
        bind(statement)
        return work(statement)
    finally:
        statement.close()
