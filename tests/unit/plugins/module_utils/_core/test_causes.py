# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cause of a failure, in outputs that real programs printed (``recorded/``: error output, then output)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import causes

RECORDED = Path(__file__).parents[1] / "recorded"
IN_SYNC = (
    "code EUSAGE | `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in "
    "sync. Please update your lock file with `npm install` before continuing. | Missing: left-pad@1.3.0 from lock file"
)
NOT_CACHED = (
    "code ENOTCACHED | request to https://registry.example/left-pad failed: cache mode is 'only-if-cached' but no cached "
    "response is available."
)
NOT_FOUND = (
    "code E404 | 404 Not Found - GET https://registry.example/mobius-no-such-package-xyz | "
    "404  'mobius-no-such-package-xyz@1.0.0' is not in this registry."
)
REFUSED = "code ECONNREFUSED | FetchError: request to http://127.0.0.1:9/left-pad failed, reason: connect ECONNREFUSED 127.0.0.1:9"
THROWN = 'Error: cannot download the binary | console.log(1); throw new Error("cannot download the binary")'
NO_ACCESS = "Give the user that runs this access to that path"
WHOLE = [
    ("npm ci", "npm9-lock-out-of-sync", IN_SYNC, "commit its package-lock.json"),
    ("npm ci", "npm10-lock-out-of-sync", IN_SYNC, "commit its package-lock.json"),
    ("npm ci", "npm11-lock-out-of-sync", IN_SYNC, "commit its package-lock.json"),
    ("npm ci", "npm9-not-cached", NOT_CACHED, "Remove --offline from mobius_npm_ci_args"),
    ("npm ci", "npm11-not-cached", NOT_CACHED, "Remove --offline from mobius_npm_ci_args"),
    ("npm ci", "npm9-missing-package", NOT_FOUND, "Correct the dependency in the source"),
    ("npm ci", "npm10-missing-package", NOT_FOUND, "Correct the dependency in the source"),
    ("npm ci", "npm9-refused", REFUSED, "reaches the package registry"),
    ("npm ci", "npm11-refused", REFUSED, "reaches the package registry"),
    (
        "npm ci",
        "npm11-unknown-host",
        "code ENOTFOUND | network request to http://registry.invalid/left-pad failed, reason: getaddrinfo ENOTFOUND registry.invalid",
        "reaches the package registry",
    ),
    (
        "npm ci",
        "npm11-read-only-folder",
        "code EACCES | path /srv/app/node_modules | Error: EACCES: permission denied, mkdir '/srv/app/node_modules'",
        NO_ACCESS,
    ),
    ("npm ci", "npm11-disk-full", "code ENOSPC | nospc ENOSPC: no space left on device, write", "Free disk space"),
    (
        "npm ci",
        "npm11-engine",
        "code EBADENGINE | engine Not compatible with your version of node/npm: app@1.0.0 | notsup Required: "
        '{"node":">=99"} | notsup Actual:   {"node":"v20.20.2","npm":"11.19.1"}',
        "Install the Node.js and npm versions",
    ),
    (
        "npm ci",
        "npm11-own-script",
        "cannot download the binary | path /srv/app | command sh -c node -e \"console.error('cannot download "
        "the binary'); process.exit(3)\"",
        "add --ignore-scripts to mobius_npm_ci_args",
    ),
    ("npm run nosuch", "npm11-missing-script", 'Missing script: "nosuch"', "correct mobius_build_command"),
    ("npm run build", "build-tool-missing", "sh: 1: nosuchtool: not found", "Add that program to the dependencies of the source"),
    ("npm run build", "node-missing-module", "Error: Cannot find module '/srv/app/build.js'", ""),
    (
        "npm run build",
        "tsc",
        "x.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'. | x.ts(1,24): error TS2304: Cannot find name 'y'.",
        "",
    ),
    (
        "npm run build",
        "vite-missing-file",
        'error during build: | Could not resolve "./missing.js" from "src/main.js" | file: /srv/app/src/main.js',
        "",
    ),
    (
        "npm run build",
        "react-scripts-syntax",
        "Failed to compile. | [eslint] | src/App.js | Syntax error: Unterminated JSX contents. (1:45) (1:45)",
        "",
    ),
    (
        "git clone",
        "git-missing-repository",
        "fatal: '/srv/missing.git' does not appear to be a git repository",
        "Correct mobius_release_source",
    ),
    ("git checkout", "git-missing-ref", "fatal: invalid reference: nosuch", "Correct mobius_release_ref"),
    (
        "git clone",
        "git-ssh-unknown-host",
        "ssh: Could not resolve hostname git.invalid: Name or service not known",
        "reaches the git server",
    ),
    (
        "git clone",
        "git-unknown-host",
        "fatal: unable to access 'https://git.invalid/x.git/': Could not resolve host: git.invalid",
        "reaches the git server",
    ),
    (
        "git clone",
        "git-refused",
        "fatal: unable to access 'https://127.0.0.1:9/x.git/': Failed to connect to 127.0.0.1 port 9 after 0 ms: "
        "Couldn't connect to server",
        "reaches the git server",
    ),
    ("git clone", "git-read-only", "fatal: could not create work tree dir '/srv/app/c': Permission denied", NO_ACCESS),
    ("python3", "python-exception", "ModuleNotFoundError: No module named 'nosuch' | File \"<string>\", line 1, in <module>", ""),
    (
        "systemctl",
        "systemctl-no-bus",
        "System has not been booted with systemd as init system (PID 1). Can't operate. | Failed to connect to bus: Host is down",
        "",
    ),
    ("ffprobe", "ffprobe-video", "[mov,mp4,m4a,3gp,3g2,mj2] moov atom not found | v.mp4: Invalid data found when processing input", ""),
]
BEGINS = [
    (
        "npm ci",
        "npm11-broken-lock",
        "code EUSAGE | The `npm ci` command can only install with an existing package-lock.json or | ",
        "commit its",
    ),
    (
        "npm ci",
        "npm11-eresolve",
        "code ERESOLVE | ERESOLVE could not resolve | While resolving: react-dom@17.0.0 | ",
        "conflicting versions",
    ),
    ("npm ci", "npm11-integrity", "code EINTEGRITY | Integrity checksum failed when using sha512: wanted sha512-AAAA", "npm cache verify"),
    ("npm ci", "npm11-missing-package", "code E404 | 404 Not Found - GET ", "Correct the dependency in the source"),
    ("npm ci", "npm11-read-only-cache", "code EACCES | path /srv/app/_cacache | ", NO_ACCESS),
    ("npm ci", "npm8-install-script", THROWN, "add --ignore-scripts to mobius_npm_ci_args"),
    ("npm ci", "npm11-install-script", THROWN, "add --ignore-scripts to mobius_npm_ci_args"),
    ("npm run build", "npm6-build", "x.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'. | ", ""),
    (
        "npm run build",
        "vite-syntax",
        "error during build: | [vite:build-import-analysis] [plugin vite:build-import-analysis] src/main.js (1:0): Failed to parse source",
        "",
    ),
    ("npm run build", "rollup-syntax", "[!] RollupError: src/main.js (2:0): Expected ',', got '<eof>' | src/main.js (2:0) | ", ""),
    ("npm run build", "webpack-syntax", "ERROR in ./src/main.js 2:0 | Module parse failed: Unexpected token (2:0) | ", ""),
    (
        "npm run build",
        "webpack-missing-file",
        "ERROR in ./src/main.js 1:0-31 | Module not found: Error: Can't resolve './missing.js' in ",
        "",
    ),
    ("esbuild", "esbuild", "✘ [ERROR] Unexpected end of file | s.js:2:0:", ""),
    ("node", "node-exception", "TypeError: x is not a function | ", ""),
    ("node", "node-rejection", "UnhandledPromiseRejection: This error originated either by throwing inside of an async function", ""),
    ("git clone", "git-corrupt", "fatal: loose object 533fb61e49b27ef81961ec5f4b8b6b4290c948cc (stored in ./objects/", "git fsck"),
    ("git clone", "git-dubious-owner", "fatal: detected dubious ownership in repository at '/srv/app/.git' | ", "safe.directory"),
    ("git clone", "git-disk-full", "fatal: cannot copy ", "Free disk space"),
    (
        "haproxy",
        "haproxy-config",
        "[ALERT] parsing [h.cfg:2] : unknown keyword 'nosuch' in 'global' section | [ALERT] parsing [h.cfg:4]",
        "",
    ),
    ("ffmpeg", "ffmpeg-encoder", "[h264_nvenc] Cannot load libcuda.so.1 | ", ""),
    ("ssh-keygen", "ssh-keygen-open-key", "Permissions 0644 for 'v.mp4' are too open. | ", ""),
]


