"""Pushes a package to several boards: canaries first, then the others, unless too many fail."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.boards.host_settings import read_host_settings, refuse_shared_ids
from deploy.boards.inventory import Host
from deploy.boards.parallel import Outcome, Report, all_succeeded, on_each_board
from deploy.boards.push import START_TIMEOUT, Packages, preview, push

MAX_FAILURES: Final = 3


@dataclass(frozen=True)
class Plan:
    """How to roll out.

    canary: number of boards upgraded first; if one fails, the others are not touched. max_failures: number of failures
    after which no further board is started. start_timeout: seconds the service has to become healthy. dry_run: only
    report changes.
    """

    canary: int = 0
    max_failures: int = MAX_FAILURES
    start_timeout: int = START_TIMEOUT
    dry_run: bool = False


def roll_out(hosts: list[Host], package: Path | None, plan: Plan, options: tuple[str, ...] = ()) -> bool:
    """Push to boards: `emotion-deploy push`.

    Args:
        hosts: the boards; the first ones are the canaries.
        package: a .deb; None builds the package of this checkout, for each board's release.
        plan: how to roll out.
        options: options of ssh, as after `-o`.

    Returns:
        Whether all of them run the new version.

    Raises:
        EmotionEdgeError: for invalid settings of any board, before anything is changed on one.
    """
    settings = {host.name: read_host_settings(host) for host in hosts}
    refuse_shared_ids(settings)
    packages = Packages(package)

    def one(host: Host, report: Report) -> bool:
        if plan.dry_run:
            return preview(host, packages.of(host, options), settings[host.name], report, options)
        chosen = packages.of(host, options)
        return push(host, chosen, settings[host.name], plan.start_timeout, report, options)

    canaries = hosts[: plan.canary]
    outcomes = on_each_board(canaries, one, max_failures=1) if canaries else []
    rest = hosts[len(canaries) :]
    if not all_succeeded(outcomes):
        outcomes += [Outcome(host, False, "skipped: a canary failed") for host in rest]
    elif rest:
        outcomes += on_each_board(rest, one, plan.max_failures)
    if len(hosts) > 1 and not plan.dry_run:
        _print_summary(outcomes)
    return all_succeeded(outcomes)


def _print_summary(outcomes: list[Outcome]) -> None:
    width = max(len(outcome.host.name) for outcome in outcomes)
    print(f"\n{sum(outcome.succeeded for outcome in outcomes)} of {len(outcomes)} boards succeeded:")
    for outcome in outcomes:
        print(f"  {outcome.host.name:{width}}  {outcome.text}")
