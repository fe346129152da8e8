-- Databricks' functions where PostgreSQL has none of that name, or one that means something else. This schema
-- comes first in the search path, so that its sum and avg are the ones a statement gets.
set local check_function_bodies = off;
set local search_path = databricks, pg_catalog;

-- Arithmetic: / never cuts, whatever its operands are.
create or replace function databricks.div_(double precision, double precision) returns double precision
language sql immutable strict as $$ select $1 / $2 $$;
create or replace function databricks.div_(numeric, numeric) returns numeric
language sql immutable strict as $$ select $1 / $2 $$;
create or replace function databricks.idiv(integer, integer) returns bigint
language sql immutable strict as $$ select ($1 / $2)::bigint $$;
create or replace function databricks.idiv(bigint, bigint) returns bigint
language sql immutable strict as $$ select $1 / $2 $$;
create or replace function databricks.idiv(numeric, numeric) returns bigint
language sql immutable strict as $$ select trunc($1 / $2)::bigint $$;
create or replace function databricks.rem_(integer, integer) returns integer
language sql immutable strict as $$ select $1 % $2 $$;
create or replace function databricks.rem_(bigint, bigint) returns bigint
language sql immutable strict as $$ select $1 % $2 $$;
create or replace function databricks.rem_(numeric, numeric) returns numeric
language sql immutable strict as $$ select $1 % $2 $$;
create or replace function databricks.rem_(double precision, double precision) returns double precision
language sql immutable strict as $$ select $1 - $2 * trunc($1 / $2) $$;
create or replace function databricks.pmod(integer, integer) returns integer
language sql immutable strict as $$ select (($1 % $2) + $2) % $2 $$;
create or replace function databricks.pmod(bigint, bigint) returns bigint
language sql immutable strict as $$ select (($1 % $2) + $2) % $2 $$;
create or replace function databricks.try_divide(double precision, double precision) returns double precision
language sql immutable as $$ select $1 / nullif($2, 0) $$;
create or replace function databricks.round(double precision, integer default 0) returns double precision
language sql immutable strict as $$ select pg_catalog.round($1::numeric, $2)::double precision $$;
create or replace function databricks.round(numeric, integer default 0) returns numeric
language sql immutable strict as $$ select pg_catalog.round($1, $2) $$;
create or replace function databricks.round(integer, integer default 0) returns integer
language sql immutable strict as $$ select pg_catalog.round($1::numeric, $2)::integer $$;
create or replace function databricks.round(bigint, integer default 0) returns bigint
language sql immutable strict as $$ select pg_catalog.round($1::numeric, $2)::bigint $$;
create or replace function databricks.ceil(double precision) returns bigint
language sql immutable strict as $$ select pg_catalog.ceil($1)::bigint $$;
create or replace function databricks.ceil(numeric) returns numeric
language sql immutable strict as $$ select pg_catalog.ceil($1) $$;
create or replace function databricks.floor(double precision) returns bigint
language sql immutable strict as $$ select pg_catalog.floor($1)::bigint $$;
create or replace function databricks.floor(numeric) returns numeric
language sql immutable strict as $$ select pg_catalog.floor($1) $$;
create or replace function databricks.ln(double precision) returns double precision
language sql immutable strict as $$ select case when $1 > 0 then pg_catalog.ln($1) end $$;
create or replace function databricks.log10(double precision) returns double precision
language sql immutable strict as $$ select case when $1 > 0 then pg_catalog.log($1) end $$;
create or replace function databricks.log2(double precision) returns double precision
language sql immutable strict as $$ select case when $1 > 0 then pg_catalog.ln($1) / pg_catalog.ln(2::double precision) end $$;
create or replace function databricks.power(double precision, double precision) returns double precision
language sql immutable strict as $$ select pg_catalog.power($1, $2) $$;
create or replace function databricks.rand() returns double precision
language sql volatile as $$ select pg_catalog.random() $$;

