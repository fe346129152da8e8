# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Rows out of what a named query returns. A Dataset is no list of dicts, and on 8.1 not even iterable."""

from numbers import Real


def rows(dataset):
	# type: (object) -> list
	"""The rows of a Dataset as dicts by column name; works alike on 8.1 and 8.3."""
	names = [str(name) for name in dataset.getColumnNames()]
	return [
		dict((name, _plain(dataset.getValueAt(row, column))) for column, name in enumerate(names))
		for row in range(dataset.getRowCount())
	]


def _plain(value):
	# type: (object) -> object
	"""A java.math.BigDecimal, which is how JDBC brings a `numeric`, compares with no Python number."""
	if not isinstance(value, Real) and hasattr(value, "doubleValue"):
		return value.doubleValue()
	return value
