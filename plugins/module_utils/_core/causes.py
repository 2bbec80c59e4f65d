# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a command failed: the lines of its output that state the cause, and what to do about a known one.

Sources: the output of npm 6 to 11, git 2.39, HAProxy 2.6, Node 20, vite 5, rollup 4, webpack 5, tsc 5, esbuild, ffmpeg and OpenSSH,
recorded in ``tests/unit/plugins/module_utils/recorded``.
"""

from __future__ import annotations

import re
import typing as t

#: Limits of a cause: lines, characters a line, characters in all.
LINES, WIDTH, LONGEST = 6, 300, 900
#: Lines that follow the first error line and belong to it, and last lines.
_FOLLOW, _LAST = 2, 2

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f\x7f]")
_NPM = re.compile(r"npm (?:error|ERR!) ?")
_USAGE, _USAGE_END = re.compile(r"Clean install a project$|Usage:$"), re.compile(r"Run \"?npm help")
_LOG_FILE = re.compile(r"A complete log of this run can be found in:\s*(?:npm (?:error|ERR!)\s+)?(/\S.{0,500}\.log)$", re.MULTILINE)
_LOG_PATH = re.compile(r"(?:A complete log of this run can be found in|For a full report see):$")

#: Lines that never state a cause.
_NOISE = re.compile(
    "|".join(
        (
            r"\W*$",
            r"npm (?:notice|warn|WARN)\b",
            r"hint:",
            r"\[(?:NOTICE|WARNING)\]",
            r"> \S+@\S+ \S+",
            r"> (?!\d+ \|)\w",
            r"(?:A complete log of this run|For a full report see|Log files were not written|You can rerun the command with)",
            # npm repeats and advises
            r"(?:code|errno|syscall|path|address|port|type|requireStack): (?:'[^']*'|-?\d+|\[\]),?$",
            r"(?:errno|syscall) \S+$",
            r"404$",
            r"network$",
            r"code (?:\d+|ELIFECYCLE)$",
            r"command failed$",
            r"Exit status \d+$",
            r"404 (?:Note that you can|tarball, folder)",
            r"nospc (?:There appears|Clear up)",
            r"notsup Not compatible",
            r"engine Unsupported engine$",
            r"network (?:This is a problem|In most cases)",
            r"(?:network )?(?:If you are behind a proxy|'proxy' config is set)",
            r"The operation was rejected by",
            r"It is likely you do not have",
            r"If you believe this might be",
            r"To permanently fix this",
            r"To see a list of scripts",
            r"npm run$",
            r"This is probably not a problem with npm",
            # git advises
            r"Please make sure you have the correct access rights",
            r"and the repository exists\.$",
            r"fatal: (?:Could not read from remote repository|the remote end hung up)",
            r"warning: ",
            # Node's frames and warnings
            r"at (?:async |new )?[^()]* ?\(.*\)(?: \{)?$",
            r"at .*:\d+:\d+\)?(?: \{)?$",
            r"Node\.js v\d",
            r"node:internal/",
            r"throw err;$",
            r"\(node:\d+\) .*Warning:",
            r"\(Use `node --trace",
            r"\[cause\]",
            r"x Build failed in",
            r"Traceback \(most recent",
            # others
            r"Shared connection to \S+ closed",
            r"[@\W]*WARNING: UNPROTECTED",
            r"Signing data on",
            r"See \"systemctl",
            r"config : (?:Error\(s\) found in|Fatal errors found)",
        )
    )
)
#: What the cause is most likely to look like, best first.
_ERRORS = tuple(
    re.compile(text)
    for text in (
        r"fatal: |\[ALERT\]|code E[A-Z]+\d*$",
        r"[\w.]*(?:Error|Exception|Rejection)\b(?: \[\w+\])?:|error(?:[:\[]| during build:)|(?:\S+: )?ERROR(?: in |:)"
        r"|(?:\S+ )?\[(?:ERROR|!)\]|\S+\(\d+,\d+\): error |\S+:\d+: (?:fatal )?error:|Failed to compile|panic: ",
        r".*(?:[Cc]ommand not found|: not found$|No such file or directory|[Pp]ermission denied|No space left on device|out of memory)",
    )
)
#: What is cut out of the lines that are shown.
_CLUTTER = re.compile(r"(?<=\[ALERT\]) *[\d/]* *\(\d+\) :(?: config :)?| @ 0x[0-9a-f]+")

_REGISTRY = "Check that this machine reaches the package registry (npm ping), or set mobius_dependencies to ship for hosts that do not"
_GIT_SERVER = "Check that the controller reaches the git server, then run it again"
_GIT_ACCESS = "Give the controller's user access to the repository: a git credential helper, GIT_ASKPASS or an SSH key"
_SOURCE = "Correct mobius_release_source"
#: What the command line begins with, what the cause matches, and what to do then. The first that fits counts.
_REMEDIES = tuple(
    (command, re.compile(text), todo)
    for command, text, todo in (
        ("npm", r"\bcode ENOTCACHED", "Remove --offline from mobius_npm_ci_args, or fill npm's cache on this machine first"),
        ("npm", r"\bcode (?:ECONN\w+|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT|EIDLETIMEOUT)", _REGISTRY),
        ("npm", r"\bcode (?:E401|E403|ENEEDAUTH)", "Give this machine's user access to the package registry: a token in .npmrc"),
        ("npm", r"\bcode E(?:429|5\d\d)", "The package registry is not well: run it again later"),
        (
            "npm",
            r"\bcode \w*(?:CERT|ISSUER|SIGNATURE)\w*",
            "Name the registry's certificate authority: cafile in .npmrc, or NODE_EXTRA_CA_CERTS",
        ),
        ("npm", r"\bcode (?:E404|ETARGET|ENOVERSIONS)", "Correct the dependency in the source, or the registry in .npmrc"),
        (
            "npm",
            r"\bcode EINTEGRITY",
            "Run npm cache verify on this machine. If that does not help, find out who changed the package: "
            "its content is not what package-lock.json states",
        ),
        ("npm", r"\bcode EBADENGINE", "Install the Node.js and npm versions that the cause names, on this machine"),
        ("npm", r"\bcode (?:EUSAGE|EJSONPARSE)", "Run npm install in the source, commit its package-lock.json and deploy that commit"),
        ("npm", r"\bcode ERESOLVE", "Correct the conflicting versions in package.json of the source, and commit its new package-lock.json"),
        ("npm ci", r"\bcommand sh -c ", "Correct what that install script lacks, or add --ignore-scripts to mobius_npm_ci_args"),
        ("npm", r"Missing script", "Add the script to package.json in the source, or correct mobius_build_command"),
        (
            "git",
            r"Could not resolve|Failed to connect|[Cc]onnection (?:refused|reset|timed out|closed)|timed out|unreachable"
            r"|[Nn]o route to|error: 5\d\d",
            _GIT_SERVER,
        ),
        ("git", r"Host key verification failed", "Add the git server's key to the known_hosts file of the controller's user"),
        (
            "git",
            r"Permission denied \(|Authentication failed|could not read (?:Username|Password)|terminal prompts disabled|error: 403",
            _GIT_ACCESS,
        ),
        (
            "git",
            r"dubious ownership",
            "Give the repository to the controller's user, or run there: git config --global --add safe.directory PATH",
        ),
        ("git", r"certificate", "Name the git server's certificate authority: git config --global http.sslCAInfo FILE"),
        (
            "git",
            r"is corrupt|loose object|bad object|inflate|unable to read",
            "Repair the repository (git fsck), or name another copy in mobius_release_source",
        ),
        ("git", r"invalid reference|pathspec", "Correct mobius_release_ref: no branch, tag or commit has that name"),
        (
            "",
            r"ENOSPC|EDQUOT|No space left on device|no space left|[Dd]isk quota exceeded",
            "Free disk space on this machine, then run it again",
        ),
        ("", r"EROFS|[Rr]ead-only file ?system", "Make the file system of that path writable, then run it again"),
        ("", r"EACCES|EPERM|[Pp]ermission denied", "Give the user that runs this access to that path, then run it again"),
        ("", r"EMFILE|ENFILE|[Tt]oo many open files", "Raise the limit of open files (ulimit -n) of the user that runs this"),
        (
            "",
            r"ENOMEM|JavaScript heap out of memory|Cannot allocate memory|[Oo]ut of memory",
            "Give this machine more memory, then run it again",
        ),
        ("", r"^SIGKILL", "Find out what killed it (journalctl -k names a process that took too much memory), then run it again"),
        (
            "",
            r"\bsh: (?:\d+: |line \d+: )?\S+: (?:command )?not found",
            "Add that program to the dependencies of the source, or install it on this machine",
        ),
        ("git", r"does not exist|does not appear to be a git repository|not found|not a git repository", _SOURCE),
    )
)


def remedy(command: str, cause: str) -> str:
    """What to do about the cause of a command's failure, a sentence without its full stop; empty when it is not a known one."""
    return next((todo for begin, pattern, todo in _REMEDIES if command.startswith(begin) and pattern.search(cause)), "")