-- Aggregates whose type differs: whole numbers add up to BIGINT and average to DOUBLE.
create or replace aggregate databricks.sum(bigint) (sfunc = int8pl, stype = bigint);
create or replace aggregate databricks.sum(integer) (sfunc = int4_sum, stype = bigint);
create or replace aggregate databricks.sum(smallint) (sfunc = int2_sum, stype = bigint);
create or replace function databricks.add_(double precision, real) returns double precision
language sql immutable as $$ select coalesce($1 + $2, $1, $2) $$;
create or replace aggregate databricks.sum(real) (sfunc = databricks.add_, stype = double precision);
create or replace aggregate databricks.sum(double precision) (sfunc = float8pl, stype = double precision);
create or replace aggregate databricks.sum(numeric) (sfunc = numeric_add, stype = numeric);
create or replace function databricks.mean_(double precision[]) returns double precision
language sql immutable as $$ select case when $1[1] > 0 then $1[2] / $1[1] end $$;
create or replace function databricks.gather_(double precision[], double precision) returns double precision[]
language sql immutable as $$
    select case when $2 is null then $1 else array[$1[1] + 1, $1[2] + $2] end
$$;
create or replace aggregate databricks.avg(double precision)
    (sfunc = databricks.gather_, stype = double precision[], initcond = '{0,0}', finalfunc = databricks.mean_);
create or replace function databricks.gather_(double precision[], bigint) returns double precision[]
language sql immutable as $$ select databricks.gather_($1, $2::double precision) $$;
create or replace function databricks.gather_(double precision[], integer) returns double precision[]
language sql immutable as $$ select databricks.gather_($1, $2::double precision) $$;
create or replace function databricks.gather_(double precision[], smallint) returns double precision[]
language sql immutable as $$ select databricks.gather_($1, $2::double precision) $$;
create or replace aggregate databricks.avg(bigint)
    (sfunc = databricks.gather_, stype = double precision[], initcond = '{0,0}', finalfunc = databricks.mean_);
create or replace aggregate databricks.avg(integer)
    (sfunc = databricks.gather_, stype = double precision[], initcond = '{0,0}', finalfunc = databricks.mean_);
create or replace aggregate databricks.avg(smallint)
    (sfunc = databricks.gather_, stype = double precision[], initcond = '{0,0}', finalfunc = databricks.mean_);
create or replace function databricks.count_true_(bigint, boolean) returns bigint
language sql immutable as $$ select case when $2 then $1 + 1 else $1 end $$;
create or replace aggregate databricks.count_if(boolean)
    (sfunc = databricks.count_true_, stype = bigint, initcond = '0');

-- Text.
create or replace function databricks.concat(variadic text[]) returns text
language sql immutable as $$ select case when array_position($1, null) is null then array_to_string($1, '') end $$;
create or replace function databricks.instr(text, text) returns integer
language sql immutable strict as $$ select strpos($1, $2) $$;
create or replace function databricks.locate(text, text) returns integer
language sql immutable strict as $$ select strpos($2, $1) $$;
create or replace function databricks.charindex(text, text) returns integer
language sql immutable strict as $$ select strpos($2, $1) $$;
create or replace function databricks.contains(text, text) returns boolean
language sql immutable strict as $$ select strpos($1, $2) > 0 $$;
create or replace function databricks.startswith(text, text) returns boolean
language sql immutable strict as $$ select starts_with($1, $2) $$;
create or replace function databricks.endswith(text, text) returns boolean
language sql immutable strict as $$ select pg_catalog.right($1, length($2)) = $2 $$;
create or replace function databricks.substr_(text, integer) returns text
language sql immutable strict as $$
    select pg_catalog.substr($1, case when $2 < 0 then greatest(length($1) + $2 + 1, 1) else greatest($2, 1) end)
$$;
create or replace function databricks.substr_(text, integer, integer) returns text
language sql immutable strict as $$
    select pg_catalog.substr($1, case when $2 < 0 then greatest(length($1) + $2 + 1, 1) else greatest($2, 1) end,
                             greatest($3, 0))
$$;
create or replace function databricks.substring_index(text, text, integer) returns text
language sql immutable strict as $$
    select case when $3 > 0 then array_to_string((string_to_array($1, $2))[:$3], $2)
                when $3 < 0 then array_to_string((string_to_array($1, $2))[greatest(cardinality(string_to_array($1, $2)) + $3 + 1, 1):], $2)
                else '' end
$$;
create or replace function databricks.regexp_replace(text, text, text) returns text
language sql immutable strict as $$ select pg_catalog.regexp_replace($1, $2, $3, 'g') $$;
create or replace function databricks.regexp_extract(text, text, integer default 1) returns text
language sql immutable strict as $$
    select coalesce(case when $3 = 0 then regexp_substr($1, $2) else (regexp_match($1, $2))[$3] end, '')
