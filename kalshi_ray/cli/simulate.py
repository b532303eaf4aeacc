"""`kalshi-ray simulate`: an exchange of one's own on this machine, with recorded or generated flow."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, Duration, is_given, load_settings, settings_command
from kalshi_ray.cli.output import counted, emit_json, note, progress_bar, say
from kalshi_ray.cli.simulate_files import ReadyPlace, keys_folder, stoppable
from kalshi_ray.errors import ConfigError, NothingToDo, UsageError

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.cli.simulate_accounts import Listed
    from kalshi_ray.core.tape import ViewPack
    from kalshi_ray.exchange.sim_server import SimulatorServer
    from kalshi_ray.exchange.simulator.faults import FaultPlan
    from kalshi_ray.exchange.simulator.surface import Surface

SECTIONS = ("simulator", "stream", "synth")
# A session that is generated on the spot: a few markets that all live at once.
ON_THE_SPOT = [("synth.markets", "12"), ("synth.waves", "1")]
SYNTHETIC = "synthetic"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("simulate", cls=settings_command(*SECTIONS))(simulate)


def simulate(
    ctx: typer.Context,
    session: Annotated[str, typer.Option("--session", help="Of the store; without one a session is generated.")] = "",
    speed: Annotated[int, typer.Option("--speed", min=1, max=1000, help="Seconds of the session in a second.")] = 1,
    step: Annotated[bool, typer.Option("--step", help="The session moves by POST /simulator/step alone.")] = False,
    accounts: Annotated[int, typer.Option("--accounts", min=1, max=1000, help="Accounts with a key each.")] = 2,
    dollars: Annotated[float, typer.Option("--dollars", min=0, max=1e9, help="Cash of each account.")] = 10_000.0,
    faults: Annotated[str, typer.Option("--faults", metavar="SEED|FILE", help="Faults by seed, or a plan.")] = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="On 127.0.0.1; 0: any free one.")] = 0,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="There while it serves: addresses, keys, markets.")
    ] = None,
    duration: Duration = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Folder for the private keys; without one they go at the end.")
    ] = None,
    key_kind: Annotated[str, typer.Option("--key-kind", help="rsa or ed25519.")] = "rsa",
    tier: Annotated[str, typer.Option("--tier", help="Rate limits of the accounts: basic to prestige.")] = "prestige",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Serve the exchange's REST and WebSocket interface on 127.0.0.1, until SIGTERM, Ctrl-C or --duration.

    Example: kalshi-ray simulate --session demo --speed 60 --ready-file simulator.json

    Example: kalshi-ray simulate --accounts 3 --faults 7 --duration 600 --ready-file simulator.json
    """
    settings: Settings = load_settings(ctx, config, first=[] if session else ON_THE_SPOT).value
    if step and is_given(ctx, "speed"):
        raise UsageError("--step moves the session by hand: there is no --speed", remedy="Give one of the two")
    from kalshi_ray.exchange.loopback import require_free_port
    from kalshi_ray.exchange.sim_server import SimulatorServer, run
    from kalshi_ray.exchange.simulator.limits import limits_of

    limits_of(tier)  # refuses what is no tier before anything takes long
    plan = _plan(faults) if faults else None
    require_free_port(port)
    with stoppable(), ReadyPlace(ready_file) as place, keys_folder(keys) as folder:
        pack, listed = _flow(settings, session)
        surface, told = _surface(
            settings, pack, listed, speed=None if step else speed, accounts=accounts, dollars=dollars, plan=plan,
            folder=folder, key_kind=key_kind, tier=tier,
        )  # fmt: skip

        def announce(server: SimulatorServer) -> None:
            ready = _ready(server, told, session or SYNTHETIC)
            place.write(msgspec.json.encode(ready))
            _announce(ready, plan, step=step, as_json=as_json)

        run(SimulatorServer(surface, port=port), duration_s=duration, when_ready=announce)


