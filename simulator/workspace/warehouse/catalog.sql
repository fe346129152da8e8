-- What the metastore knows. Made at every start; what is there stays.
create schema if not exists databricks;

create table if not exists databricks.catalogs (
    name text primary key,
    comment text
);

create table if not exists databricks.schemas (
    catalog text not null references databricks.catalogs,
    name text not null,
    comment text,
    primary key (catalog, name)
);

create table if not exists databricks.tables (
    id bigint generated always as identity primary key,
    catalog text not null,
    schema text not null,
    name text not null,
    kind text not null,
    comment text,
    properties jsonb not null,
    identity boolean not null,
    view_text text,
    metadata_version bigint not null default 0,
    created timestamptz not null default now(),
    unique (catalog, schema, name),
    foreign key (catalog, schema) references databricks.schemas on delete cascade
);

-- Every statement that changed rows, so that one that overlaps it can see what it missed. Old lines are removed.
create table if not exists databricks.writes (
    table_id bigint not null,
    xid xid8 not null default pg_current_xact_id(),
    kind text not null,
    at timestamptz not null default clock_timestamp()
);
create index if not exists writes_of_table on databricks.writes (table_id, xid);

create table if not exists databricks.columns (
    table_id bigint not null references databricks.tables on delete cascade,
    position integer not null,
    name text not null,
    type text not null,
    nullable boolean not null,
    default_text text,
    comment text,
    primary key (table_id, position)
);

create table if not exists databricks.constraints (
    table_id bigint not null references databricks.tables on delete cascade,
    name text not null,
    kind text not null,
    columns text[] not null,
    definition text not null,
    parent text not null,
    parent_columns text[] not null,
    primary key (table_id, name)
);

-- INFORMATION_SCHEMA, for all catalogs; a statement asks for one of them.
create or replace view databricks.info_catalogs as
select name as catalog_name, 'simulated@example.com' as catalog_owner, comment from databricks.catalogs;

create or replace view databricks.info_schemata as
select catalog as catalog_name, name as schema_name, 'simulated@example.com' as schema_owner, comment
  from databricks.schemas;

create or replace view databricks.info_tables as
select catalog as table_catalog, schema as table_schema, name as table_name, kind as table_type,
       case kind when 'VIEW' then 'UNKNOWN_DATA_SOURCE_FORMAT' else 'DELTA' end as data_source_format,
       comment, created
  from databricks.tables;

create or replace view databricks.info_views as
select catalog as table_catalog, schema as table_schema, name as table_name, view_text as view_definition
  from databricks.tables where kind = 'VIEW';

create or replace view databricks.info_columns as
select t.catalog as table_catalog, t.schema as table_schema, t.name as table_name, lower(c.name) as column_name,
       c.position - 1 as ordinal_position, c.default_text as column_default,
       case when c.nullable then 'YES' else 'NO' end as is_nullable, lower(c.type) as full_data_type,
       regexp_replace(c.type, '\(.*', '') as data_type, c.comment
  from databricks.tables t join databricks.columns c on c.table_id = t.id;

create or replace view databricks.info_table_constraints as
select t.catalog as constraint_catalog, t.schema as constraint_schema, k.name as constraint_name,
       t.catalog as table_catalog, t.schema as table_schema, t.name as table_name, k.kind as constraint_type,
       'YES' as is_deferrable, 'YES' as initially_deferred, case k.kind when 'CHECK' then 'YES' else 'NO' end as enforced
  from databricks.tables t join databricks.constraints k on k.table_id = t.id;

create or replace view databricks.info_key_column_usage as
select t.catalog as constraint_catalog, t.schema as constraint_schema, k.name as constraint_name,
       t.catalog as table_catalog, t.schema as table_schema, t.name as table_name, lower(c.name) as column_name,
       (c.position - 1)::integer as ordinal_position
  from databricks.tables t
  join databricks.constraints k on k.table_id = t.id and k.kind <> 'CHECK'
 cross join unnest(k.columns) with ordinality as c (name, position);

create or replace view databricks.info_referential_constraints as
select t.catalog as constraint_catalog, t.schema as constraint_schema, k.name as constraint_name, k.parent as referred_table
  from databricks.tables t join databricks.constraints k on k.table_id = t.id and k.kind = 'FOREIGN KEY';