$$;
create or replace function databricks.regexp_like(text, text) returns boolean
language sql immutable strict as $$ select $1 ~ $2 $$;
create or replace function databricks.space(integer) returns text
language sql immutable strict as $$ select repeat(' ', $1) $$;
create or replace function databricks.sha2(text, integer) returns text
language sql immutable strict as $$
    select encode(case when $2 in (0, 256) then sha256(convert_to($1, 'UTF8'))
                       when $2 = 224 then sha224(convert_to($1, 'UTF8'))
                       when $2 = 384 then sha384(convert_to($1, 'UTF8'))
                       when $2 = 512 then sha512(convert_to($1, 'UTF8')) end, 'hex')
$$;
create or replace function databricks.hex(text) returns text
language sql immutable strict as $$ select upper(encode(convert_to($1, 'UTF8'), 'hex')) $$;
create or replace function databricks.base64(text) returns text
language sql immutable strict as $$ select replace(encode(convert_to($1, 'UTF8'), 'base64'), E'\n', '') $$;
create or replace function databricks.uuid() returns text
language sql volatile as $$ select gen_random_uuid()::text $$;
create or replace function databricks.raise_error(text) returns text
language plpgsql volatile as $$ begin raise exception '%', $1 using errcode = 'P0001'; end $$;

-- Casts, with Databricks' rounding and text.
create or replace function databricks.to_string(text) returns text
language sql immutable strict as $$ select $1 $$;
create or replace function databricks.to_string(bytea) returns text
language sql immutable strict as $$ select convert_from($1, 'UTF8') $$;
create or replace function databricks.to_string(double precision) returns text
language sql immutable strict as $$
    select case when $1 = trunc($1) and abs($1) < 1e7 then $1::bigint::text || '.0'
                when $1 in ('Infinity', '-Infinity', 'NaN') then $1::text
                when $1 = trunc($1) and abs($1) < 1e16 then to_char($1, 'FM9.0999999999999999EEEE')
                else $1::text end
$$;
create or replace function databricks.to_string(real) returns text
language sql immutable strict as $$
    select case when $1 = trunc($1) and abs($1) < 1e7 then $1::bigint::text || '.0' else $1::text end
$$;
create or replace function databricks.to_string(timestamptz) returns text
language sql stable strict as $$
    select pg_catalog.rtrim(pg_catalog.rtrim(to_char($1, 'YYYY-MM-DD HH24:MI:SS.US'), '0'), '.')
$$;
create or replace function databricks.to_string(timestamp) returns text
language sql immutable strict as $$
    select pg_catalog.rtrim(pg_catalog.rtrim(to_char($1, 'YYYY-MM-DD HH24:MI:SS.US'), '0'), '.')
$$;
create or replace function databricks.to_string(smallint) returns text
language sql immutable strict as $$ select $1::text $$;
create or replace function databricks.to_string(integer) returns text
language sql immutable strict as $$ select $1::text $$;
create or replace function databricks.to_string(bigint) returns text
language sql immutable strict as $$ select $1::text $$;
create or replace function databricks.to_string(numeric) returns text
language sql immutable strict as $$ select $1::text $$;
create or replace function databricks.to_string(anyelement) returns text
language sql immutable strict as $$ select $1::text $$;
create or replace function databricks.to_whole(text) returns bigint
language sql immutable strict as $$ select case when $1 ~ '^\s*[+-]?\d+\.\d*\s*$' then trunc($1::numeric)::bigint else $1::bigint end $$;
create or replace function databricks.to_whole(bigint) returns bigint
language sql immutable strict as $$ select $1 $$;
create or replace function databricks.to_whole(double precision) returns bigint
language sql immutable strict as $$ select trunc($1)::bigint $$;
create or replace function databricks.to_whole(numeric) returns bigint
language sql immutable strict as $$ select trunc($1)::bigint $$;
create or replace function databricks.to_whole(boolean) returns bigint
language sql immutable strict as $$ select $1::integer::bigint $$;
create or replace function databricks.to_whole(timestamptz) returns bigint
language sql immutable strict as $$ select pg_catalog.floor(extract(epoch from $1))::bigint $$;
create or replace function databricks.to_instant(text) returns timestamptz
language sql stable strict as $$ select $1::timestamptz $$;
create or replace function databricks.to_instant(timestamptz) returns timestamptz
language sql immutable strict as $$ select $1 $$;
create or replace function databricks.to_instant(timestamp) returns timestamptz
language sql stable strict as $$ select $1::timestamptz $$;
create or replace function databricks.to_instant(date) returns timestamptz
language sql stable strict as $$ select $1::timestamptz $$;
create or replace function databricks.to_instant(bigint) returns timestamptz
language sql immutable strict as $$ select pg_catalog.to_timestamp($1::double precision) $$;
create or replace function databricks.to_instant(double precision) returns timestamptz
language sql immutable strict as $$ select pg_catalog.to_timestamp($1) $$;
create or replace function databricks.try_cast_(value text, wanted anyelement) returns anyelement
language plpgsql stable as $$
begin
    execute format('select %L::%s', value, pg_typeof(wanted)) into wanted;
    return wanted;
