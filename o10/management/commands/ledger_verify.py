"""Does the ledger still say what it said? Exit 0 clean, 1 differs, 2 called wrongly."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ledger import facade as ledger
from o10.kernel import clock
from o10.kernel.errors import NotFound
from policies import facade as policies

WRONG_CALL = 2
DIFFERS = 1
FINDINGS_PRINTED = 20


class Command(BaseCommand):
    help = (
        "Recompute leaves, chain, tree, checkpoints, rollups, invariants, balances, leases and"
        " reservations from the rows. Without --full from this verifier's own last checkpoint."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--full", action="store_true", help="from the first entry")
        parser.add_argument(
            "--checkpoint", type=Path, help="a signed note kept elsewhere: must be extended"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Verifies, records the result, keeps the newest checkpoint when all is well."""
        own = settings.O10_HOME / "verify" / "last_checkpoint"
        given = [own, options["checkpoint"]] if options["checkpoint"] else [own]
        try:
            trusted = ledger.read_trusted_notes(
                [path for path in given if path != own or path.exists()]
            )
            company = ledger.ledger_of_company()
        except (ValueError, OSError, NotFound) as error:
            self._leave(WRONG_CALL, f"ledger_verify: {error}")
        keys = ledger.load_verifier_keys(
            path=Path(settings.O10_SIGNING_KEY_FILE), name=company.origin
        )
        started = clock.now()
        modes = ledger.VerifierMode
        audit = ledger.verify_ledger(
            mode=modes.FULL if options["full"] else modes.INCREMENTAL,
            keys=keys,
            trusted=trusted,
            progress=self._progress,
            and_also=_what_others_keep,
        )
        finished = clock.now()
        ledger.record_verification(
            ledger_id=company.id,
            mode=audit.mode,
            from_seq=audit.from_seq,
            upto_seq=audit.size,
            finding=audit.findings[0] if audit.findings else None,
            started_at=started,
            finished_at=finished,
        )
        if not audit.findings and audit.note:
            ledger.keep_trusted_note(path=own, note=audit.note)
        seconds = (finished - started).total_seconds()
        self.stdout.write(
            _as_json(audit, seconds) if options["json"] else _text(audit, seconds)
        )
        if audit.findings:
            raise SystemExit(DIFFERS)

    def _progress(self, done: int, total: int) -> None:
        if sys.stderr.isatty() or done == total:
            self.stderr.write(f"\r{done:,} of {total:,} entries", ending="")
            if done == total:
                self.stderr.write("")

    def _leave(self, code: int, message: str) -> None:
        self.stderr.write(message)
        raise SystemExit(code)


def _what_others_keep() -> list[ledger.Finding]:
    """Caches against entries, rules against the policy, P1 to P8, the price book."""
    findings = [
        ledger.Finding(
            code=row.code,
            seq=0,
            uid="",
            column=row.column,
            expected=str(row.expected),
            found=str(row.found),
            what=row.where,
        )
        for row in (*policies.check_conservation(), *policies.policy_findings())
    ]
    # An edited figure breaks a rule too; the rule is told where no figure is.
    findings += [
        ledger.Finding(
            code="invariant_broken",
            seq=0,
            uid="",
            column=breach.column,
            expected=breach.expected,
            found=breach.found,
            what=f"{breach.rule}: {breach.where}",
        )
        for breach in (() if findings else policies.check_invariants())
    ]
    altered = ledger.find_altered_prices()
    if altered is not None:
        findings.append(
            ledger.Finding(
                code="price_altered",
                seq=0,
                uid="",
                column="price book",
                expected=altered.expected,
                found=altered.found,
                what=f"version {altered.version}: {altered.what}",
            )
        )
    return findings


def _as_json(audit: ledger.Audit, seconds: float) -> str:
    return json.dumps(
        {
            "ok": not audit.findings,
            "mode": audit.mode.value,
            "origin": audit.origin,
            "from_seq": audit.from_seq,
            "size": audit.size,
            "root": audit.root,
            "chain": audit.head,
            "first": audit.findings[0].as_json() if audit.findings else None,
            "findings": [finding.as_json() for finding in audit.findings],
            "notes": audit.notes,
            "seconds": round(seconds, 3),
        },
        indent=1,
    )


def _text(audit: ledger.Audit, seconds: float) -> str:
    looked = "all entries" if not audit.from_seq else f"from position {audit.from_seq:,} on"
    lines = [
        f"{audit.origin}: {audit.size:,} entries, {looked}, {seconds:.1f} s",
        f"root  {audit.root}",
        f"chain {audit.head}",
        *(f"note  {note}" for note in audit.notes),
        *(f"DIFFERS  {finding.line()}" for finding in audit.findings[:FINDINGS_PRINTED]),
    ]
    if len(audit.findings) > FINDINGS_PRINTED:
        lines.append(f"and {len(audit.findings) - FINDINGS_PRINTED} more")
    lines.append("DIFFERS" if audit.findings else "OK: every check passed")
    return "\n".join(lines)