def log_file(errors: str) -> str:
    """The file that npm names for its whole log; empty when it names none."""
    found = _LOG_FILE.search(errors)
    return found.group(1) if found else ""


def cause(errors: str, output: str = "") -> str:
    """The cause of a failure in one line: the first error line with what follows it, the last lines, then what came before.

    :param errors: what the command wrote to its error output, with secrets hidden already, because lines are cut off here.
    :param output: what it wrote to its output; errors are looked for in both.
    :returns: at most ``LONGEST`` characters; empty when the command printed nothing.
    """
    streams = [_telling(errors), _telling(output)]
    lines, at = next(
        ((lines, at) for pattern in _ERRORS for lines in streams for at, line in enumerate(lines) if pattern.match(line)),
        (streams[0] or streams[1], None),
    )
    if at is None:
        picked = lines[-LINES:]
    else:
        last = streams[0] or streams[1]
        picked = [*lines[at : at + 1 + _FOLLOW], *last[-_LAST:], *reversed(lines[:at] if lines is streams[0] else [])]
    unique = list(dict.fromkeys(picked))[:LINES]
    text = " | ".join(_short(_CLUTTER.sub("", line), WIDTH) for line in unique)
    return _short(text, LONGEST)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _telling(text: str) -> list[str]:
    """The lines that may state a cause, each once; all but notices when none does."""
    lines = [line.strip() for line in _ESCAPES.sub("", text).splitlines()]
    lines = [line for line in _without_usage(lines) if line]
    told = [line for line in lines if not _NOISE.match(line)]
    return list(dict.fromkeys(told or [line for line in lines if re.search(r"\w", line) and not re.match(r"npm notice|\[NOTICE", line)]))


def _without_usage(lines: list[str]) -> t.Iterator[str]:
    """The lines without npm's prefix and without its help and the path of its log."""
    helping = log_follows = False
    for raw in lines:
        line = _NPM.sub("", raw, count=1).strip() if _NPM.match(raw) else raw
        if line is not raw and not helping:
            helping = bool(_USAGE.match(line))
        if not helping and not log_follows:
            yield line
        helping = helping and not _USAGE_END.match(line)
        log_follows = bool(_LOG_PATH.match(line)) if line else log_follows
