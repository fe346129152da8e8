-- The six contract tables. The columns above "ours" are relied on by existing users; inserts that give
-- only those must keep working, so everything of ours has a default or may be null.

create sequence sensor_reading_number as bigint;

create table sensor_data (
    sensor_id text,
    equipment_id text not null,
    temperature double precision, -- °C
    pressure double precision,    -- bar
    flow_rate double precision,   -- l/min
    sensor_status text not null default 'active',
    timestamp timestamptz not null default now(), -- when the source says the value arose
    recorded_by text not null default current_user,
    -- ours
    reading_id bigint not null default nextval('sensor_reading_number'),
    signals jsonb, -- any further signal: {"name": number or boolean}
    quality text not null default 'good' check (quality in ('good', 'uncertain', 'bad')),
    source_status text, -- the source's own word for the quality
    replayed boolean not null default false,
    received_timestamp timestamptz not null default now(),
    -- Set for rows that others insert, null for the bridge's own: the agent reads others' rows in the
    -- order of their transactions, so that a slow transaction's rows are never skipped.
    external_xid xid8 default pg_current_xact_id(),
    primary key (timestamp, reading_id)
) partition by range (timestamp);

alter sequence sensor_reading_number owned by sensor_data.reading_id;

-- Anything outside the prepared days, so that no reading is ever refused for its date.
create table sensor_data_other_days partition of sensor_data default;

create index sensor_data_by_equipment on sensor_data (equipment_id, timestamp desc);
create index sensor_data_from_others on sensor_data (external_xid, reading_id) where external_xid is not null;

create sequence recommendation_number as bigint;

create table agent_recommendations (
    recommendation_id text primary key default 'R-' || nextval('recommendation_number'),
    equipment_id text not null,
    issue_type text not null,
    severity text not null default 'medium' check (severity in ('low', 'medium', 'high', 'critical')),
    temperature_reading double precision, -- °C
    pressure_reading double precision,    -- bar
    flow_rate_reading double precision,   -- l/min
    root_cause_analysis text,
    recommended_action text,
    confidence_score double precision check (confidence_score between 0 and 1),
    status text not null default 'pending' check (status in (
        'pending', 'approved', 'deferred', 'rejected', 'executing', 'executed', 'failed', 'expired', 'superseded'
    )),
    created_timestamp timestamptz not null default now(),
    created_by_agent text not null default current_user,
    approved_timestamp timestamptz,
    approved_by_operator text,
    operator_notes text,
    rejected_timestamp timestamptz,
    executed_timestamp timestamptz,
    execution_result text,
    -- ours
    proposed_writes jsonb not null default '[]', -- [{"tag_path", "from", "to", "unit"}], the exact writes
    write_digest text not null default '',       -- SHA-256 over proposed_writes::text, kept by trigger
    expected_outcome text,
    evidence jsonb not null default '{}',
    source text not null default 'external',     -- rules, genie, llm, pipeline, or external
    expires_at timestamptz not null default now() + interval '30 minutes',
    defer_until timestamptz,
    rejection_reason text,
    decided_by_operator text,                    -- who rejected or deferred; approvals name their own
    approvals_required integer not null default 1 check (approvals_required between 1 and 5),
    updated_timestamp timestamptz not null default now()
);

alter sequence recommendation_number owned by agent_recommendations.recommendation_id;

create unique index one_open_recommendation_per_equipment_and_issue
    on agent_recommendations (equipment_id, issue_type)
    where status in ('pending', 'deferred', 'approved', 'executing');
create index agent_recommendations_by_status on agent_recommendations (status, created_timestamp);
create index agent_recommendations_by_equipment on agent_recommendations (equipment_id, issue_type, created_timestamp desc);

create sequence command_number as bigint;

create table agent_commands (
    command_id text primary key default 'C-' || nextval('command_number'),
    recommendation_id text not null references agent_recommendations,
    equipment_id text not null,
    tag_path text not null,
    new_value double precision not null, -- Boolean as 0 or 1
    action_description text,
    severity text,
    status text not null default 'pending' check (status in (
        'pending', 'executing', 'executed', 'failed', 'unknown', 'cancelled'
    )),
    created_timestamp timestamptz not null default now(),
    created_by_agent text not null default current_user,
    executed_timestamp timestamptz,
    execution_result text,
    -- ours
    sequence integer not null,          -- place among the recommendation's writes, from 1
    expected_value double precision,    -- what the tag showed when the write was approved
    unit text not null default '',
    route text not null check (route in ('opcua', 'mqtt', 'gateway')),
    claimed_by text,
    claimed_timestamp timestamptz,
    lease_expires_at timestamptz,
    sent_timestamp timestamptz,         -- the intent: committed before the bytes leave
    verified_timestamp timestamptz,
    read_back_value double precision,
    result_code text,
    settled_by text,                    -- the person who ended an unknown outcome
    unique (recommendation_id, sequence)
);

