"""The published protobuf schema of Sparkplug B (proto2), as data: messages, fields, numbers and types.

Package and message names are those of the publication, so that errors and other tools name the same things.
"""

from __future__ import annotations

from typing import NamedTuple

PACKAGE = "org.eclipse.tahu.protobuf"


class Field(NamedTuple):
    """One field. `kind` is a protobuf scalar, or a message by its path below the package."""

    number: int
    name: str
    kind: str
    repeated: bool = False
    in_value: bool = False  # one of the alternatives of `oneof value`


def _choices(first: int, *kinds: tuple[str, str]) -> tuple[Field, ...]:
    return tuple(
        Field(number, name, kind, in_value=True) for number, (name, kind) in enumerate(kinds, start=first)
    )


_SCALARS = (
    ("int_value", "uint32"),
    ("long_value", "uint64"),
    ("float_value", "float"),
    ("double_value", "double"),
    ("boolean_value", "bool"),
    ("string_value", "string"),
)

MESSAGES: dict[str, tuple[Field, ...]] = {
    "Payload": (
        Field(1, "timestamp", "uint64"),
        Field(2, "metrics", "Payload.Metric", repeated=True),
        Field(3, "seq", "uint64"),
        Field(4, "uuid", "string"),
        Field(5, "body", "bytes"),
    ),
    "Payload.Metric": (
        Field(1, "name", "string"),
        Field(2, "alias", "uint64"),
        Field(3, "timestamp", "uint64"),
        Field(4, "datatype", "uint32"),
        Field(5, "is_historical", "bool"),
        Field(6, "is_transient", "bool"),
        Field(7, "is_null", "bool"),
        Field(8, "metadata", "Payload.MetaData"),
        Field(9, "properties", "Payload.PropertySet"),
        *_choices(
            10,
            *_SCALARS,
            ("bytes_value", "bytes"),
            ("dataset_value", "Payload.DataSet"),
            ("template_value", "Payload.Template"),
            ("extension_value", "Payload.Metric.MetricValueExtension"),
        ),
    ),
    "Payload.Metric.MetricValueExtension": (),
    "Payload.MetaData": (
        Field(1, "is_multi_part", "bool"),
        Field(2, "content_type", "string"),
        Field(3, "size", "uint64"),
        Field(4, "seq", "uint64"),
        Field(5, "file_name", "string"),
        Field(6, "file_type", "string"),
        Field(7, "md5", "string"),
        Field(8, "description", "string"),
    ),
    "Payload.PropertySet": (
        Field(1, "keys", "string", repeated=True),
        Field(2, "values", "Payload.PropertyValue", repeated=True),
    ),
    "Payload.PropertySetList": (Field(1, "propertyset", "Payload.PropertySet", repeated=True),),
    "Payload.PropertyValue": (
        Field(1, "type", "uint32"),
        Field(2, "is_null", "bool"),
        *_choices(
            3,
            *_SCALARS,
            ("propertyset_value", "Payload.PropertySet"),
            ("propertysets_value", "Payload.PropertySetList"),
            ("extension_value", "Payload.PropertyValue.PropertyValueExtension"),
        ),
    ),
    "Payload.PropertyValue.PropertyValueExtension": (),
    "Payload.DataSet": (
        Field(1, "num_of_columns", "uint64"),
        Field(2, "columns", "string", repeated=True),
        Field(3, "types", "uint32", repeated=True),
        Field(4, "rows", "Payload.DataSet.Row", repeated=True),
    ),
    "Payload.DataSet.Row": (Field(1, "elements", "Payload.DataSet.DataSetValue", repeated=True),),
    "Payload.DataSet.DataSetValue": _choices(
        1, *_SCALARS, ("extension_value", "Payload.DataSet.DataSetValue.DataSetValueExtension")
    ),
    "Payload.DataSet.DataSetValue.DataSetValueExtension": (),
    "Payload.Template": (
        Field(1, "version", "string"),
        Field(2, "metrics", "Payload.Metric", repeated=True),
        Field(3, "parameters", "Payload.Template.Parameter", repeated=True),
        Field(4, "template_ref", "string"),
        Field(5, "is_definition", "bool"),
    ),
    "Payload.Template.Parameter": (
        Field(1, "name", "string"),
        Field(2, "type", "uint32"),
        *_choices(3, *_SCALARS, ("extension_value", "Payload.Template.Parameter.ParameterValueExtension")),
    ),
    "Payload.Template.Parameter.ParameterValueExtension": (),
}
