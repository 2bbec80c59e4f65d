# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Playbooks and modules that fork from a process that has Ansible loaded, instead of starting Python every time.

A playbook of thirty tasks starts Python thirty times, and compiles the same files each time. That takes most of its CPU time.
Two servers avoid it:

- the *controller* has loaded ``ansible-playbook``, and forks one for each run. YAML that a run before has parsed is not parsed again, as
  long as text, origin and loader are the same, nor are its templates compiled again;
- the *target* has loaded what every module imports. Runs pass a small script as ``ansible_python_interpreter``. The script hands its
  arguments, environment and open files to the server, which forks a process that runs them. The module and the collection's utils
  still come from the zip file that Ansible made; only their bytecode is cached, by the content of the source.

Both kinds are real processes with the caller's user, environment, folder and files. A call that needs another interpreter (options, other
``PYTHON*`` variables) gets a new Python. ``MOBIUS_TEST_COLD=1`` turns all of this off.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import gc
import hashlib
import importlib
import marshal
import os
import pickle
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import typing as t
import zipimport

COLD = bool(os.environ.get("MOBIUS_TEST_COLD"))
#: Variables that are read when they are used. Others may count while Ansible is loaded, so each set of them gets its own server.
LATE = ("MOBIUS_", "PYTEST_", "PATH", "PWD", "OLDPWD", "TRIAL_", "SHLVL", "_")
#: What modules import of the standard library, of Ansible and of the packages on the target.
FOR_TARGET = (
    "ansible.module_utils.basic",
    "ansible.module_utils._internal._ansiballz._loader",
    "ansible.module_utils.urls",
    "base64",
    "concurrent.futures.thread",
    "csv",
    "ctypes",
    "dataclasses",
    "fractions",
    "hmac",
    "html",
    "http.client",
    "ipaddress",
    "jmespath",
    "psutil",
    "requests",
    "runpy",
    "secrets",
    "sqlite3",
    "ssl",
    "statistics",
    "tarfile",
    "urllib.request",
    "uuid",
    "xml.sax.saxutils",
    "zipfile",
    "zlib",
    "_strptime",
    "encodings.idna",
    "encodings.cp437",
    "encodings.latin_1",
)
FOR_CONTROLLER = (
    "ansible.cli.playbook",
    "ansible.executor.playbook_executor",
    "ansible.executor.process.worker",
    "ansible.executor.task_executor",
    "ansible.executor.module_common",
    "ansible.plugins.action.copy",
    "ansible.plugins.action.debug",
    "ansible.plugins.action.fail",
    "ansible.plugins.action.include_vars",
    "ansible.plugins.action.normal",
    "ansible.plugins.action.set_fact",
    "ansible.plugins.action.set_stats",
    "ansible.plugins.action.template",
    "ansible.plugins.action.validate_argument_spec",
    "ansible.plugins.callback.default",
    "ansible.plugins.connection.local",
    "ansible.plugins.filter.core",
    "ansible.plugins.filter.mathstuff",
    "ansible.plugins.lookup.env",
    "ansible.plugins.lookup.password",
    "ansible.plugins.shell.sh",
    "ansible.plugins.strategy.linear",
    "ansible.plugins.test.core",
    "ansible.template",
    "ansible.vars.manager",
    "jinja2.ext",
    "jmespath",
    "junitparser",
    "pygal",
    "requests",
)
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

CLIENT = '''#!{python} -IS
"""A Python that lets another process, which has loaded most modules, run what it was asked for."""
import _socket, marshal, os, sys
ask = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ), None))
try:
    if sys.argv[1:2] and sys.argv[1].startswith("-"):
        raise OSError
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect({address!r})
except OSError:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
files = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
server.sendmsg([len(ask).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
server.sendall(ask)
told = server.recv(4)
status = int.from_bytes(told, "big", signed=True) if told else 1
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
'''