alter sequence command_number owned by agent_commands.command_id;

create unique index one_live_command_per_tag on agent_commands (tag_path)
    where status in ('pending', 'executing', 'unknown');
create index agent_commands_live on agent_commands (status, created_timestamp)
    where status in ('pending', 'executing', 'unknown');
create index agent_commands_sent on agent_commands (tag_path, sent_timestamp) where sent_timestamp is not null;

create table agent_health (
    agent_id text primary key,
    last_heartbeat timestamptz not null default now(),
    status text not null default 'online' check (status in ('online', 'offline')),
    polls_completed bigint not null default 0,
    created_timestamp timestamptz not null default now(),
    -- ours
    site text not null default '',
    version text not null default '',
    cycle_ms double precision,
    detail jsonb not null default '{}'
);

create sequence work_order_number as bigint;

create table work_orders (
    work_order_id text primary key default 'W-' || nextval('work_order_number'),
    recommendation_id text references agent_recommendations,
    equipment_id text not null,
    description text not null,
    status text not null default 'open',
    assigned_to text,
    created_timestamp timestamptz not null default now(),
    completed_timestamp timestamptz,
    -- ours
    priority text not null default 'medium'
);

alter sequence work_order_number owned by work_orders.work_order_id;

create sequence operator_session_number as bigint;

create table operator_sessions (
    session_id text primary key default 'S-' || nextval('operator_session_number'),
    operator_id text not null,
    login_timestamp timestamptz not null default now(),
    logout_timestamp timestamptz,
    status text not null default 'active',
    approved_recommendations integer not null default 0,
    rejected_recommendations integer not null default 0
);

alter sequence operator_session_number owned by operator_sessions.session_id;

-- Ours alone.

create table approvals (
    recommendation_id text not null references agent_recommendations,
    operator text not null check (btrim(operator) <> ''),
    digest text not null,
    approved_timestamp timestamptz not null default clock_timestamp(),
    comment text,
    primary key (recommendation_id, digest, operator) -- one row per person and digest
);
-- Anna and ANNA are one person.
create unique index one_approval_per_person on approvals (recommendation_id, digest, lower(operator));

create table bridge_control (
    only_row boolean primary key default true check (only_row),
    armed boolean not null default true,
    changed_by text not null default current_user,
    reason text not null check (btrim(reason) <> ''),
    changed_timestamp timestamptz not null default now()
);
insert into bridge_control (reason) values ('armed when the database was set up');

-- The allow-list of bridge.toml, published by the owner. A tag that is not here is never written.
create table tag_limits (
    tag_path text primary key,
    equipment_id text not null,
    route text not null check (route in ('opcua', 'mqtt', 'gateway')),
    data_type text not null,
    unit text not null,
    low double precision not null check (low > '-infinity' and low < 'infinity'),
    high double precision not null check (high > low and high < 'infinity'),
    max_step double precision check (max_step > 0 and max_step < 'infinity'),
    min_interval_s double precision not null,
    max_writes_per_hour integer not null,
    max_age_s double precision not null,
    tolerance double precision not null,
    published_by text not null default current_user,
    published_timestamp timestamptz not null default now()
);

-- One row per episode: a condition keeps one identity from its first moment to its end, also across
-- restarts of the bridge, so that a lasting condition is one recommendation however long it lasts.
create table equipment_conditions (
    condition_id bigint generated always as identity primary key,
    equipment_id text not null,
    issue_type text not null,
    severity text not null check (severity in ('low', 'medium', 'high', 'critical')),
    since_timestamp timestamptz not null, -- source time
    cleared_timestamp timestamptz,        -- source time
    recommendation_id text references agent_recommendations
);
create unique index one_active_condition on equipment_conditions (equipment_id, issue_type)
    where cleared_timestamp is null;
