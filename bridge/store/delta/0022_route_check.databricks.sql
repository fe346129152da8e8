-- Who moves the bytes.
alter table agent_commands add constraint route_is_known check (
    route in ('opcua', 'mqtt', 'gateway')
)
