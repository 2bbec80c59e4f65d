import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { form, PDF, PNG, startNew } from './helpers/app.js';
describe('the API', { concurrency: 3 }, () => {
  test('health names the release, the version and the dependencies', async (t) => {
    const app = await startNew(t, { version: 'v42', files: { '.release.json': '{"id": "20261123-160000-v42"}' } });
    const { status, body } = await app.get('/health');
    assert.equal(status, 200);
    assert.deepEqual({ ...body, uptime_s: 0 }, {
      status: 'ok', release: '20261123-160000-v42', version: 'v42', uptime_s: 0, pid: app.child.pid,
      dependencies: { database: 'ok', ffmpeg: 'ok', uploads: 'ok' },
    });

    const uploads = path.join(app.root, 'src/api/uploads');
    renameSync(uploads, `${uploads}.away`);
    const broken = await app.get('/health');
    assert.equal(broken.status, 503);
    assert.equal(broken.body.status, 'failing');
    assert.equal(broken.body.dependencies.uploads, 'failing');
    assert.match(app.read('logs/access.log'), /^\d{4}-\d\d-\d\dT[\d:.]+Z GET \/health 200 \d+\.\dms$/m);
    assert.match(app.read('logs/app.log'), /^\S+Z ERROR uploads is failing: /m);
  });

  test('health fails without ffmpeg', async (t) => {
    const app = await startNew(t, { env: { MOBIUS_FFMPEG: '/nowhere/ffmpeg' } });
    const { status, body } = await app.get('/health');
    assert.equal(status, 503);
    assert.deepEqual(body.dependencies, { database: 'ok', ffmpeg: 'failing', uploads: 'ok' });
  });

  test('uploads are stored, listed and served', async (t) => {
    const app = await startNew(t);
    const sent = await app.post('/upload-images', form('images', ['../../Über board.png', PNG], ['b.png', PNG]));
    assert.equal(sent.status, 201, sent.text);
    const [first] = sent.body.files;
    assert.equal(first.name, 'Über board.png');
    assert.match(first.url, /^\/uploads\/[\w-]+-uber-board\.png$/);
    assert.equal(first.size, PNG.length);
    assert.equal(first.sha256, createHash('sha256').update(PNG).digest('hex'));

    assert.equal((await app.post('/upload-pdf', form('pdf', ['rules.pdf', PDF]))).status, 201);
    const { uploads } = (await app.get('/api/uploads')).body;
    assert.deepEqual(uploads.map(({ name }) => name).sort(), ['b.png', 'rules.pdf', 'Über board.png']);
    assert.deepEqual(uploads.find(({ id }) => id === first.id), first);

    for (const url of [first.url, first.url.replace('/uploads/', '/static/')]) {
      const served = await app.get(url);
      assert.equal(served.status, 200);
      assert.equal(served.headers.get('content-type'), 'image/png');
    }
  });

  test('bad input is refused in clear words and leaves nothing', async (t) => {
    const app = await startNew(t, { env: { MOBIUS_MAX_UPLOAD_MB: '1' } });
    const big = Buffer.concat([PNG, Buffer.alloc(1024 * 1024)]);
    const refused = [
      [400, /'images'/, app.post('/upload-images', form('other', ['a.png', PNG]))],
      [400, /'images'/, app.post('/upload-images', {})],
      [400, /one file/, app.post('/upload-pdf', form('pdf', ['a.pdf', PDF], ['b.pdf', PDF]))],
      [415, /'page\.png' is not one of/, app.post('/upload-images', form('images', ['a.png', PNG], ['page.png', '<html>']))],
      [415, /'a\.pdf'/, app.post('/upload-pdf', form('pdf', ['a.pdf', PNG]))],
      [413, /1 MB/, app.post('/upload-images', form('images', ['big.png', big]))],
      [400, /upload_id/, app.post('/api/render', {})],
      [404, /no upload/, app.post('/api/render', { upload_id: 'x' })],
      [404, /no render/, app.get('/api/render/x/status')],
      [400, /'ms'/, app.get('/api/slow?ms=60001')],
      [404, /\/nothing/, app.get('/nothing')],
    ];
    for (const [status, words, request] of refused) {
      const answer = await request;
      assert.equal(answer.status, status, answer.text);
      assert.match(answer.body.error, words);
    }
    assert.deepEqual(readdirSync(path.join(app.root, 'src/api/uploads')), []);
    assert.deepEqual((await app.get('/api/uploads')).body, { uploads: [] });
  });

  test('the page, its assets and the small endpoints', async (t) => {
    const app = await startNew(t);
    const page = await app.get('/');
    assert.match(page.text, /MOBIUS/);
    assert.equal(page.headers.get('cache-control'), 'no-cache');
    assert.match((await app.get('/assets/index-abc123.js')).headers.get('cache-control'), /immutable/);

    assert.deepEqual((await app.get('/api/counter')).body, { value: 0 });
    const values = await Promise.all([1, 2, 3].map(async () => (await app.post('/api/counter')).body.value));
    assert.deepEqual(values.sort(), [1, 2, 3]);

    const started = performance.now();
    assert.deepEqual((await app.get('/api/slow?ms=300')).body, { waited_ms: 300 });
    assert.ok(performance.now() - started >= 295);
  });
});
