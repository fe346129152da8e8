# mypy: ignore-errors
"""Datasets as scripts meet them: a Java-like object with getters, and PyDataSet around it for Python ways.

On 8.1 a named query gives the first, which is neither iterable nor subscriptable; ``system.dataset.toPyDataSet``
and 8.3 give the second. Column names are case-sensitive here; Ignition is not said to be kinder anywhere.
"""

from java.lang import ArrayIndexOutOfBoundsException, IllegalArgumentException


class BasicDataset(object):
    """Rows and named columns. A missing row or column is a Java exception, as in Ignition."""

    def __init__(self, names, types, rows):
        self._names = list(names)
        self._types = list(types)
        self._rows = rows

    def getRowCount(self):
        return len(self._rows)

    def getColumnCount(self):
        return len(self._names)

    def getColumnNames(self):
        return list(self._names)

    def getColumnName(self, column):
        return self._names[self._column(column)]

    def getColumnTypes(self):
        return list(self._types)

    def getColumnType(self, column):
        return self._types[self._column(column)]

    def getColumnIndex(self, name):
        return self._names.index(name) if name in self._names else -1

    def getColumnAsList(self, column):
        place = self._column(column)
        return [row[place] for row in self._rows]

    def getValueAt(self, row, column):
        if not isinstance(row, (int, long)):
            raise TypeError("getValueAt(): 1st arg can't be coerced to int")
        if not 0 <= row < len(self._rows):
            raise ArrayIndexOutOfBoundsException(
                "Index %d out of bounds for length %d" % (row, len(self._rows))
            )
        return self._rows[row][self._column(column)]

    rowCount = property(getRowCount)
    columnCount = property(getColumnCount)
    columnNames = property(getColumnNames)
    columnTypes = property(getColumnTypes)

    def _column(self, column):
        place = self.getColumnIndex(column) if isinstance(column, basestring) else column
        if not isinstance(place, (int, long)):
            raise TypeError("a column is named by its number or its name")
        if not 0 <= place < len(self._names):
            raise ArrayIndexOutOfBoundsException(
                "Index %d out of bounds for length %d (column %r of %s)"
                % (place, len(self._names), column, [str(name) for name in self._names])
            )
        return place

    def toString(self):
        return "Dataset [%dR ? %dC]" % (len(self._rows), len(self._names))

    __str__ = toString
    __repr__ = toString


class PyRow(object):
    """A row by number or by name. Not a dict: no get, no keys of its own."""

    def __init__(self, dataset, number):
        self._dataset = dataset
        self._number = number

    def __getitem__(self, column):
        if isinstance(column, basestring) and self._dataset.getColumnIndex(column) < 0:
            raise KeyError(column)
        if isinstance(column, (int, long)) and column < 0:
            column += self._dataset.getColumnCount()
        if isinstance(column, (int, long)) and not 0 <= column < self._dataset.getColumnCount():
            raise IndexError("row index out of range: %d" % column)
        return self._dataset.getValueAt(self._number, column)

    def __len__(self):
        return self._dataset.getColumnCount()

    def __iter__(self):
        return iter([self._dataset.getValueAt(self._number, i) for i in range(len(self))])

    def __repr__(self):
        return repr(list(self))


class PyDataSet(object):
    """A dataset that can be counted, iterated and subscripted by row."""

    def __init__(self, dataset):
        self._dataset = dataset

    def __len__(self):
        return self._dataset.getRowCount()

    def __iter__(self):
        return iter([PyRow(self._dataset, number) for number in range(len(self))])

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [PyRow(self._dataset, place) for place in range(*number.indices(len(self)))]
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError("index out of range: %d" % number)
        return PyRow(self._dataset, number)

    def __nonzero__(self):
        return len(self) > 0

    def getUnderlyingDataset(self):
        return self._dataset

    underlyingDataset = property(getUnderlyingDataset)

    def __getattr__(self, name):
        if name.startswith("get") or name in ("rowCount", "columnCount", "columnNames", "columnTypes"):
            return getattr(self._dataset, name)
        raise AttributeError("'PyDataSet' object has no attribute %r" % name)

    def __repr__(self):
        return "<PyDataset rows:%d cols:%d>" % (len(self), self._dataset.getColumnCount())


def to_py(dataset):
    """``system.dataset.toPyDataSet``."""
    if isinstance(dataset, PyDataSet):
        return dataset
    if not isinstance(dataset, BasicDataset):
        raise TypeError("toPyDataSet(): 1st arg can't be coerced to Dataset")
    return PyDataSet(dataset)


def to_dataset(headers, rows=None):
    """``system.dataset.toDataSet(headers, data)`` or ``toDataSet(pyDataSet)``."""
    if rows is None:
        if not isinstance(headers, PyDataSet):
            raise TypeError("toDataSet(): 1st arg can't be coerced to PyDataSet")
        return headers.getUnderlyingDataset()
    copied = [list(row) for row in rows]
    for number, row in enumerate(copied):
        if len(row) != len(headers):
            raise IllegalArgumentException(
                "row %d has %d values for %d headers" % (number, len(row), len(headers))
            )
    return BasicDataset(headers, [None] * len(headers), copied)


def read(results):
    """All rows of a java.sql.ResultSet, values as the driver gives them."""
    meta = results.getMetaData()
    count = range(1, meta.getColumnCount() + 1)
    names = [meta.getColumnLabel(number) for number in count]
    types = [meta.getColumnClassName(number) for number in count]
    rows = []
    while results.next():
        rows.append([results.getObject(number) for number in count])
    return BasicDataset(names, types, rows)