exception when data_exception or invalid_text_representation or numeric_value_out_of_range then
    return null;
end $$;

-- Choices.
create or replace function databricks.nvl(anycompatible, anycompatible) returns anycompatible
language sql immutable as $$ select coalesce($1, $2) $$;
create or replace function databricks.ifnull(anycompatible, anycompatible) returns anycompatible
language sql immutable as $$ select coalesce($1, $2) $$;
create or replace function databricks.nvl2(anyelement, anycompatible, anycompatible) returns anycompatible
language sql immutable as $$ select case when $1 is not null then $2 else $3 end $$;
create or replace function databricks.isnull(anyelement) returns boolean
language sql immutable as $$ select $1 is null $$;
create or replace function databricks.isnotnull(anyelement) returns boolean
language sql immutable as $$ select $1 is not null $$;
create or replace function databricks.equal_null(anycompatible, anycompatible) returns boolean
language sql immutable as $$ select $1 is not distinct from $2 $$;

-- Dates and times. TIMESTAMP is an instant, shown and cut in the session's zone.
create or replace function databricks.timestampadd(unit text, amount double precision, instant timestamptz) returns timestamptz
language plpgsql stable strict as $$
begin
    if lower(unit) = 'quarter' then
        return instant + make_interval(months => 3 * amount::integer);
    end if;
    return instant + case lower(unit)
        when 'microsecond' then amount * interval '1 microsecond' when 'millisecond' then amount * interval '1 millisecond'
        when 'second' then amount * interval '1 second' when 'minute' then amount * interval '1 minute'
        when 'hour' then amount * interval '1 hour' when 'day' then make_interval(days => amount::integer)
        when 'dayofyear' then make_interval(days => amount::integer)
        when 'week' then make_interval(weeks => amount::integer) when 'month' then make_interval(months => amount::integer)
        when 'year' then make_interval(years => amount::integer) end;
end $$;
create or replace function databricks.timestampdiff(unit text, since timestamptz, until timestamptz) returns bigint
language plpgsql stable strict as $$
declare
    seconds numeric := extract(epoch from until - since);
    months integer;
begin
    months := (extract(year from age(until, since)) * 12 + extract(month from age(until, since)))::integer;
    return trunc(case lower(unit)
        when 'microsecond' then seconds * 1000000 when 'millisecond' then seconds * 1000
        when 'second' then seconds when 'minute' then seconds / 60 when 'hour' then seconds / 3600
        when 'day' then seconds / 86400 when 'week' then seconds / 604800
        when 'month' then months when 'quarter' then months / 3 when 'year' then months / 12 end);
