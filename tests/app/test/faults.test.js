import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parseFault } from '../src/api/faults.js';
import { put, startNew, until } from './helpers/app.js';

const fault = (app, value) => put(app.root, 'fault.json', JSON.stringify(value));
const health = async (app) => (await app.get('/health')).status;

describe('faults', { concurrency: 3 }, () => {
  test('health: a version that has it fails from its start, and only there', async (t) => {
    const app = await startNew(t, { fault: { kind: 'health' } });
    assert.equal(await health(app), 503);
    assert.equal((await app.get('/')).status, 200);
  });

  test('after: seconds since the start', async (t) => {
    const app = await startNew(t);
    const after = (await app.get('/health')).body.uptime_s + 1.5;
    fault(app, { kind: 'health', after });
    const { body } = await until(async () => {
      const answer = await app.get('/health');
      return answer.status === 503 && answer;
    });
    assert.ok(body.uptime_s >= after - 0.1, `failed at ${body.uptime_s} s, not after ${after} s`);
  });

  test('pid: only the process that is meant', async (t) => {
    const app = await startNew(t);
    fault(app, { kind: 'health', pid: app.child.pid + 1 });
    await new Promise((resolve) => { setTimeout(resolve, 600); }); // two looks at the file
    assert.equal(await health(app), 200);
    fault(app, { kind: 'health', pid: app.child.pid });
    await until(async () => (await health(app)) === 503);
  });

  test('read: waits in a system call until the pipe has a byte', async (t) => {
    const app = await startNew(t);
    const pipe = path.join(app.root, 'fault.pipe');
    execFileSync('mkfifo', [pipe]);
    const held = openSync(pipe, 'r+');
    t.after(() => closeSync(held));
    fault(app, { kind: 'read' });
    await until(() => /pipe/.test(readFileSync(`/proc/${app.child.pid}/wchan`, 'utf8')));
    rmSync(path.join(app.root, 'fault.json'));
    writeSync(held, 'x');
    await app.logged('fault over');
    assert.equal(await health(app), 200);
  });

  test('the control file is toggled live, broken JSON is logged once', async (t) => {
    const app = await startNew(t);
    fault(app, { kind: 'health' });
    await until(async () => (await health(app)) === 503);
    put(app.root, 'fault.json', '{"kind":');
    await until(async () => (await health(app)) === 200);
    await new Promise((resolve) => { setTimeout(resolve, 600); }); // two more looks at the file, which log nothing
    assert.equal(app.output.match(/fault\.json is ignored/g).length, 1);
  });

  test('slow: every answer is late', async (t) => {
    const app = await startNew(t, { env: { MOBIUS_FAULT: '{"kind": "slow", "ms": 400}' } });
    for (const url of ['/health', '/', '/nothing']) {
      const started = performance.now();
      await app.get(url);
      assert.ok(performance.now() - started >= 395, url);
    }
  });

  test('errors: the share that was asked for', async (t) => {
    const app = await startNew(t, { env: { MOBIUS_FAULT: '{"kind": "errors", "share": 0.3}' } });
    let failed = 0;
    for (let n = 0; n < 50; n += 1) failed += (await health(app)) === 500;
    assert.ok(failed >= 14 && failed <= 16, `${failed} of 50`);
  });

  test('leak: memory grows, and comes back when it is over', async (t) => {
    const app = await startNew(t);
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${app.child.pid}/status`, 'utf8'))[1]) / 1024;
    const before = rss();
    fault(app, { kind: 'leak', mb_per_s: 200, max_mb: 150 });
    await until(() => rss() > before + 100);
    rmSync(path.join(app.root, 'fault.json'));
    await app.logged('fault over');
    assert.equal(await health(app), 200);
  });

  test('crash: at once it never listens, later it ends the process', async (t) => {
    const never = await startNew(t, { fault: { kind: 'crash' }, wait: false });
    assert.equal(await never.exited, 1);
    assert.ok(!never.output.includes('listens'));

    const later = await startNew(t);
    fault(later, { kind: 'crash' });
    assert.equal(await later.exited, 1);
  });

  test('writes: outside the folders for that, and the error is logged', async (t) => {
    const app = await startNew(t, { fault: { kind: 'writes' } });
    await app.logged(`ENOENT: no such file or directory, open '${path.join(app.root, 'reports', 'today.json')}'`);
    assert.equal(await health(app), 200);
  });

  test('hang: connections are accepted and not answered, until it is over', async (t) => {
    const file = 'elsewhere.json';
    const app = await startNew(t, { env: { MOBIUS_FAULT_FILE: file } });
    put(app.root, file, '{"kind": "hang"}');
    await app.logged('fault active');
    await assert.rejects(app.get('/health', { signal: AbortSignal.timeout(500) }), { name: 'TimeoutError' });
    rmSync(path.join(app.root, file));
    assert.equal(await health(app), 200);
  });
});

test('what a fault may say', () => {
  assert.deepEqual(parseFault('{"kind": "errors"}'), { kind: 'errors', after: 0, pid: 0, share: 0.2 });
  assert.deepEqual(parseFault('{"kind": "leak", "mb_per_s": 5, "more": 1}'),
    { kind: 'leak', after: 0, pid: 0, mb_per_s: 5, max_mb: 1024 });
  for (const text of ['[]', 'null', '3', '{"kind": "toString"}', '{"kind": "slow", "ms": "9"}', '{"kind": "slow", "ms": -1}']) {
    assert.throws(() => parseFault(text), /must be/);
  }
});
