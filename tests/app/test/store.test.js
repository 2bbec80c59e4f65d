import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { form, makeRelease, PNG, put, start, startNew } from './helpers/app.js';

const JSON_STORE = { MOBIUS_STORE: 'json' };

const BACKUP = `
import sqlite3, sys
live, copy = sqlite3.connect(sys.argv[1]), sqlite3.connect(':memory:')
live.backup(copy)
print(*(copy.execute(sql).fetchone()[0] for sql in ('PRAGMA integrity_check', 'SELECT value FROM counters')))
print(live.execute('PRAGMA journal_mode').fetchone()[0])`;

describe('stores', { concurrency: 3 }, () => {
  for (const [kind, env] of [['sqlite', { API_KEY: 'k' }], ['json', { ...JSON_STORE, API_KEY: 'k' }]]) {
    test(`${kind}: projects, uploads and the counter outlive a restart`, async (t) => {
      const root = makeRelease(t);
      const first = await start(t, root, { env });
      await first.post('/upload-images', form('images', ['a.png', PNG]));
      await first.post('/api/counter');
      await first.post('/api/counter');
      const { projectId } = (await first.post('/save-project', { name: 'chess', scenes: [{ id: 'one' }] })).body;
      const before = (await first.get('/api/uploads')).body;
      await first.stop();

      const second = await start(t, root, { env });
      assert.deepEqual((await second.get('/api/uploads')).body, before);
      assert.deepEqual((await second.post('/api/counter')).body, { value: 3 });
      const project = (await second.get(`/load-project/${projectId}`, { headers: { 'X-API-Key': 'k' } })).body;
      assert.deepEqual([project.id, project.name, project.scenes, project.components], [projectId, 'chess', [{ id: 'one' }], []]);
      assert.equal((await second.get('/health')).body.dependencies.database, 'ok');
    });
  }

  test('sqlite: anybody can read and back up the database while it is in use; instances overlap', async (t) => {
    const root = makeRelease(t);
    const [first, second] = [await start(t, root), await start(t, root)];
    for (const app of [first, second, first, second]) await app.post('/api/counter');
    assert.deepEqual((await first.get('/api/counter')).body, { value: 4 });
    const out = execFileSync('python3', ['-c', BACKUP, path.join(root, 'data/mobius.db')], { encoding: 'utf8' });
    assert.equal(out, 'ok 4\nwal\n');
  });

  test('json: one whole file, held in memory, so that a second instance overwrites it', async (t) => {
    const root = makeRelease(t, { files: { 'data/projects.json': '{"projects": ["kept"], "counter": 5}' } });
    const [first, second] = [await start(t, root, { env: JSON_STORE }), await start(t, root, { env: JSON_STORE })];
    assert.deepEqual((await first.post('/api/counter')).body, { value: 6 });
    assert.deepEqual((await second.post('/api/counter')).body, { value: 6 });
    assert.deepEqual(JSON.parse(second.read('data/projects.json')),
      { projects: ['kept'], nextId: 1, uploads: [], counter: 6 });
    assert.deepEqual(readdirSync(path.join(root, 'data')), ['projects.json']);
  });

  test('json: a broken file is taken for none and overwritten, as MOBIUS does', async (t) => {
    const root = makeRelease(t);
    put(root, 'data/projects.json', '{"counter": 5');
    put(root, 'data/images.json', '{"imagesByProject": ');
    const app = await start(t, root, { env: JSON_STORE });
    assert.match(app.output, /WARN data\/projects\.json cannot be read/);
    assert.match(app.output, /WARN data\/images\.json cannot be read/);
    assert.deepEqual(JSON.parse(app.read('data/projects.json')), { projects: [], nextId: 1, uploads: [], counter: 0 });
  });

  test('an unknown store is refused', async (t) => {
    const app = await startNew(t, { env: { MOBIUS_STORE: 'paper' }, wait: false });
    assert.equal(await app.exited, 1);
    assert.match(app.output, /MOBIUS_STORE must be one of sqlite, json, found 'paper'/);
  });
});
