"""Functions of Databricks SQL that this stand-in knows: each has its like in PostgreSQL or in functions.sql."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp

from simulator.workspace.warehouse.errors import Refused, no_such_routine, not_simulated


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


AGGREGATES: Final = _words(
    """
        count sum avg mean min max any_value bool_and bool_or every some stddev stddev_pop stddev_samp std
        variance var_pop var_samp corr count_if string_agg listagg max_by min_by first last median
        percentile approx_count_distinct collect_list
        """
)
_SAME: Final = _words(
    """
        count sum avg min max any_value bool_and bool_or every stddev stddev_pop stddev_samp variance
        var_pop var_samp corr count_if string_agg row_number rank dense_rank percent_rank cume_dist ntile
        lag lead first_value last_value nth_value abs ceil ceiling floor sqrt exp ln log10 log2 power sign
        round degrees radians sin cos tan asin acos atan atan2 pi pmod try_divide rand coalesce nullif
        greatest least nvl nvl2 ifnull isnull isnotnull equal_null lower upper length char_length
        character_length replace reverse lpad rpad ltrim rtrim btrim left right repeat md5 initcap ascii chr
        translate split_part starts_with startswith endswith contains instr locate charindex concat
        concat_ws substring_index regexp_replace regexp_extract regexp_like space sha2 hex base64 uuid
        raise_error now date_trunc timestampadd timestampdiff date_add date_sub datediff add_months last_day
        unix_timestamp unix_seconds unix_millis unix_micros timestamp_seconds timestamp_millis
        timestamp_micros from_utc_timestamp to_utc_timestamp current_timezone get_json_object grouping
        """
)
_OTHER_NAME: Final = {
    "mean": "avg",
    "some": "bool_or",
    "std": "stddev",
    "pow": "power",
    "ucase": "upper",
    "lcase": "lower",
    "len": "length",
    "char": "chr",
    "random": "rand",
    "listagg": "string_agg",
    "timestamp_diff": "timestampdiff",
    "dateadd": "date_add",
    "date_diff": "datediff",
    "to_unix_timestamp": "unix_timestamp",
    "curdate": "current_date",
    "getdate": "now",
    "sysdate": "now",
    "mod": "rem_",
    "substr": "substr_",
    "substring": "substr_",
}
_CASTS: Final = {
    "string": "string",
    "int": "int",
    "bigint": "bigint",
    "smallint": "smallint",
    "tinyint": "tinyint",
    "double": "double",
    "float": "float",
    "boolean": "boolean",
    "timestamp": "timestamp",
    "date": "date",
    "decimal": "decimal(10,0)",
}
_PARTS: Final = {
    "year": "year",
    "month": "month",
    "day": "day",
    "dayofmonth": "day",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "quarter": "quarter",
    "weekofyear": "week",
    "dayofyear": "doy",
}
_UNITS: Final = _words(
    """
        microsecond millisecond second minute hour day dayofyear week month quarter year
        """
)
_PATTERN: Final = {
    "yyyy": "YYYY",
    "yy": "YY",
    "y": "YYYY",
    "MMMM": "FMMonth",
    "MMM": "Mon",
    "MM": "MM",
    "M": "FMMM",
    "dd": "DD",
    "d": "FMDD",
    "HH": "HH24",
    "H": "FMHH24",
    "hh": "HH12",
    "h": "FMHH12",
    "mm": "MI",
    "m": "FMMI",
    "ss": "SS",
    "s": "FMSS",
    "SSS": "MS",
    "SSSSSS": "US",
    "a": "AM",
    "EEEE": "FMDay",
    "EEE": "Dy",
    "E": "Dy",
    "DDD": "DDD",
    "XXX": "TZH:TZM",
}
_PIECES: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")


def function(node: exp.Anonymous, context: Callable[[str], str]) -> exp.Expr:
    """The call as PostgreSQL runs it, its arguments written already. Raises ``Refused`` for what is not known.

    ``context`` gives ``catalog`` and ``schema`` of the session.
    """
    name = str(node.this).lower()
    arguments = list(node.expressions)
    if (special := _SPECIAL.get(name)) is not None:
        return special(name, arguments, context)
    if name in _CASTS:
        return exp.cast(_one(name, arguments), _CASTS[name], dialect="databricks")
    if name in _PARTS:
        return _call("part_", exp.Literal.string(_PARTS[name]), _one(name, arguments))
    if name in ("date_add", "dateadd", "datediff", "date_diff") and len(arguments) == 3:
        name = "timestampadd" if name in ("date_add", "dateadd") else "timestampdiff"
    if name in ("timestampadd", "timestampdiff", "timestamp_diff"):
        arguments[0] = _unit(name, arguments)
    if name in ("uuid", "rand", "random", "now", "getdate") and arguments:
        raise not_simulated(f"{name}() with arguments")
    if name in ("concat", "concat_ws"):
        arguments = [as_text(one) for one in arguments]
    name = _OTHER_NAME.get(name, name)
    if name not in _SAME and name not in _OTHER_NAME.values():
        raise no_such_routine(str(node.this))
    return _call(name, *arguments)


def pattern(java: str) -> str:
    """A pattern of date_format as to_char wants it. Raises ``Refused`` for letters that are not known here."""
    written = []
    for match in _PIECES.finditer(java):
        quoted, letter, whole = match[1], match[2], match[0]
        if quoted is not None:
            written.append('"' + (quoted.replace("''", "'") or "'") + '"')
        elif letter is None:
            written.append(whole)
        elif whole in _PATTERN:
            written.append(_PATTERN[whole])
        else:
            raise not_simulated(f"the letters {whole!r} in a date pattern")
    return "".join(written)


def as_text(node: exp.Expr) -> exp.Expr:
    """Any value as Databricks writes it in text."""
    return node if isinstance(node, exp.Literal) and node.is_string else _call("to_string", node)


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _one(name: str, arguments: list[exp.Expr]) -> exp.Expr:
    if len(arguments) != 1:
        raise _arity(name, "1", arguments)
    return arguments[0]


def _arity(name: str, wanted: str, arguments: list[exp.Expr]) -> Refused:
    return Refused(
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        "42605",
        f"The `{name}` requires {wanted} parameters but the actual number is {len(arguments)}.",
    )


def _unit(name: str, arguments: list[exp.Expr]) -> exp.Expr:
    if len(arguments) != 3:
        raise _arity(name, "3", arguments)
    word = arguments[0].name.lower()
    if word not in _UNITS:
        raise Refused(
            "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
            "22023",
            f"The value of parameter(s) `unit` in `{name}` is invalid: expects one of the units without quotes "
            f"{', '.join(sorted(_UNITS)).upper()}, but got the string literal '{arguments[0].name}'.",
        )
    return exp.Literal.string(word)


def _text(name: str, node: exp.Expr) -> exp.Expr:
    if not isinstance(node, exp.Literal):
        raise not_simulated(f"{name} with a pattern that is not written out")
    return exp.Literal.string(pattern(node.name))


_Special = Callable[[str, list[exp.Expr], Callable[[str], str]], exp.Expr]


def _date_format(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    if len(arguments) != 2:
        raise _arity(name, "2", arguments)
    return _call("to_char", _call("to_instant", arguments[0]), _text(name, arguments[1]))


def _read_time(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    """to_timestamp, to_date and unix_timestamp with or without a pattern."""
    if not arguments:
        if name == "unix_timestamp":
            return _call("unix_timestamp")
        raise _arity(name, "1, 2", arguments)
    if len(arguments) == 1:
        if name == "unix_timestamp":
            return _call("unix_timestamp", arguments[0])
        return exp.cast(arguments[0], "date" if name == "to_date" else "timestamp", dialect="databricks")
    moment = _call("pg_catalog.to_timestamp", arguments[0], _text(name, arguments[1]))
    if name == "unix_timestamp":
        return _call("unix_timestamp", moment)
    return exp.cast(moment, "date", dialect="databricks") if name == "to_date" else moment


def _from_unixtime(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    if not 1 <= len(arguments) <= 2:
        raise _arity(name, "1, 2", arguments)
    shape = _text(name, arguments[1]) if len(arguments) == 2 else exp.Literal.string("YYYY-MM-DD HH24:MI:SS")
    return _call("to_char", _call("timestamp_seconds", arguments[0]), shape)


def _session(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    if name in ("current_timestamp", "localtimestamp"):
        return exp.CurrentTimestamp()
    if name in ("current_date", "curdate"):
        return exp.CurrentDate()
    return exp.Literal.string(
        context("schema" if name in ("current_schema", "current_database") else name[8:])
    )


def _json(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    node = _one(name, arguments)
    if isinstance(node, exp.Anonymous) and str(node.this) == "json_build_object":
        return _call("to_json_", node)
    raise not_simulated("to_json of anything but named_struct(…) and map(…)")


def _struct(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    if len(arguments) % 2:
        raise _arity(name, "2n (n > 0)", arguments)
    return _call("json_build_object", *arguments)


def _by(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    """max_by(x, y): the x of the greatest y."""
    if len(arguments) != 2:
        raise _arity(name, "2", arguments)
    order = exp.Ordered(this=arguments[1], desc=name == "max_by", nulls_first=False)
    gathered = exp.ArrayAgg(this=exp.Order(this=arguments[0], expressions=[order]))
    kept = exp.Filter(
        this=gathered,
        expression=exp.Where(this=exp.Not(this=exp.Is(this=arguments[1].copy(), expression=exp.null()))),
    )
    return exp.Bracket(this=exp.Paren(this=kept), expressions=[exp.Literal.number(1)], offset=1)


def _median(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    share: exp.Expr = exp.Literal.number("0.5")
    if name != "median":
        if len(arguments) != 2:
            raise _arity(name, "2", arguments)
        share = arguments.pop()
    order = exp.Order(expressions=[exp.Ordered(this=_one(name, arguments), nulls_first=False)])
    return exp.WithinGroup(this=_call("percentile_cont", share), expression=order)


def _known_elsewhere(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    raise not_simulated(f"the function {name}")


def _distinct(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    return _call("count", exp.Distinct(expressions=[_one(name, arguments)]))


def _trim(name: str, arguments: list[exp.Expr], context: Callable[[str], str]) -> exp.Expr:
    return _call("btrim", _one(name, arguments))


_SPECIAL: Final[dict[str, _Special]] = {
    "date_format": _date_format,
    **dict.fromkeys(("to_timestamp", "to_date", "unix_timestamp", "to_unix_timestamp"), _read_time),
    "from_unixtime": _from_unixtime,
    **dict.fromkeys(
        _words(
            """
        current_timestamp localtimestamp current_date curdate current_catalog current_schema
        current_database current_user current_version
        """
        ),
        _session,
    ),
    "to_json": _json,
    "named_struct": _struct,
    "map": _struct,
    "max_by": _by,
    "min_by": _by,
    "median": _median,
    "percentile": _median,
    "percentile_approx": _median,
    "trim": _trim,
    "approx_count_distinct": _distinct,
    **dict.fromkeys(
        _words(
            """
        from_json parse_json try_parse_json schema_of_json variant_get explode explode_outer posexplode
        array struct map_from_entries map_from_arrays collect_list collect_set array_agg element_at size
        cardinality sort_array array_contains transform filter aggregate split sequence flatten slice
        try_add try_subtract typeof crc32 hash xxhash64 decode encode unhex unbase64 format_string printf
        format_number to_char to_number window session_window input_file_name monotonically_increasing_id
        ai_query http_request read_files make_date make_timestamp months_between next_day trunc date_part
        extract dayofweek weekday first last kurtosis skewness regr_slope histogram_numeric
        approx_percentile bround factorial conv bin soundex levenshtein overlay find_in_set elt json_tuple
        json_array_length json_object_keys to_csv from_csv to_variant_object stack inline assert_true sha
        sha1 try_to_timestamp try_to_number date_from_unix_date unix_date
        """
        ),
        _known_elsewhere,
    ),
}
