// Faults on demand, so that deploys, watches and rollbacks can be tried against something real.
// One fault at a time, from the control file (looked at every 250 ms) or else from MOBIUS_FAULT.
import { closeSync, openSync, readFileSync, readSync, writeFile } from 'node:fs';
import path from 'node:path';
import { HttpError } from './errors.js';

const TICK_MS = 250;
const MB = 1024 * 1024;
const DEFAULTS = {
  health: {},
  slow: { ms: 3000 },
  errors: { share: 0.2 },
  leak: { mb_per_s: 20, max_mb: 1024 },
  crash: {},
  hang: {},
  writes: {},
  loop: {},
  regex: {},
  read: {},
  files: {},
};

export function createFaults({ faultFile, faultInline, log }) {
  let fault = null;
  let text = '';
  let announced = null;
  let requests = 0;
  let leaked = [];
  let written = null;
  let opened = [];

  function reload() {
    const file = readFile(faultFile, text);
    const found = file || faultInline;
    if (found === text) return;
    text = found;
    fault = null;
    try {
      fault = text && parseFault(text);
    } catch (error) {
      log.error(`the fault in ${file ? faultFile : 'MOBIUS_FAULT'} is ignored: ${error.message}`);
    }
  }

  /** The fault when it is of this kind, due, and meant for this process, else null. */
  function active(kind) {
    const due = fault && fault.kind === kind && process.uptime() >= fault.after;
    return due && (!fault.pid || fault.pid === process.pid) ? fault : null;
  }

  function announce() {
    const current = fault && active(fault.kind);
    if (current === announced) return;
    if (current) log.warn(`fault active: ${JSON.stringify(current)}`);
    else log.warn('fault over');
    announced = current;
  }

  function tick() {
    reload();
    announce();
    if (active('crash')) process.exit(1);
    if (active('hang')) hang();
    if (active('read')) wait();
    leak();
    write();
    exhaust();
  }

  /** Opens files until the process may not have more. */
  function exhaust() {
    if (!active('files')) return opened = opened.map((descriptor) => closeSync(descriptor)).filter(() => false);
    try {
      for (;;) opened.push(openSync('/dev/null'));
    } catch (error) {
      if (error.code !== 'EMFILE') throw error;
    }
  }

  /** Blocks the event loop: the kernel goes on to accept connections, nobody answers them. */
  function hang() {
    const never = new Int32Array(new SharedArrayBuffer(4));
    while (active('hang')) {
      Atomics.wait(never, 0, 0, TICK_MS);
      reload();
    }
    announce();
  }

  /** Reads synchronously from a pipe that nobody writes to, as from a disk that does not answer. */
  function wait() {
    const pipe = openSync(path.join(path.dirname(faultFile), 'fault.pipe'), 'r');
    readSync(pipe, Buffer.alloc(1));
    closeSync(pipe);
  }

  function leak() {
    const current = active('leak');
    const perTick = (current?.mb_per_s ?? 0) * TICK_MS / 1000;
    if (!current) leaked = [];
    else if (leaked.length * perTick < current.max_mb) leaked.push(Buffer.alloc(Math.round(perTick * MB), 1));
  }

  /** Once, as a careless release does: into a folder that nobody has made, and the error into the log. */
  function write() {
    const current = active('writes');
    if (current === written) return;
    written = current;
    const file = path.join(process.cwd(), 'reports', 'today.json');
    if (current) writeFile(file, '{}', (error) => error && log.error(`the report is lost: ${error.message}`));
  }

  /** Multiples of the golden ratio: any run of requests gets its share, and no endpoint gets it all. */
  const unlucky = (share) => (requests++ * 0.6180339887498949 + 0.5) % 1 < share;

  function middleware(req, res, next) {
    const errors = active('errors');
    const slow = active('slow');
    const endless = active('loop') || active('regex');
    if (endless && !req.path.startsWith('/health')) spin(req, endless.kind);
    const go = () => next(errors && unlucky(errors.share) ? new HttpError(500, 'fault: errors') : undefined);
    if (slow) setTimeout(go, slow.ms);
    else go();
  }

  return {
    active,
    middleware,
    /** Before listening, so that `crash` with `after: 0` never listens. */
    beforeListen() {
      reload();
      announce();
      if (active('crash')) process.exit(1);
    },
    watch() {
      setImmediate(tick);
      setInterval(tick, TICK_MS);
    },
  };
}

/** A handler that never ends: a loop, or a regular expression that tries 2^60 ways. */
function spin(req, kind) {
  if (kind === 'regex') return /^(a+)+$/.test(`${'a'.repeat(60)}!`);
  for (let turns = 0; ; turns += 1) if (turns < 0) return req;
}

export function parseFault(text) {
  const given = JSON.parse(text);
  if (!Object.hasOwn(DEFAULTS, given?.kind)) {
    throw new Error(`'kind' must be one of ${Object.keys(DEFAULTS).join(', ')}`);
  }
  const fault = { kind: given.kind, after: 0, pid: 0, ...DEFAULTS[given.kind] };
  for (const name of Object.keys(fault).filter((key) => key !== 'kind' && key in given)) {
    if (typeof given[name] !== 'number' || given[name] < 0) throw new Error(`'${name}' must be a number, 0 or more`);
    fault[name] = given[name];
  }
  return fault;
}

/** What a file has; what it had before while no file can be opened. */
function readFile(file, before) {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    return error.code === 'EMFILE' ? before : '';
  }
}
