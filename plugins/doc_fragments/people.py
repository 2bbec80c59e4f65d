# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options about people that several modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of shared options; ``mobius.ops.people.DIRECTORY``."""

    DOCUMENTATION = r"""
options: {}
"""
    DIRECTORY = r"""
options:
  contacts:
    description:
      - C(channels), ids of ways to reach someone, each with C(fallback), the channel that gets a message when this one fails.
      - C(people), ids of persons, each with C(name) and C(channels).
    type: dict
    default: {}
  oncall:
    description:
      - On-call schedules by name. Each has C(people), who take turns, C(start), the date of the first hand-over, C(weekday), C(time),
        C(time_zone) (an IANA name; UTC when missing), C(weeks) of a turn, C(overrides), a list of C({person, from, to}), and C(calendar),
        the text of an iCalendar file.
    type: dict
    default: {}
  escalation:
    description:
      - A chain for each severity from V(1) to V(4), a list of levels with C(after), the minutes since the incident was opened, and
        C(notify), ids of schedules, people and channels.
      - A level that reaches nobody is skipped at once. A severity without a chain has that of the next worse severity.
    type: dict
    default: {}
"""
