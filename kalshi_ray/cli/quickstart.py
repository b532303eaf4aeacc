"""`kalshi-ray quickstart`: the whole chain on a generated session, with what each step and figure means."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, progress_bar, say, show, table
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.data.session import Session
    from kalshi_ray.data.store import SessionStore
    from kalshi_ray.evaluate.report import EvaluationReport
    from kalshi_ray.evaluate.run import Evaluation
    from kalshi_ray.train.job import Trained

PROGRAM = "kalshi-ray"
SESSION = "quickstart"
SECTIONS = ("synth", "selection", "split", "env", "train", "ray", "evaluation", "causal")
DEFAULTS = Path(__file__).resolve().parents[2] / "jobs" / "quickstart.toml"

MEANING = """\
[bold]How to read it[/bold]
  fill edge      what each fill was worth by the true probability at that moment, less its fee. Only generated
                 sessions know it; it is the result without the luck of how a market ended.
  share of the   the best that can be done by one who knows the rule of this generator but not the future.
  oracle
  net            what the account really won or lost, fees paid, settled by the venue.
  hold, random,  doing nothing; trading as often as the policy but at random, which shows what costs do;
  join-best      quoting at the best prices, which informed takers pick off here."""


@dataclass
class Story:
    """Tells the steps, and keeps what they took for `--json`."""

    silent: bool
    folder: Path
    steps: int = 6
    done: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, title: str, why: str) -> Iterator[None]:
        """One numbered step: what is done and why, and how long it took."""
        self.done += 1
        self.tell(f"\n[bold]{self.done}/{self.steps}  {title}[/bold]", f"     {why}")
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began
        self.tell(f"     [dim]{self.seconds[name]:.1f} s[/dim]")

    def tell(self, *lines: str) -> None:
        """Print, unless only JSON is wanted."""
        if not self.silent:
            say(*lines)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    aliases = {"--total-timesteps": "train.steps", "--seed": "synth.seed", "--markets": "synth.markets"}
    app.command("quickstart", cls=settings_command(*SECTIONS, aliases=aliases))(quickstart)


def quickstart(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Option("--folder", help="Where store, runs, registry and reports are made.")] = Path(
        "quickstart"
    ),
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Generate, analyze, train, judge, register: the whole chain in about two minutes, explained step by step.

    Example: kalshi-ray quickstart --folder /tmp/quickstart
    """
    config = config or _defaults()
    settings = _in_folder(settings_of(ctx, config), folder)
    story = Story(silent=as_json, folder=folder)
    began = time.perf_counter()
    story.tell("[bold]From order books to a registered policy[/bold], on this machine, with nothing but this package.")
    from kalshi_ray.data.store import open_store
    from kalshi_ray.train.ray_session import ray_session

    store = open_store(settings.places.store)
    with _compiling_meanwhile():
        session = _generate(story, settings, store)
        _analyze(story, settings, session)
    with ray_session(settings.ray):
        trained = _train(story, settings, session)
    judged = _judge(story, settings, session, trained)
    model = _register(story, settings, trained, judged)
    report = _report(story, settings, judged)
    total = time.perf_counter() - began
    if as_json:
        figures = [{"name": p.name, "role": p.role, "figures": p.figures} for p in judged.report.policies]
        emit_json({"seconds": story.seconds | {"total": total}, "model": model, "report": report, "policies": figures})
        return
    say(f"\nall of it in {total:.0f} s", "", *_next_commands(folder, config, report))


@contextmanager
def _compiling_meanwhile() -> Iterator[None]:
    """Compile the environment in a process beside this one, for the first run of a new version; wait for it at the end.

    Whether it succeeds makes no difference: training compiles what it does not find.
    """
    command = [sys.executable, "-m", "kalshi_ray.env.warm"]
    compiler = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        compiler.wait()
    finally:
        compiler.kill()


def _defaults() -> Path:
    if not DEFAULTS.is_file():
        raise UsageError("jobs/quickstart.toml is not beside this installation", remedy="Give its copy with --config")
    return DEFAULTS


def _in_folder(settings: Settings, folder: Path) -> Settings:
    """The settings with every place inside the quickstart's folder, unless it was set."""
    given = settings.places
    moved = {name: str(folder / name) for name in ("store", "runs", "registry", "reports")}
    changed: Any = settings
    defaults = type(given)()
    kept = {name: getattr(given, name) for name in moved if getattr(given, name) != getattr(defaults, name)}
    result: Settings = msgspec.structs.replace(changed, places=msgspec.structs.replace(given, **(moved | kept)))
    return result


def _generate(story: Story, settings: Settings, store: SessionStore) -> Session:
    from kalshi_ray.data.synthetic.session import synthesize

    synth = settings.synth
    why = (
        f"{synth.markets} markets of the regime '{synth.regime}': fair prices, and now and then the resting size on\n"
        "     one side grows, after which the price jumps that way nine times in ten. That is what there is to learn."
    )
    with story.step("synth", "Generate a session of order books", why):
        if SESSION in store.ids():
            session = store.open(SESSION)
            if session.manifest.origin.get("settings") != msgspec.to_builtins(synth):
                raise UsageError(
                    f"{story.folder} holds a session of other settings", remedy="Choose another --folder, or remove it"
                )
            story.tell("     it is there already, from an earlier quickstart")
        else:
            with progress_bar() as progress:
                synthesize(store, SESSION, synth, progress)
            session = store.open(SESSION)
        story.tell(f"     {session.manifest.updates:,} updates of {session.manifest.markets:,} markets")
    return session


