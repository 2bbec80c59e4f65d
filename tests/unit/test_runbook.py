"""docs/runbook.md has every section of the operations runbook, in its order, with playbook, what that prints, what to do when it fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
#: The headings of the original, in order.
HEADINGS = """\
## Overview
## System Architecture
## Deployment Procedures
### Standard Deployment Process
#### Prerequisites
#### Step-by-Step Deployment
### Emergency Rollback Procedure
#### When to Rollback
#### Rollback Steps
#### Post-rollback Actions
## Monitoring and Alerting
### Key Metrics
### Automated Monitoring Commands
### Manual Health Checks
## Incident Response
### Severity Levels
#### Severity 1 (Critical)
#### Severity 2 (High)
#### Severity 3 (Medium)
#### Severity 4 (Low)
### Incident Response Procedures
#### Initial Response (0-15 minutes)
#### Investigation Phase (15 minutes - 4 hours)
#### Resolution Phase (Varies)
#### Post-incident (24-72 hours)
### Common Issues and Solutions
#### Application Not Responding
#### High Memory Usage
#### File Upload Issues
## Maintenance Procedures
### Weekly Tasks
### Monthly Tasks
### Quarterly Tasks
## Emergency Contacts
### Primary On-call
### Escalation Chain
### External Vendors
## Useful Commands Reference
### Log Analysis
### System Diagnostics
### Backup and Recovery
""".splitlines()
#: Its numbered steps and task lists.
STEPS = (
    "1. Pre-deployment (T-30 minutes)",
    "2. Deployment Execution (T-0)",
    "3. Post-deployment Validation (T+0 to T+15)",
    "4. Monitoring Phase (T+15 to T+60)",
)
TASKS = {
    "### Weekly Tasks": (
        "Review monitoring logs for patterns",
        "Check disk space usage",
        "Verify backup integrity",
        "Update dependencies if needed",
        "Review and rotate log files",
    ),
    "### Monthly Tasks": (
        "Performance analysis and optimization",
        "Security patch review and application",
        "Capacity planning review",
        "Documentation updates",
        "Disaster recovery test",
    ),
    "### Quarterly Tasks": (
        "Full system backup and restore test",
        "Security audit",
        "Performance benchmarking",
        "Infrastructure cost review",
        "Team training updates",
    ),
}
#: Headings whose own sections come below them.
PARENTS = {first for first, second in zip(HEADINGS, HEADINGS[1:]) if second.count("#") > first.count("#")}


def sections() -> dict[str, str]:
    """Heading -> the text up to the next one; code blocks hold no headings."""
    bare = re.sub(r"^```.*?^```$", lambda block: block[0].replace("#", " "), PAGE, flags=re.M | re.S)
    starts = [(found.start(), found[0]) for found in re.finditer(r"^#{2,4} .+$", bare, flags=re.M)]
    ends = [start for start, _heading in starts[1:]] + [len(PAGE)]
    return {heading: PAGE[start + len(heading) : end] for (start, heading), end in zip(starts, ends)}


def test_every_section_is_there_in_order_and_only_the_overview_is_more():
    assert [heading for heading in sections() if heading != "## At a glance"] == HEADINGS


@pytest.mark.parametrize("heading", [heading for heading in HEADINGS if heading not in PARENTS])
def test_a_section_has_a_playbook_what_it_prints_and_what_to_do_when_it_fails(heading):
    text = sections()[heading]
    assert re.search(r"\bops mobius\.ops\.\w+|-i inventories/\w+ mobius\.ops\.\w+", text), f"{heading}: no playbook"
    for words in ("*Prints:*", "*When it fails:*"):
        assert text.count(words) == 1, f"{heading}: {words}"
        assert len(text.split(words, 1)[1].strip()) > 10


def test_steps_and_tasks_are_there_in_order():
    steps = sections()["#### Step-by-Step Deployment"]
    assert re.findall(r"^\*\*(\d\. .+)\*\*$", steps, flags=re.M) == list(STEPS)
    for heading, tasks in TASKS.items():
        assert [name for name in re.findall(r"^\| ([^|]+) \| ", sections()[heading], flags=re.M) if name != "task"][: len(tasks)] == list(
            tasks
        )


def test_nothing_is_still_to_come_but_copies_off_site_and_awx():
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"\bto come\b(?! to rest)", line, flags=re.I):
                assert re.search(r"[Oo]ff-site|AWX", line), f"{path.name}: {line}"