class Forked:
    """A playbook that was forked, with the part of :class:`subprocess.Popen` that its users need."""

    def __init__(self, line: socket.socket, output: t.TextIO) -> None:
        self._line, self.stdout = line, output
        #: Also the number of its process group.
        self.pid = int.from_bytes(_receive(line, 4), "big")

    def wait(self) -> int:
        """Its exit status; below zero the signal that ended it."""
        with self._line:
            return int.from_bytes(_receive(self._line, 4), "big", signed=True)


class Warm:
    """The servers of one process of tests; they end with it.

    :param cache: a folder for parsed YAML and compiled Python, which several processes of tests may share.
    """

    def __init__(self, cache: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="mobius-warm-")
        os.chmod(self.folder, 0o711)  # other users, too, connect to the servers
        self._cache = cache
        self._owner = os.getpid()
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._interpreter = os.path.join(self.folder, "python")
        atexit.register(self.close)

    def close(self) -> None:
        """End the servers; what they have forked goes on."""
        if os.getpid() == self._owner:
            for server in self._servers.values():
                server.stdin.close()
                server.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def interpreter(self) -> str:
        """The path of the target's Python."""
        if not os.path.exists(self._interpreter):
            address = self._address("target", dict(os.environ))
            with open(self._interpreter, "w") as stream:
                stream.write(CLIENT.format(python=sys.executable, address=address))
            os.chmod(self._interpreter, 0o755)
        return self._interpreter

    def playbook(self, argv: list[str], cwd: str, env: dict[str, str], user: int | None = None) -> Forked:
        """Fork ``ansible-playbook`` with these arguments, as the leader of a new session.

        :param user: whose process it is, with a group of the same number; the caller's by default.
        """
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.connect(self._address("controller", env))
        hear, tell = os.pipe()
        with open(os.devnull, "rb") as nothing:
            ask = marshal.dumps((argv, cwd, env, user))
            socket.send_fds(line, [len(ask).to_bytes(4, "big")], [nothing.fileno(), tell, tell])
            line.sendall(ask)
        os.close(tell)
        return Forked(line, os.fdopen(hear, "r"))

    def _address(self, what: str, env: dict[str, str]) -> str:
        """The socket of a server that was loaded with such an environment."""
        counts = sorted((name, value) for name, value in env.items() if not name.startswith(LATE))
        name = f"{what}-{hashlib.sha256(repr(counts).encode()).hexdigest()[:12]}"
        if name not in self._servers:
            server = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "import sys; sys.path.insert(0, sys.argv[1]); from support import warm; warm.serve()",
                    TESTS,
                    what,
                    os.path.join(self.folder, name),
                    self._cache,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=env,
                start_new_session=True,
            )
            assert server.stdout.readline() == b"ready\n", f"the {what} server did not start"
            self._servers[name] = server
        return os.path.join(self.folder, name)


def _receive(line: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = line.recv(count - len(found))
        if not part:
            raise EOFError("the other side has gone")
        found += part
    return found


def serve() -> None:
    """Fork a process for each call until standard input ends. Arguments: ``target`` or ``controller``, the socket's path, the cache."""
    what, address, cache = sys.argv[2:]
    loaded_with = {name: value for name, value in os.environ.items() if not name.startswith(LATE)}
    places = Places(cache, os.path.dirname(address))
    run = _prepare_target(places) if what == "target" else _prepare_controller(places)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    os.chmod(address, 0o666)  # who connects gets a process with no rights but its own
    listener.listen(64)
    gc.collect()
    gc.freeze()
    os.write(1, b"ready\n")
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ, None)
    waiting.register(listener, selectors.EVENT_READ, None)
    lines: dict[int, tuple[socket.socket, int]] = {}
    while True:
        for key, _events in waiting.select():
            if key.fd == 0:
                return
            if key.fileobj is listener:
                line, _peer = listener.accept()
                with contextlib.suppress(OSError, EOFError):
                    pid = _fork(line, what, run, loaded_with)
                    watch = os.pidfd_open(pid)
                    waiting.register(watch, selectors.EVENT_READ, None)
                    lines[watch] = (line, pid)
            else:
                line, pid = lines.pop(key.fd)
                waiting.unregister(key.fd)
                os.close(key.fd)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(OSError), line:
                    line.sendall(status.to_bytes(4, "big", signed=True))


