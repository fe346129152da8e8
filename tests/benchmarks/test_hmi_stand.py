"""Does the HMI's benchmark count what the views ask, and read the polling interval where the views say it?"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hmi_stand import StatementLog, most_within, polling_s
from benchmarks.stand import Failed

LOG = """2026-01-01 00:00:00.100 UTC [7] LOG:  execute <unnamed>: SELECT 1
2026-01-01 00:00:00.101 UTC [7] LOG:  execute <unnamed>: select a
\tfrom b
2026-01-01 00:00:00.101 UTC [7] DETAIL:  parameters: $1 = ''
2026-01-01 00:00:00.350 UTC [8] LOG:  statement: select pg_reload_conf()
2026-01-01 00:00:01.601 UTC [8] LOG:  execute S_1: with c as (select 1) select * from c
2026-01-01 00:00:02.000 UTC [8] LOG:  execute <unnamed>: SET extra_float_digits = 3
"""


def test_only_the_views_queries_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_text("2026-01-01 00:00:00.000 UTC [7] LOG:  execute <unnamed>: select before\n", "utf-8")
    log = StatementLog(file)
    since = log.size()
    with file.open("a", encoding="utf-8") as more:
        more.write(LOG)
    first, second = log.asked_s(since)
    assert second - first == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("moments_s", "most"),
    [([], 0), ([1.0], 1), ([0.0, 2.0, 4.0], 1), ([0.0, 0.1, 0.2, 2.0], 3), ([0.0, 1.0, 1.5, 2.5, 2.6], 4)],
)
def test_the_most_in_any_interval(moments_s: list[float], most: int) -> None:
    assert most_within(moments_s, 2.0) == most


def test_the_polling_interval_is_the_views_own() -> None:
    assert polling_s("Pages/Recommendations", "Recommendations/pageOfOpen") > 0
    with pytest.raises(Failed, match=r"view\.json polls no Nobody/here"):
        polling_s("Pages/Recommendations", "Nobody/here")
