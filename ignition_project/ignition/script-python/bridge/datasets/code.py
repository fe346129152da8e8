# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Rows out of what a named query or a binding hands over, in plain dicts, lists and numbers.

A Dataset is no list of dicts, and on 8.1 not even iterable; a property of a view is a wrapper of Perspective's.
"""

from numbers import Real


def rows(dataset):
	# type: (object) -> list
	"""The rows of a Dataset as dicts by column name; works alike on 8.1 and 8.3."""
	names = [str(name) for name in dataset.getColumnNames()]
	return [
		dict((name, _plain(dataset.getValueAt(row, column))) for column, name in enumerate(names))
		for row in range(dataset.getRowCount())
	]


def plain(value):
	# type: (object) -> object
	"""What a binding hands to a script, free of wrappers; a time becomes milliseconds since 1970."""
	if value is None or isinstance(value, (bool, Real, str, type(u""))):
		return value
	if hasattr(value, "doubleValue"):
		return value.doubleValue()
	if hasattr(value, "getTime"):
		return value.getTime()
	if hasattr(value, "getColumnNames"):
		return [plain(row) for row in rows(value)]
	if hasattr(value, "keys"):
		return dict((u"%s" % (key,), plain(value[key])) for key in list(value.keys()))
	if hasattr(value, "__iter__") or hasattr(value, "__getitem__"):
		return [plain(each) for each in value]
	return u"%s" % (value,)


def _plain(value):
	# type: (object) -> object
	"""A java.math.BigDecimal, which is how JDBC brings a `numeric`, compares with no Python number."""
	if not isinstance(value, Real) and hasattr(value, "doubleValue"):
		return value.doubleValue()
	return value
