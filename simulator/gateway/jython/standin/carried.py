# mypy: ignore-errors
"""Values of Perspective on the line to the parent: JSON, with ``{"date": ms}`` and ``{"dataset": ...}``."""

import math

from java.math import BigDecimal, BigInteger
from java.util import UUID, Collection, Date, Map
from org.postgresql.util import PGobject

from standin import datasets, qualities

_DEEPEST = 100


class Wrapper(object):
    """Base of what stands for an object or array of a property tree; ``_plain()`` is its content."""


def to_json(value, where):
    """JSON of a script's value. Raises ``TypeError`` naming ``where`` (file and component) and the type."""
    return _to_json(value, where, 0)


def _to_json(value, where, depth):
    if value is None or isinstance(value, (bool, int, long, unicode)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) or math.isinf(value) else value  # JSON has neither
    if isinstance(value, str):
        return value.decode("utf-8", "replace")
    if isinstance(value, Date):
        return {"date": value.getTime()}
    if isinstance(value, BigInteger) or (isinstance(value, BigDecimal) and value.scale() <= 0):
        return long(value.toString() if isinstance(value, BigInteger) else value.toPlainString())
    if isinstance(value, BigDecimal):
        return value.doubleValue()
    if isinstance(value, PGobject):
        return value.getValue()
    if isinstance(value, UUID):
        return value.toString()
    if depth > _DEEPEST:
        raise TypeError("%s: a value is nested deeper than %d levels" % (where, _DEEPEST))
    if isinstance(value, Wrapper):
        return _to_json(value._plain(), where, depth)
    if isinstance(value, datasets.PyDataSet):
        value = value.getUnderlyingDataset()
    if isinstance(value, datasets.BasicDataset):
        return {"dataset": dataset_to_json(value, where)}
    if isinstance(value, dict):
        return {_key(key): _to_json(one, where, depth + 1) for key, one in value.items()}
    if isinstance(value, Map):
        return {_key(one.getKey()): _to_json(one.getValue(), where, depth + 1) for one in value.entrySet()}
    if isinstance(value, (list, tuple, set, frozenset, Collection, datasets.PyRow)):
        return [_to_json(one, where, depth + 1) for one in value]
    raise TypeError(
        "%s: a property cannot hold a %s; it takes numbers, texts, booleans, dates, datasets, and lists and"
        " dictionaries of them" % (where, _named(value))
    )


def _key(key):
    if isinstance(key, str):
        return key.decode("utf-8", "replace")
    return key if isinstance(key, unicode) else unicode(key)


def _named(value):
    kind = type(value)
    return (
        kind.__name__
        if kind.__module__ in ("__builtin__", "__main__")
        else "%s.%s"
        % (
            kind.__module__,
            kind.__name__,
        )
    )


def dataset_to_json(dataset, where):
    names, types = dataset.getColumnNames(), dataset.getColumnTypes()
    return {
        "columns": [{"name": name, "type": kind or "java.lang.Object"} for name, kind in zip(names, types)],
        "rows": [
            [_to_json(dataset.getValueAt(row, column), where, 1) for column in range(len(names))]
            for row in range(dataset.getRowCount())
        ],
    }


def from_json(value):
    """What a script gets to work with: java.util.Date, dataset, and plain dictionaries and lists."""
    special = scalar(value)
    if special is not value:
        return special
    if isinstance(value, dict):
        return {key: from_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [from_json(one) for one in value]
    return value


def scalar(value):
    """A date or dataset for its JSON; anything else as it is."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    if isinstance(value.get("date"), (int, long)):
        return Date(long(value["date"]))
    inside = value.get("dataset")
    if isinstance(inside, dict) and set(inside) == {"columns", "rows"}:
        columns = inside["columns"]
        rows = [[from_json(one) for one in row] for row in inside["rows"]]
        basic = datasets.BasicDataset(
            [column["name"] for column in columns], [column.get("type") for column in columns], rows
        )
        return datasets.PyDataSet(basic)
    return value


def quality(given):
    """A QualityCode for ``"Bad_Stale"``, ``'Bad_Stale("why")'`` or ``["Bad_Stale", "why"]``."""
    name, diagnostic = given if isinstance(given, list) else (given, None)
    if diagnostic is None and name.endswith('")'):
        name, _, diagnostic = name[:-2].partition('("')
    if not qualities.known(name):  # one of Perspective's own: its level is what scripts ask for
        name, diagnostic = name.partition("_")[0], diagnostic or name
    return qualities.QualityCode(name, diagnostic)


def argument(name, value, kind):
    """An argument of a script: qualified values, a transform's quality; ``event`` with attributes."""
    if kind == "transform" and name == "quality" and value is not None:
        return quality(value)
    if isinstance(value, dict) and list(value) == ["qualified"]:
        inside = value["qualified"]
        if isinstance(inside, dict) and set(inside) == {"value", "quality", "timestamp"}:
            return qualities.QualifiedValue(
                from_json(inside["value"]), quality(inside["quality"]), moment(inside["timestamp"])
            )
    if name == "timestamp" and kind == "transform":
        return moment(value)
    return from_json(value)


def moment(value):
    """A java.util.Date for ``{"date": ms}`` or bare milliseconds."""
    if isinstance(value, (int, long)) and not isinstance(value, bool):
        return Date(long(value))
    return scalar(value)