end $$;
create or replace function databricks.date_add(date, integer) returns date
language sql immutable strict as $$ select $1 + $2 $$;
create or replace function databricks.date_add(timestamptz, integer) returns date
language sql stable strict as $$ select $1::date + $2 $$;
create or replace function databricks.date_sub(date, integer) returns date
language sql immutable strict as $$ select $1 - $2 $$;
create or replace function databricks.date_sub(timestamptz, integer) returns date
language sql stable strict as $$ select $1::date - $2 $$;
create or replace function databricks.datediff(timestamptz, timestamptz) returns integer
language sql stable strict as $$ select $1::date - $2::date $$;
create or replace function databricks.add_months(timestamptz, integer) returns date
language sql stable strict as $$ select ($1::date + make_interval(months => $2))::date $$;
create or replace function databricks.last_day(timestamptz) returns date
language sql stable strict as $$ select (date_trunc('month', $1::date::timestamp) + interval '1 month - 1 day')::date $$;
create or replace function databricks.part_(unit text, instant timestamptz) returns integer
language sql stable strict as $$ select pg_catalog.floor(date_part($1, $2))::integer $$;
create or replace function databricks.unix_timestamp() returns bigint
language sql stable as $$ select pg_catalog.floor(extract(epoch from now()))::bigint $$;
create or replace function databricks.unix_timestamp(timestamptz) returns bigint
language sql stable strict as $$ select pg_catalog.floor(extract(epoch from $1))::bigint $$;
create or replace function databricks.unix_timestamp(text) returns bigint
language sql stable strict as $$ select pg_catalog.floor(extract(epoch from $1::timestamptz))::bigint $$;
create or replace function databricks.unix_seconds(timestamptz) returns bigint
language sql stable strict as $$ select pg_catalog.floor(extract(epoch from $1))::bigint $$;
create or replace function databricks.unix_millis(timestamptz) returns bigint
language sql stable strict as $$ select pg_catalog.floor(extract(epoch from $1) * 1000)::bigint $$;
create or replace function databricks.unix_micros(timestamptz) returns bigint
language sql stable strict as $$ select pg_catalog.floor(extract(epoch from $1) * 1000000)::bigint $$;
create or replace function databricks.timestamp_seconds(double precision) returns timestamptz
language sql immutable strict as $$ select pg_catalog.to_timestamp($1) $$;
create or replace function databricks.timestamp_millis(bigint) returns timestamptz
language sql immutable strict as $$ select timestamptz 'epoch' + $1 * interval '1 millisecond' $$;
create or replace function databricks.timestamp_micros(bigint) returns timestamptz
language sql immutable strict as $$ select timestamptz 'epoch' + $1 * interval '1 microsecond' $$;
create or replace function databricks.from_utc_timestamp(timestamptz, text) returns timestamptz
language sql stable strict as $$ select ($1 at time zone $2) at time zone 'UTC' $$;
create or replace function databricks.to_utc_timestamp(timestamptz, text) returns timestamptz
language sql stable strict as $$ select ($1 at time zone 'UTC') at time zone $2 $$;
create or replace function databricks.current_timezone() returns text
language sql stable as $$ select current_setting('timezone') $$;

-- JSON: a path that leads nowhere, and text that is no JSON, are NULL.
create or replace function databricks.get_json_object(document text, path text) returns text
language plpgsql immutable strict as $$
declare
    steps text := regexp_replace(regexp_replace(path, '^\$\.?', ''), '\[''?([^\]'']*)''?\]', '.\1', 'g');
begin
    if left(path, 1) <> '$' then
        return null;
    end if;
    steps := trim(leading '.' from steps);
    if steps = '' then
        return document::json::text;
    end if;
    return document::json #>> string_to_array(steps, '.');
exception when invalid_text_representation then
    return null;
end $$;
create or replace function databricks.to_json_(json) returns text
language sql immutable strict as $$ select json_strip_nulls($1)::text $$;
create or replace function databricks.json_or_null_(text) returns jsonb
language sql immutable strict as $$ select case when $1 is json then $1::jsonb end $$;

-- Comparisons across types, as Databricks casts them: the text becomes what it is compared with.
do $$
declare
    other record;
    sign text;
    name text;
begin
    for other in select * from (values ('bigint', 'bigint'), ('double precision', 'double'), ('numeric', 'numeric'),
                                       ('timestamptz', 'instant'), ('date', 'date'), ('boolean', 'boolean'))
                               as kinds (type, short) loop
        foreach sign in array array['=', '<>', '<', '<=', '>', '>='] loop
            name := format('compare_%s_%s', other.short,
                           case sign when '=' then 'eq' when '<>' then 'ne' when '<' then 'lt'
                                     when '<=' then 'le' when '>' then 'gt' else 'ge' end);
            if to_regoperator(format('databricks.%s(text,%s)', sign, other.type)) is null then
                execute format('create or replace function databricks.%I(text, %s) returns boolean language sql stable strict '
                               'as ''select $1::%s operator(pg_catalog.%s) $2''', name, other.type, other.type, sign);
                execute format('create or replace function databricks.%I(%s, text) returns boolean language sql stable strict '
                               'as ''select $1 operator(pg_catalog.%s) $2::%s''', name, other.type, sign, other.type);
                execute format('create operator databricks.%s (leftarg = text, rightarg = %s, function = databricks.%I)',
                               sign, other.type, name);
                execute format('create operator databricks.%s (leftarg = %s, rightarg = text, function = databricks.%I)',
                               sign, other.type, name);
            end if;
        end loop;
    end loop;
end $$;
