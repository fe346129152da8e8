"""Tend: look after what time changes. Expiry, deferral, leases, outcomes that are not known yet."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from bridge.agent import verify
from bridge.agent.recommend import Recommender
from bridge.domain.tag import Tag
from bridge.ports import Store, TagLink
from bridge.settings import AgentSettings

log = structlog.get_logger(__name__)


async def tend(
    store: Store,
    recommender: Recommender,
    links: Mapping[str, TagLink],
    tags: Mapping[str, Tag],
    settings: AgentSettings,
) -> frozenset[str]:
    """One round; returns what was due. One query when there is nothing to do."""
    due = await store.due()
    if "settle" in due:
        # A read-back tells old from new only when the write cannot be on its way any more: not before
        # the lease under which it was sent is over.
        await verify.settle(
            store, links, tags, patience_s=settings.lease_s, deadline_s=settings.command_deadline_s
        )
    if "complete" in due:
        await recommender.complete_others()
    if "approved" in due:
        for work_order_id, recommendation_id in await store.hand_to_people():
            log.info("work_order.opened", work_order_id=work_order_id, recommendation_id=recommendation_id)
    done = await store.tend(due)
    if done:
        log.info("tend.done", **done)
    return due