def _analyze(story: Story, settings: Settings, session: Session) -> None:
    from kalshi_ray.data.analysis import AnalysisSettings, analyze_session, report_html

    why = "What is in it, which markets are fit for training, and what a round trip costs: before any training."
    with story.step("analyze", "Look at it", why):
        with progress_bar() as progress:
            report = analyze_session(session, AnalysisSettings(edge=True, suitability=settings.selection), progress)
        page = story.folder / "reports" / "session.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(report_html(report), encoding="utf-8")
        found = report.overview
        cost = f", a round trip {report.edge.round_trip_cents['mean']:.1f}¢" if report.edge else ""
        story.tell(
            f"     {found.suitable:,} of {found.markets:,} markets are suitable; "
            f"mean spread {found.spread_cents:.1f}¢{cost}",
            f"     page with plots: {page}",
        )


def _train(story: Story, settings: Settings, session: Session) -> Trained:
    from kalshi_ray.train.job import name_run, train_on_sessions

    why = (
        "RLlib PPO on the first half of the markets. Costs are refunded at first and rise to their full size, because\n"
        "     at full cost from the start every policy learns to do nothing before it meets the signal."
    )
    with story.step("train", "Train a policy", why):
        with progress_bar() as progress:
            trained = train_on_sessions(
                [session],
                settings.train,
                env=settings.env,
                selection=settings.selection,
                split=settings.split,
                causal=settings.causal,
                run_dir=Path(settings.places.runs) / name_run(settings.train),
                progress=progress,
                reason="quickstart",
            )
        result = trained.result
        story.tell(
            f"     {result.steps:,} decisions on {trained.trained_on:,} markets, {result.steps_per_s:,.0f} a second"
        )
    return trained


def _judge(story: Story, settings: Settings, session: Session, trained: Trained) -> Evaluation:
    from kalshi_ray.evaluate.job import evaluate_on_session
    from kalshi_ray.registry import load_bundle, open_registry

    why = (
        "On markets and hours it never saw, at full cost, beside doing nothing, random trading, a plain market maker\n"
        "     and the best possible policy."
    )
    with story.step("evaluate", "Judge it", why), progress_bar() as progress:
        return evaluate_on_session(
            session,
            [str(trained.result.bundle)],
            settings.evaluation,
            env=settings.env,
            selection=settings.selection,
            causal=settings.causal,
            split=settings.split,
            bundles=load_bundle,
            registry=open_registry(settings.places.registry),
            progress=progress,
        )


def _register(story: Story, settings: Settings, trained: Trained, judged: Evaluation) -> str:
    from kalshi_ray.registry.models import open_registry

    why = "Weights, everything they depend on, and a probe which proves wherever they are loaded that they load right."
    with story.step("register", "Register it", why):
        registry = open_registry(settings.places.registry)
        model = registry.register(trained.result.bundle, alias="challenger", reason="quickstart", forced=True)
        story.tell(f"     {model}, also called challenger")
    return model


def _report(story: Story, settings: Settings, judged: Evaluation) -> Path:
    from kalshi_ray.evaluate.job import write_report

    with story.step("report", "Read the result", "The same figures, and many more, stand in the page below."):
        paths = write_report(judged, Path(settings.places.reports) / "evaluation")
    if not story.silent:
        show(verdict_table(judged.report))
        say("", MEANING)
    return next(path for path in paths if path.suffix == ".html")


def verdict_table(report: EvaluationReport) -> Any:
    """The policies with the figures that matter here."""
    rows = []
    for policy in report.policies:
        figures = policy.figures
        edge = figures.edge
        share = edge.share_of_oracle if edge else None
        rows.append(
            (
                policy.name if policy.role != "judged" else f"{policy.name} (trained)",
                f"${edge.per_market.mean:,.2f}" if edge else "",
                f"{share:.0%}" if share is not None else "",
                f"${figures.money.net:,.2f}",
                figures.counts.trades,
            )
        )
    columns = ("policy", "fill edge a market", "share of the oracle", "net", "trades")
    return table(f"On {report.data.markets:,} markets never seen", columns, rows, right=columns[1:])


def _next_commands(folder: Path, config: Path, report: Path) -> list[str]:
    from rich.markup import escape

    registry = shlex.quote(str(folder / "registry"))
    places = f"--store {shlex.quote(str(folder / 'store'))} --registry {registry}"
    near = config.relative_to(Path.cwd()) if config.is_relative_to(Path.cwd()) else config
    settings = f"--config {shlex.quote(str(near))}"
    call = f"  {_program()}"
    return [
        f"[bold]The report, for a browser[/bold]: {escape(str(report))}",
        "",
        "[bold]What to type next[/bold]",
        escape(f"{call} models show challenger --registry {registry}"),
        escape(f"{call} evaluate --session {SESSION} --policy challenger --policy take-imbalance {places} {settings}"),
        escape(f"{call} env trace {SESSION} --policy challenger {places} {settings}"),
        f"{call} sessions import --help        bring your own recordings",
    ]


def _program() -> str:
    """What a shell calls this program here: its name, or its path where the name is not found or is another's."""
    called = Path(sys.argv[0])
    if called.name != PROGRAM:
        return PROGRAM
    found = shutil.which(PROGRAM)
    return PROGRAM if found and Path(found).samefile(called) else shlex.quote(str(called))
