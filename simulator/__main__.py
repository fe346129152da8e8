"""``python -m simulator``: a plant, its faults, a broker, and a wire to break."""

from __future__ import annotations

import gc

gc.disable()  # until all is imported: a third of a start was looking for garbage among what stays

import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from simulator.faults import CATALOGUE, FaultError, parse_fault
from simulator.gateway.command import gateway
from simulator.mqtt.plain import PlainTopics
from simulator.opcua.client import PlantCallError, call_plant
from simulator.opcua.server import Access
from simulator.plant import Plant, PlantOptions
from simulator.playback import Playback
from simulator.replay import AUTO, Recording, ReplayError, parse_mapping, read_recording
from simulator.sparkplug.edge import EdgeNode
from simulator.wire import Wire
from simulator.workspace.command import workspace, workspace_fault

DEFAULT_ENDPOINT = "opc.tcp://127.0.0.1:4840/plant"

app = typer.Typer(help="Things to run the bridge against.", no_args_is_help=True, add_completion=False)


class Security(StrEnum):
    NONE = "none"
    BASIC256SHA256 = "basic256sha256"


class Backwards(StrEnum):
    REFUSE = "refuse"
    SKIP = "skip"


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


def _user(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    name, colon, password = text.partition(":")
    if not name or not colon or not password:
        _fail("--user wants NAME:PASSWORD")
    return name, password


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` until SIGINT or SIGTERM; its own end or error ends it too."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        running.result()
    else:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@app.command()
def plant(
    endpoint: Annotated[
        str, typer.Option(help="Where to answer; port 0 takes any free one.")
    ] = DEFAULT_ENDPOINT,
    equipment: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="N reactors REACTOR_01 … REACTOR_N, numbered with at least two digits, and nothing else. "
            "Without it: 4 reactors, 2 pumps, 2 valves.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sensor noise.")] = 1,
    tick: Annotated[float, typer.Option(min=0.01, help="Seconds between updates.")] = 1.0,
    time_scale: Annotated[float, typer.Option(min=0.01, help="Plant seconds per wall-clock second.")] = 1.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A fault from the start, e.g. 'overheat REACTOR_02' or 'overheat REACTOR_02 @5s'."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Values per second over all measured nodes in slots of 100 ms; 0: no limit. MQTT tells "
            "the last of each slot.",
        ),
    ] = None,
    flood: Annotated[bool, typer.Option("--flood", help="The same as --rate 0.")] = False,
    write_log: Annotated[Path | None, typer.Option(help="Append a JSON line per applied write.")] = None,
    replay: Annotated[Path | None, typer.Option(help="A CSV file to play.")] = None,
    speed: Annotated[float, typer.Option(min=0.001, help="Recorded seconds per wall-clock second.")] = 1.0,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="COLUMN=EQUIPMENT/Signal, once per column to play.")
    ] = None,
    delimiter: Annotated[str, typer.Option(help="Of the CSV file.")] = AUTO,
    time_column: Annotated[str, typer.Option(help="Of the CSV file; by itself the first.")] = AUTO,
    backwards: Annotated[
        Backwards, typer.Option(help="What to do with rows earlier than those before them.")
    ] = Backwards.REFUSE,
    loop: Annotated[bool, typer.Option(help="Begin the recording again at its end.")] = False,
    start_after_subscribers: Annotated[
        int,
        typer.Option(min=0, help="Hold the first row until the replayed nodes have so many monitored items."),
    ] = 0,
    user: Annotated[str | None, typer.Option(help="NAME:PASSWORD; nobody else may connect.")] = None,
    security: Annotated[Security, typer.Option(help="Sign and encrypt, or not.")] = Security.NONE,
    cert: Annotated[Path | None, typer.Option(help="Server certificate, .der or .pem.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key, .pem.")] = None,
    strict_writes: Annotated[
        bool, typer.Option("--strict-writes", help="Refuse writes that carry a timestamp, as many PLCs do.")
    ] = False,
    broker: Annotated[
        str | None,
        typer.Option(help="mqtt://HOST[:PORT]; speak MQTT as well, as --sparkplug and --plain say."),
    ] = None,
    sparkplug: Annotated[
        str | None, typer.Option(help="GROUP/NODE; be a Sparkplug B edge node, each equipment a device.")
    ] = None,
    primary_host: Annotated[
        str, typer.Option(help="Sparkplug host id; be silent until this host says it is online.")
    ] = "",
    plain: Annotated[
        str | None, typer.Option(help="PREFIX; JSON on the topics PREFIX/EQUIPMENT/Signal.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log faults and connections.")] = False,
) -> None:
    """A plant on OPC UA, and on MQTT if asked for, from the same state.

    Prints 'plant ready ENDPOINT' when it answers on OPC UA, then a line 'mqtt ready BROKER WHAT' when it has first
    reached the broker for each of --sparkplug and --plain; logs go to stderr.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    if (security is Security.NONE) != (cert is None) or (cert is None) != (key is None):
        _fail("--security basic256sha256, --cert and --key belong together: give all three or none")
    for path in (cert, key):
        if path is not None and not path.is_file():
            _fail(f"{path}: there is no such file; check --cert and --key")
    access = Access(user=_user(user), certificate=cert, private_key=key, strict_writes=strict_writes)
    try:
        options = PlantOptions(
            endpoint=endpoint,
            equipment=equipment,
            seed=seed,
            tick_s=tick,
            time_scale=time_scale,
            rate_per_s=0.0 if flood else rate,
            faults=tuple(parse_fault(text) for text in fault or ()),
            write_log=write_log,
            access=access,
        )
        if (broker is None) != (sparkplug is None and plain is None) or (primary_host and not sparkplug):
            _fail(
                "--broker wants --sparkplug or --plain or both, and they want it; --primary-host --sparkplug"
            )
        recording = None
        if replay is not None:
            mappings = [parse_mapping(text) for text in map_ or ()]
            recording = read_recording(
                replay, mappings, delimiter=delimiter, time_column=time_column, backwards=backwards.value
            )
            if recording.skipped:
                typer.echo(f"{replay}: rows out of order left out: {recording.skipped}", err=True)
        elif map_:
            _fail("--map needs --replay FILE")

        def add_voices(simulated: Plant) -> None:
            if broker is not None and sparkplug is not None:
                told = _announcer(f"mqtt ready {broker} sparkplug {sparkplug}")
                simulated.voices.append(
                    EdgeNode(
                        simulated, broker=broker, name=sparkplug, primary_host=primary_host, started=told
                    )
                )
            if broker is not None and plain is not None:
                told = _announcer(f"mqtt ready {broker} plain {plain}")
                simulated.voices.append(PlainTopics(simulated, broker=broker, prefix=plain, started=told))

        work = _plant(options, add_voices, recording, speed, loop, start_after_subscribers)
        asyncio.run(_until_signal(work))
    except (FaultError, ReplayError, ValueError) as error:
        _fail(str(error))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(
                f"the port of {endpoint} is taken; stop what listens there, or choose another with --endpoint"
            )
        _fail(f"cannot start: {error}")


def _announcer(line: str) -> Callable[[], None]:
    return lambda: print(line, flush=True)


async def _plant(
    options: PlantOptions,
    add_voices: Callable[[Plant], None],
    recording: Recording | None,
    speed: float,
    loop: bool,
    start_after: int,
) -> None:
    gc.disable()
    simulated = Plant(options)
    add_voices(simulated)
    endpoint = await simulated.open()
    try:
        playback = None
        if recording is not None:
            playback = Playback(simulated, recording, speed=speed, loop=loop, start_after_items=start_after)
        await simulated.start()
        # what is there now stays; a collector that goes through it again and again would make the plant pause
        gc.freeze()
        gc.enable()
        print(f"plant ready {endpoint}", flush=True)
        work: list[Awaitable[None]] = [simulated.run()]
        if playback is not None:
            work.append(playback.run())
        await asyncio.gather(*work)
    finally:
        await simulated.close()


@app.command()
def fault(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FAULT",
            help="'NAME [EQUIPMENT] [<duration>s] [@<delay>s]', or: clear EQUIPMENT (PLANT: the whole).",
        ),
    ] = None,
    endpoint: Annotated[str, typer.Option(help="Of the running plant.")] = DEFAULT_ENDPOINT,
    list_: Annotated[bool, typer.Option("--list", help="Show all faults.")] = False,
    user: Annotated[str | None, typer.Option(help="NAME:PASSWORD, if the plant wants one.")] = None,
) -> None:
    """Set off a fault in a running plant, or end those of an equipment."""
    if list_:
        table = Table("fault", "what happens", "applies to", "default duration")
        for entry in CATALOGUE.values():
            duration = "" if entry.duration_s is None else f"{entry.duration_s:g} s"
            table.add_row(entry.name, entry.meaning, " ".join(entry.applies_to), duration)
        Console(width=None if sys.stdout.isatty() else 160).print(table)
        return
    text = " ".join(words or ())
    try:
        if text.split()[:1] == ["clear"]:
            if len(text.split()) != 2:
                _fail(
                    "say whose faults to end: clear REACTOR_02, or clear PLANT for those of the whole plant"
                )
            equipment = text.split()[1]
            asyncio.run(call_plant(endpoint, "ClearFault", equipment, user=_user(user)))
            print(f"cleared {equipment}")
            return
        request = parse_fault(text)
        words_without_equipment = " ".join(word for word in text.split() if word != request.equipment)
        asyncio.run(
            call_plant(endpoint, "InjectFault", request.equipment, words_without_equipment, user=_user(user))
        )
        print(f"injected {text}")
    except (FaultError, PlantCallError) as error:
        _fail(str(error))


@app.command()
def broker(
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes any free one.")] = 1883,
) -> None:
    """An MQTT 3.1.1 broker in memory. Prints 'broker ready mqtt://127.0.0.1:PORT' when it answers."""
    from simulator.mqtt.broker import serve  # nothing else here wants amqtt

    try:
        asyncio.run(_until_signal(serve(port)))
    except OSError as error:
        _fail(f"cannot listen on port {port}: {error.strerror}; choose another with --port")


@app.command()
def wire(
    listen: Annotated[int, typer.Option(min=0, help="Port on 127.0.0.1; 0 takes any free one.")],
    target: Annotated[str, typer.Option(help="HOST:PORT to pass everything to.")],
) -> None:
    """A TCP wire to break. Reads orders from stdin: cut, restore, black_hole, half_open, delay SECONDS."""
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        _fail(f"--target wants HOST:PORT, found {target!r}")
    try:
        asyncio.run(_until_signal(_wire(Wire(listen, host, int(port)))))
    except OSError as error:
        _fail(f"cannot listen on port {listen}: {error.strerror}; choose another with --listen")


async def _wire(broken: Wire) -> None:
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with broken:
        print(f"wire ready {broken.host}:{broken.port}", flush=True)
        while line := (await orders.readline()).decode():
            match line.split():
                case ["cut"]:
                    await broken.cut()
                case ["restore"]:
                    await broken.restore()
                case ["black_hole"]:
                    await broken.black_hole()
                case ["half_open"]:
                    await broken.half_open()
                case ["delay", seconds] if seconds.replace(".", "", 1).isdigit():
                    await broken.delay(float(seconds))
                case _:
                    typer.echo("orders are: cut, restore, black_hole, half_open, delay SECONDS", err=True)
                    continue
            print(f"done {line.strip()}", flush=True)
        await asyncio.Event().wait()  # without orders the wire simply stays


@app.command()
def demo(
    build: Annotated[Path, typer.Option(help="Where demo.json and the demo's own files go.")] = Path("build"),
    databricks: Annotated[
        bool,
        typer.Option(
            "--databricks",
            help="On a simulated Databricks workspace, twice: on Lakebase with advice from Genie, then on a SQL "
            "warehouse. Writes demo-databricks.json.",
        ),
    ] = False,
) -> None:
    """Plant, database and bridge at work together: overheat, propose, approve, write, verify, cool down."""
    from simulator.demo import run  # wants POSIX; the plant does not

    raise typer.Exit(run(build, databricks=databricks))


@app.command()
def screens(
    out: Annotated[Path, typer.Option(help="Where the pictures go.")] = Path("docs/screens"),
) -> None:
    """Pictures of every page of the HMI in both themes, taken while the demo's plant is at work."""
    from simulator.screens import run  # wants a browser, which nothing else here does

    raise typer.Exit(run(out))


app.command()(gateway)
app.command()(workspace)
app.command()(workspace_fault)
gc.enable()


if __name__ == "__main__":
    app()