def _fork(line: socket.socket, what: str, run: t.Callable[[list[str]], None], loaded_with: dict[str, str]) -> int:
    head, files, _flags, _address = socket.recv_fds(line, 4, 3)
    argv, cwd, env, user = marshal.loads(_receive(line, int.from_bytes(head, "big")))
    _pid, peer, group = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    account = (peer, group) if user is None or peer else (user, user)
    pid = os.fork()
    if pid:
        for number in files:
            os.close(number)
        if what == "controller":
            line.sendall(pid.to_bytes(4, "big"))
        return pid
    status = 97
    try:
        _change_user(*account)
        status = _become(argv, cwd, env, files, run, loaded_with)
    finally:
        os._exit(status)


def _change_user(user: int, group: int) -> None:
    """Give up the rights of another user's server, as ``setpriv --clear-groups`` does."""
    if user != os.geteuid():
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)


class Places:
    """Folders that runs of the server's user share. Another user's have their own: they may not write there, and nobody reads theirs.

    :param cache: for what is cached.
    :param folder: the server's; other users may enter it.
    """

    def __init__(self, cache: str, folder: str) -> None:
        self._cache, self._packed, self._others = cache, os.path.join(folder, "packed"), os.path.join(folder, "others")
        self._user = os.geteuid()
        for path in (self._cache, self._packed, self._others):
            os.makedirs(path, exist_ok=True)
        os.chmod(self._others, 0o1777)

    def cache(self) -> str:
        """For parsed YAML and compiled Python."""
        return self._cache if os.geteuid() == self._user else self._own("cache")

    def packed(self) -> str:
        """For modules as Ansible packs them."""
        return self._packed if os.geteuid() == self._user else self._own("packed")

    def _own(self, name: str) -> str:
        path = os.path.join(self._others, str(os.geteuid()), name)
        os.makedirs(path, 0o700, exist_ok=True)
        return path


def _become(
    argv: list[str], cwd: str, env: dict[str, str], files: list[int], run: t.Callable[[list[str]], None], loaded_with: dict[str, str]
) -> int:
    """Be the process that was asked for; its exit status."""
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 1024)
    os.chdir(cwd)
    early = {name: value for name, value in env.items() if name.startswith(("PYTHON", "LANG", "LC_"))}
    if early != {name: value for name, value in loaded_with.items() if name.startswith(("PYTHON", "LANG", "LC_"))}:
        os.execve(sys.executable, [sys.executable, *argv], env)
    os.environ.clear()
    os.environ.update(env)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww"))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    status = 0
    try:
        run(argv)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return status


def _load(names: t.Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):  # of another version of Ansible
            importlib.import_module(name)


def _kept(
    places: Places, key: bytes, load: t.Callable[[bytes], t.Any], make: t.Callable[[], t.Any], dump: t.Callable[[t.Any], bytes]
) -> t.Any:
    """What stands in the cache under a key, or is made now and put there."""
    path = os.path.join(places.cache(), hashlib.sha256(key).hexdigest())
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return load(stream.read())
    made = make()
    with open(f"{path}.{os.getpid()}", "wb") as stream:
        stream.write(dump(made))
    os.replace(f"{path}.{os.getpid()}", path)
    return made


def _prepare_target(places: Places) -> t.Callable[[list[str]], None]:
    """Load what modules import, and cache the bytecode of what they bring along."""
    _load(FOR_TARGET)
    compile_source = zipimport._compile_source

    def cached(pathname: str, source: bytes) -> t.Any:
        code = _kept(places, b"python" + source, marshal.loads, lambda: compile_source(pathname, source), marshal.dumps)
        if code is not None:
            __import__("_imp")._fix_co_filename(code, pathname)
        return code

    zipimport._compile_source = cached

    def run(argv: list[str]) -> None:
        main = types.ModuleType("__main__")
        if argv:
            main.__file__ = argv[0]
            with open(argv[0], "rb") as stream:
                source = stream.read()
        else:
            source = sys.stdin.buffer.read()
        sys.modules["__main__"] = main
        sys.argv = argv or [""]
        exec(compile(source, argv[0] if argv else "<stdin>", "exec"), main.__dict__)

    return run


