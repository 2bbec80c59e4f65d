// Starts the real application as a version made by make_version.py, in a folder of its own.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const source = fileURLToPath(new URL('../..', import.meta.url));
/** Milliseconds that only a hang reaches; MOBIUS_TEST_PATIENCE scales it, as in the other tests. */
export const HANG_MS = 120_000 * Number(process.env.MOBIUS_TEST_PATIENCE || 1);

/** A release folder as a deploy lays it out: node_modules and all state are links. */
export function makeRelease(t, { version = 'v7', fault, files = {} } = {}) {
  const base = mkdtempSync(path.join(os.tmpdir(), 'mobius-app-'));
  t.after(() => rmSync(base, { recursive: true, force: true }));
  const root = path.join(base, 'release');
  execFileSync('python3', [path.join(source, 'make_version.py'), root, '--version', version,
    ...(fault ? ['--fault', JSON.stringify(fault)] : [])]);
  symlinkSync(path.join(source, 'node_modules'), path.join(root, 'node_modules'));
  for (const [name, link] of [['uploads', 'src/api/uploads'], ['data', 'data'], ['root', 'uploads'], ['logs', 'logs']]) {
    mkdirSync(path.join(base, 'shared', name), { recursive: true });
    symlinkSync(path.join(base, 'shared', name), path.join(root, link));
  }
  mkdirSync(path.join(root, 'uploads/thumbnails'));
  put(root, 'client/build/index.html', '<title>MOBIUS</title>');
  put(root, 'client/build/assets/index-abc123.js', '// built');
  for (const [name, text] of Object.entries(files)) put(root, name, text);
  return root;
}

export function put(root, name, text) {
  const file = path.join(root, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/**
 * Starts `node src/api/index.js` in the release; `wait: false` when it is not expected to answer.
 * Another process may take the port between its choice and its use: then it is started again with another one.
 */
export async function start(t, root, options = {}) {
  for (;;) {
    const app = await startOn(t, root, await freePort(), options);
    if (options.wait === false) return app;
    try {
      await app.logged('listens on');
      return app;
    } catch (error) {
      if (!app.output.includes('EADDRINUSE')) throw error;
    }
  }
}

async function startOn(t, root, port, { env = {} }) {
  const clean = Object.fromEntries(['PATH', 'HOME', 'TMPDIR'].filter((name) => process.env[name])
    .map((name) => [name, process.env[name]]));
  const child = spawn(process.execPath, ['src/api/index.js'], {
    cwd: root,
    env: { ...clean, PORT: String(port), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const app = new App(child, root, `http://127.0.0.1:${port}`);
  t.after(() => app.stop());
  return app;
}

export const startNew = (t, { env, wait, ...release } = {}) => start(t, makeRelease(t, release), { env, wait });

class App {
  output = '';

  constructor(child, root, url) {
    Object.assign(this, { child, root, url });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.output += text; });
    }
    this.exited = new Promise((resolve) => child.on('close', resolve));
  }

  async logged(text) {
    const limit = performance.now() + HANG_MS;
    while (!this.output.includes(text)) {
      if (this.child.exitCode !== null) throw new Error(`the application ended: ${this.output}`);
      if (performance.now() > limit) throw new Error(`'${text}' was not logged: ${this.output}`);
      await sleep(20);
    }
  }

  /** {status, headers, body, text} */
  async get(url, options = {}) {
    const response = await fetch(this.url + url, { signal: AbortSignal.timeout(HANG_MS), ...options });
    const text = await response.text();
    let body;
    try {
      body = JSON.parse(text);
    } catch {
      body = undefined;
    }
    return { status: response.status, headers: response.headers, body, text };
  }

  post(url, body, headers = {}) {
    const form = body instanceof FormData;
    return this.get(url, {
      method: 'POST',
      headers: form ? headers : { 'Content-Type': 'application/json', ...headers },
      body: form ? body : JSON.stringify(body ?? {}),
    });
  }

  read(name) {
    return readFileSync(path.join(this.root, name), 'utf8');
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exited;
  }
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// A small grey square, and the smallest thing that calls itself a PDF of one page.
export const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR42mNogAIGyhgAgIQgARDoahcAAAAASUVORK5CYII=', 'base64');
export const PDF = Buffer.from('%PDF-1.4\n<</Type/Pages>> <</Type/Page>>\n%%EOF\n');

export function form(field, ...files) {
  const data = new FormData();
  for (const [name, bytes] of files) data.append(field, new Blob([bytes]), name);
  return data;
}

export async function until(check, { limit = HANG_MS, every = 50 } = {}) {
  const end = performance.now() + limit;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > end) throw new Error(`not within ${limit} ms: ${check}`);
    await sleep(every);
  }
}