def cause(name):
    errors, _mark, output = (RECORDED / f"{name}.txt").read_text(encoding="utf-8").partition("=== stdout\n")
    return causes.cause(errors, output)


def test_every_recorded_output_is_judged():
    assert sorted(name for _command, name, _text, _todo in WHOLE + BEGINS) == sorted(path.stem for path in RECORDED.glob("*.txt"))


@pytest.mark.parametrize(("command", "name", "text", "todo"), WHOLE)
def test_the_cause_is_all_that_is_shown(command, name, text, todo):
    assert cause(name) == text
    assert todo in causes.remedy(command, text) and bool(todo) == bool(causes.remedy(command, text))


@pytest.mark.parametrize(("command", "name", "text", "todo"), BEGINS)
def test_the_cause_comes_first(command, name, text, todo):
    assert cause(name).startswith(text)
    assert todo in causes.remedy(command, cause(name)) and bool(todo) == bool(causes.remedy(command, cause(name)))


@pytest.mark.parametrize("name", [name for _command, name, _text, _todo in WHOLE + BEGINS])
def test_no_notice_help_or_stack_frame_is_shown(name):
    shown = cause(name)
    assert not re.search(r"notice|complete log|Usage|Options|--install-|proxy' config|\[NOTICE\]|access rights|node:internal", shown)
    assert "\x1b" not in shown and "\n" not in shown and not re.search(r"(^|\| )at ", shown)
    assert len(shown) <= causes.LONGEST and shown.count(" | ") <= causes.LINES