def _prepare_yaml(places: Places) -> None:
    """Cache what text becomes by a loader. Tags of Ansible, such as the origin of a text, belong to it."""
    import yaml

    load = yaml.load

    def cached(stream: t.Any, Loader: t.Any) -> t.Any:
        if not isinstance(stream, (str, bytes)):
            return load(stream, Loader=Loader)
        key = pickle.dumps((Loader.__module__, Loader.__qualname__, stream))
        return _kept(places, key, pickle.loads, lambda: load(stream, Loader=Loader), pickle.dumps)

    yaml.load = cached


def _prepare_templates(places: Places) -> None:
    """Cache the bytecode of templates: each task compiles its own and those of the settings that it uses, ten on average."""
    import jinja2
    from jinja2.environment import TemplateExpression

    try:
        from ansible._internal._templating._jinja_bits import _TemplateCompileContext
    except ImportError:  # ansible-core 2.16 escapes before it compiles
        _TemplateCompileContext = None
    environment = jinja2.Environment
    compile_template, compile_expression = environment.compile, environment.compile_expression
    latest: list[t.Any] = []
    written = (
        "block_start_string",
        "variable_start_string",
        "comment_start_string",
        "trim_blocks",
        "lstrip_blocks",
        "keep_trailing_newline",
    )

    def kept(self: t.Any, kind: str, source: str, make: t.Callable[[], t.Any]) -> t.Any:
        context = _TemplateCompileContext.current(optional=True) if _TemplateCompileContext else None
        how = (kind, type(self).__qualname__, *(getattr(self, name) for name in written), bool(context and context.escape_backslashes))
        key = pickle.dumps((how, str.__str__(source)))
        return _kept(places, key, marshal.loads, make, marshal.dumps)

    def template(self: t.Any, source: t.Any, *words: t.Any, **options: t.Any) -> t.Any:
        if isinstance(source, str) and not words and not options:
            return kept(self, "template", source, lambda: compile_template(self, source))
        code = compile_template(self, source, *words, **options)
        latest[:] = [code]
        return code

    def expression(self: t.Any, source: str, undefined_to_none: bool = True) -> t.Any:
        def make() -> t.Any:
            compile_expression(self, source)
            return latest.pop()

        code = kept(self, "expression", source, make)
        return TemplateExpression(self.template_class.from_code(self, code, self.make_globals(None), None), undefined_to_none)

    environment.compile, environment.compile_expression = template, expression


def _copied(value: t.Any) -> t.Any:
    """What roles get of a file that was loaded before: new containers of the same text, 25 times as fast as ``deepcopy``."""
    made = copy.copy(value)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, (dict, list)):
            made[key] = _copied(item)
    return made


def _prepare_controller(places: Places) -> t.Callable[[list[str]], None]:
    """Load ``ansible-playbook``; modules that it has packed once stay packed, for the collection does not change meanwhile."""
    _load(FOR_CONTROLLER)
    _prepare_yaml(places)
    _prepare_templates(places)
    from ansible import constants
    from ansible.cli.playbook import PlaybookCLI
    from ansible.parsing import dataloader
    from ansible.utils.path import cleanup_tmp_file

    dataloader.copy = types.SimpleNamespace(deepcopy=_copied)
    constants.DEFAULT_INTERNAL_POLL_INTERVAL = 0.005

    def run(argv: list[str]) -> None:
        atexit.unregister(cleanup_tmp_file)
        place = tempfile.mkdtemp(prefix="ansible-local-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        constants.DEFAULT_LOCAL_TMP = place
        os.symlink(places.packed(), os.path.join(place, "ansiballz_cache"))
        sys.argv = argv
        PlaybookCLI.cli_executor(argv)

    return run
