# mypy: ignore-errors
"""Is every limit kept, to the last digit and no further?"""

from __future__ import unicode_literals

from bridge import limits

LIMITS = {
    "low": 100.0,
    "high": 800.0,
    "max_step": 300.0,
    "min_interval_s": 60.0,
    "max_writes_per_hour": 20,
    "max_age_s": 30.0,
}
NAN = float("nan")

# value, present, age, since last write, writes in the last hour, other limits -> code
TABLE = [
    (405.0, 450.0, 1.0, None, 0, {}, None),
    (100.0, 350.0, 1.0, None, 0, {}, None),
    (99.999, 350.0, 1.0, None, 0, {}, "out_of_range"),
    (800.0, 550.0, 1.0, None, 0, {}, None),
    (800.001, 550.0, 1.0, None, 0, {}, "out_of_range"),
    (NAN, 550.0, 1.0, None, 0, {}, "wrong_type"),
    (float("inf"), 550.0, 1.0, None, 0, {}, "wrong_type"),
    (None, 550.0, 1.0, None, 0, {}, "wrong_type"),
    (True, 550.0, 1.0, None, 0, {}, "wrong_type"),
    (405.0, 450.0, 30.0, None, 0, {}, None),
    (405.0, 450.0, 30.1, None, 0, {}, "reading_too_old"),
    (150.0, 450.0, 1.0, None, 0, {}, None),
    (149.9, 450.0, 1.0, None, 0, {}, "step_too_large"),
    (750.1, 450.0, 1.0, None, 0, {}, "step_too_large"),
    (100.0, 800.0, 1.0, None, 0, {"max_step": None}, None),
    (405.0, 450.0, 1.0, 60.0, 0, {}, None),
    (405.0, 450.0, 1.0, 59.9, 0, {}, "too_soon"),
    (405.0, 450.0, 1.0, None, 19, {}, None),
    (405.0, 450.0, 1.0, None, 20, {}, "too_many_writes"),
]


def it_names_the_limit_that_is_not_kept():
    for value, present, age_s, since_s, writes, other, code in TABLE:
        found = limits.checkWrite("T", value, "kg/h", dict(LIMITS, **other), present, age_s, since_s, writes)
        assert (None if found is None else found.code) == code, (
            value,
            present,
            age_s,
            since_s,
            writes,
            found,
        )


def it_says_to_a_person_what_was_wanted_and_what_was_found():
    found = limits.checkWrite("[default]R/T", 900.0, "\u00b0C", LIMITS, 800.0, 1.0, None, 0)
    assert found.reason == "[default]R/T: 900 \u00b0C is outside 100 to 800 \u00b0C", found.reason