def _plan(text: str) -> FaultPlan:
    """A plan by its seed, or from a file in TOML or JSON."""
    from kalshi_ray.exchange.simulator.faults import FaultPlan, plan_of

    if text.isascii() and text.isdigit():
        return plan_of(int(text))
    path = Path(text)
    try:
        raw = path.read_bytes()
        decode: Any = msgspec.json.decode if path.suffix == ".json" else msgspec.toml.decode
        plan: FaultPlan = decode(raw, type=FaultPlan)
    except OSError as problem:
        raise UsageError(f"--faults {text}: {problem.strerror}", remedy="Give a seed, or a file with a plan") from None
    except msgspec.MsgspecError as problem:
        raise ConfigError(f"{text} is not a plan of faults: {problem}") from problem
    return plan


def _flow(settings: Settings, session: str) -> tuple[ViewPack, list[Listed]]:
    """The tape and the market table of a session of the store, or of one generated on the spot."""
    from kalshi_ray.data.views import build_pack, build_pack_from_tables

    with progress_bar() as progress:
        if session:
            from kalshi_ray.data.store import open_store

            opened = open_store(settings.places.store).open(session)
            try:
                return build_pack(opened, progress=progress), opened.markets().to_pylist()
            except NothingToDo as problem:
                said = f"session {session!r} has no market with an update: there is nothing to serve"
                raise UsageError(said, remedy="Choose another --session") from problem
        from kalshi_ray.data.schema import Manifest
        from kalshi_ray.data.synthetic.session import run, start

        state = start(settings.synth)
        batches = [batch for updates, _ in run(state) for batch in updates.to_batches()]
        manifest = Manifest(id=SYNTHETIC, source="synthetic")
        return build_pack_from_tables(state.table, batches, manifest, progress=progress), state.table.to_pylist()


def _surface(
    settings: Settings, pack: ViewPack, listed: list[Listed], *, speed: int | None, accounts: int, dollars: float,
    plan: FaultPlan | None, folder: Path, key_kind: str, tier: str,
) -> tuple[Surface, list[dict[str, str]]]:  # fmt: skip
    """The exchange with its markets, accounts and flow; the accounts as they are told."""
    from kalshi_ray.cli.simulate_accounts import make_accounts, open_markets
    from kalshi_ray.exchange.simulator.auth import Auth
    from kalshi_ray.exchange.simulator.exchange import Exchange
    from kalshi_ray.exchange.simulator.faults import Faults
    from kalshi_ray.exchange.simulator.limits import Limits
    from kalshi_ray.exchange.simulator.replay import Pace, Replay
    from kalshi_ray.exchange.simulator.replay_tape import first_ns, tape_of
    from kalshi_ray.exchange.simulator.surface import Surface

    exchange, auth = Exchange(settings.simulator, seed=plan.seed if plan else 0), Auth()
    told = make_accounts(exchange, auth, accounts, dollars, folder, key_kind)
    exchange.advance(time.time_ns())
    pace = Pace(first_ns(pack), exchange.now_ns, speed) if speed else None
    open_markets(exchange, pack, listed, pace)
    limits = Limits(tier, {market.terms.exchange_index for market in exchange.markets_by_ticker.values()})
    replay = Replay(tape_of(pack, pace), pace)
    surface = Surface(
        exchange, auth, limits=limits, stream=settings.stream, replay=replay, faults=Faults(plan) if plan else None
    )
    return surface, told


def _ready(server: SimulatorServer, accounts: list[dict[str, str]], session: str) -> dict[str, Any]:
    """Where it serves, and for whom: what the ready file holds."""
    markets = list(server.surface.exchange.markets_by_ticker)
    return {
        "rest": server.rest, "ws": server.stream, "accounts": accounts, "session": session, "markets": markets,
        "pid": os.getpid(),
    }  # fmt: skip


def _announce(ready: dict[str, Any], plan: FaultPlan | None, *, step: bool, as_json: bool) -> None:
    if as_json:
        emit_json(ready)
        return
    say(f"serving {ready['session']} with {counted(len(ready['markets']), 'market')}")
    say(f"  REST       {ready['rest']}", f"  WebSocket  {ready['ws']}")
    say(*(f"  account    {one['key_id']}, its key in {one['private_key_file']}" for one in ready["accounts"]))
    if step:
        origin = ready["rest"].removesuffix("/trade-api/v2")
        say(f"  step with  curl -X POST {origin}/simulator/step -d '{{\"updates\": 1}}'")
    if plan is not None:
        note(f"faults: {msgspec.json.encode(plan).decode()}")