@pytest.mark.parametrize(
    "text",
    [
        "npm error code 1\nnpm error A complete log of this run can be found in: /root/.npm/_logs/2026-debug-0.log\n",
        "npm ERR! A complete log of this run can be found in:\nnpm ERR!     /root/.npm/_logs/2026-debug-0.log\n",
    ],
)
def test_the_log_that_npm_names(text):
    assert causes.log_file(text) == "/root/.npm/_logs/2026-debug-0.log" and causes.log_file("") == ""


@pytest.mark.parametrize(
    "errors",
    [
        "npm notice\nnpm notice New minor version of npm available! 11.19.1 -> 11.21.2\n{}\nnpm notice To update run: npm i -g npm\n",
        "npm warn deprecated left-pad@1.3.0: use String.prototype.padStart()\n{}\n",
        "hint: Pulling without specifying how to reconcile\n{}\nhint: see git help pull\n",
        "[NOTICE]   (1) : haproxy version is 2.6.12\n{}\n[WARNING]  (1) : config : missing timeouts\n",
        "(node:7) [DEP0040] DeprecationWarning: The `punycode` module is deprecated.\n{}\n"
        "(Use `node --trace-deprecation ...` to show where)\n",
    ],
)
def test_notices_around_the_cause_are_dropped(errors):
    assert causes.cause(errors.format("fatal: the disk is on fire")) == "fatal: the disk is on fire"


def test_an_output_of_nothing_but_advice_is_shown_all_the_same():
    assert causes.cause("fatal: Could not read from remote repository.\n") == "fatal: Could not read from remote repository."


def test_without_an_output_there_is_no_cause():
    assert causes.cause("", " \n\n") == ""


def test_the_error_in_the_output_counts_before_what_the_error_output_repeats():
    errors = "npm ERR! code ELIFECYCLE\nnpm ERR! errno 1\nnpm ERR! app@1.0.0 build: `webpack`\nnpm ERR! Exit status 1\n"
    shown = causes.cause(errors, "built a\nERROR in ./a.js 1:0\nModule parse failed\n")
    assert shown.startswith("ERROR in ./a.js 1:0 | Module parse failed")


def test_without_an_error_line_the_last_lines_are_shown():
    assert causes.cause("\n".join(f"step {number}" for number in range(20))) == " | ".join(f"step {number}" for number in range(14, 20))


def test_the_first_error_line_and_the_last_lines_are_shown_of_a_long_output():
    lines = ["reading", "error: first", "second line", *(f"error: number {number}" for number in range(500)), "3 steps failed", "giving up"]
    assert causes.cause("\n".join(lines)) == "error: first | second line | error: number 0 | 3 steps failed | giving up | reading"


def test_a_repeated_line_is_shown_once():
    assert causes.cause("error: a\n" * 50 + "error: b\n") == "error: a | error: b"


def test_long_lines_are_cut():
    shown = causes.cause("\n".join(f"error: {letter * 5000}" for letter in "abcdef"))
    assert len(shown) == causes.LONGEST and shown.startswith("error: aaa") and "…" in shown


@pytest.mark.parametrize(
    ("command", "text", "todo"),
    [
        ("npm ci", "code ETIMEDOUT", "reaches the package registry"),
        ("npm ci", "code ECONNRESET", "reaches the package registry"),
        ("npm ci", "code EAI_AGAIN", "reaches the package registry"),
        ("npm ci", "code E401 | Unable to authenticate", ".npmrc"),
        ("npm ci", "code E503 | 503 Service Unavailable", "run it again later"),
        ("npm ci", "code SELF_SIGNED_CERT_IN_CHAIN", "NODE_EXTRA_CA_CERTS"),
        ("npm ci", "code EROFS | EROFS: read-only file system, mkdir '/opt'", "Make the file system of that path writable"),
        ("npm run build", "SIGKILL (no output)", "Find out what killed it"),
        ("npm run build", "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "more memory"),
        ("git clone", "git@git.example: Permission denied (publickey).", "an SSH key"),
        ("git clone", "fatal: could not read Username for 'https://git.example': terminal prompts disabled", "git credential helper"),
        ("git clone", "Host key verification failed.", "known_hosts"),
        ("git clone", "fatal: unable to access 'https://git.example/': The requested URL returned error: 502", "reaches the git server"),
        (
            "git clone",
            "fatal: unable to access 'https://git.example/': SSL certificate problem: unable to get local issuer certificate",
            "http.sslCAInfo",
        ),
        (
            "git clone",
            "remote: Repository not found. | fatal: repository 'https://git.example/x/' not found",
            "Correct mobius_release_source",
        ),
    ],
)
def test_each_known_cause_has_its_own_remedy(command, text, todo):
    assert todo in causes.remedy(command, text)


def test_an_unknown_cause_has_no_remedy_and_codes_of_npm_count_for_npm_alone():
    assert causes.remedy("make", "code ETIMEDOUT") == causes.remedy("npm ci", "something new") == ""
