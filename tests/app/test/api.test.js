import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { describe, test } from 'node:test';
import { form, makeRelease, PDF, PNG, put, start, startNew } from './helpers/app.js';
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
    const sent = await app.post('/upload-images', form('images', ['Über board.png', PNG], ['b.png', PNG]));
    assert.equal(sent.status, 200, sent.text);
    assert.deepEqual([sent.body.success, sent.body.count], [true, 2]);
    const [first] = sent.body.images;
    assert.deepEqual([first.name, first.size], ['Über board.png', PNG.length]);
    assert.match(first.path, /^\/uploads\/\d+__ber_board\.png$/);
    assert.match(first.preview, /^\/uploads\/thumbnails\/thumb_\d+_\d+__ber_board\.png$/);
    assert.ok(existsSync(path.join(app.root, first.preview)));
    assert.match((await app.get(first.preview)).text, /<title>MOBIUS/, 'a thumbnail is not served: this is the page');
    const { uploads } = (await app.get('/api/uploads')).body;
    assert.deepEqual(uploads.map(({ name }) => name).sort(), ['b.png', 'Über board.png']);
    assert.deepEqual(uploads.find(({ id }) => id === first.id), first);

    for (const url of [first.path, first.path.replace('/uploads/', '/static/')]) {
      const served = await app.get(url);
      assert.equal(served.status, 200);
      assert.equal(served.headers.get('content-type'), 'image/png');
    }

    const { status, body } = await app.post('/upload-pdf', form('pdf', ['the rules.pdf', PDF]));
    assert.deepEqual([status, body.originalName, body.size, body.images], [200, 'the rules.pdf', PDF.length, ['uploads/images/page1.png']]);
    assert.ok(body.pdfPath.startsWith(`${realpathSync(app.root)}/src/api/uploads/`));
    assert.deepEqual(readFileSync(body.pdfPath), PDF);
    assert.ok(existsSync(path.join(app.root, body.images[0])));
  });

  test('without the folder for thumbnails an upload fails', async (t) => {
    const app = await startNew(t);
    rmSync(path.join(app.root, 'uploads/thumbnails'), { recursive: true });
    const { status, body } = await app.post('/upload-images', form('images', ['a.png', PNG]));
    assert.deepEqual([status, body.success], [500, false]);
    assert.match(body.error, /ENOENT/);
  });

  test('images of a project are stored by absolute path, listed and served', async (t) => {
    const root = makeRelease(t);
    const app = await start(t, root);
    const images = '/api/projects/17/images';
    for (const name of ['a.png', 'b.JPG']) {
      const sent = await app.post(`${images}/manual`, form('file', [name, PNG]));
      assert.equal(sent.status, 200, sent.text);
      assert.equal(sent.body.images.at(-1).name, name);
      assert.ok(sent.body.images.at(-1).fileKey.startsWith(`${realpathSync(root)}/data/17/manual-images/`));
    }
    const listed = (await app.get(images)).body.images;
    assert.deepEqual(listed.map(({ name, fileKey }) => [name, fileKey]), [['a.png', undefined], ['b.JPG', undefined]]);
    for (const variant of ['', '?variant=thumbnail']) {
      const served = await fetch(`${app.url}${images}/${listed[0].id}/file${variant}`);
      assert.deepEqual([served.headers.get('content-type'), Buffer.from(await served.arrayBuffer())], ['image/png', PNG]);
    }
    assert.deepEqual(readdirSync(path.join(root, 'src/api/uploads')), []);
    await app.stop();

    const register = JSON.parse(app.read('data/images.json'));
    rmSync(register.imagesByProject[17][0].fileKey);
    register.imagesByProject[17][1].fileKey = '/elsewhere/data/b.JPG';
    put(root, 'data/images.json', JSON.stringify(register));
    const later = await start(t, root);
    assert.deepEqual((await later.get(images)).body.images, []);
    assert.deepEqual((await later.get(`${images}/${listed[0].id}/file`)).body.code, 'IMAGE_FILE_UNAVAILABLE');
    assert.deepEqual((await later.get(`${images}/${listed[1].id}/file`)).body.code, 'IMAGE_FILE_FORBIDDEN');
  });

  test('bad input is refused', async (t) => {
    const app = await startNew(t, { env: { API_KEY: 'k' } });
    const refused = [
      [400, { success: false }, app.post('/upload-images', {})],
      [500, {}, app.post('/upload-images', form('other', ['a.png', PNG]))],
      [500, {}, app.post('/upload-images', form('images', ...Array(11).fill(['a.png', PNG])))],
      [400, {}, app.post('/upload-pdf', {})],
      [500, {}, app.post('/upload-pdf', form('pdf', ['a.pdf', PNG]))],
      [404, {}, app.get('/load-project/1', { headers: { 'X-API-Key': 'k' } })],
      [401, {}, app.get('/load-project/1')],
      [400, {}, app.post('/api/projects/17/images/manual', form('file', ['a.txt', PNG]))],
      [400, {}, app.post('/api/projects/17/images/manual', {})],
      [400, { code: 'PROJECT_ID_INVALID' }, app.get('/api/projects/A/images')],
      [404, { code: 'IMAGE_NOT_FOUND' }, app.get('/api/projects/17/images/x/file')],
      [400, { ok: false, code: 'RENDER_REQUEST_INVALID' }, app.post('/api/render', {})],
      [404, { ok: false, code: 'RENDER_PROJECT_NOT_FOUND' }, app.post('/api/render', { projectId: 5, lang: 'en' })],
      [404, { ok: false }, app.get('/api/render/x/status')],
      [400, {}, app.get('/api/slow?ms=60001')],
      [404, {}, app.post('/nothing')],
    ];
    for (const [status, facts, request] of refused) {
      const answer = await request;
      assert.equal(answer.status, status, answer.text);
      assert.equal(typeof answer.body.error, 'string');
      for (const [name, value] of Object.entries(facts)) assert.equal(answer.body[name], value, answer.text);
    }
    assert.match((await app.get('/nothing')).text, /<title>MOBIUS/);
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

  test('streams begin with the release and have no end', async (t) => {
    const app = await startNew(t, { version: 'v7' });
    const { release } = (await app.get('/health')).body;
    const abort = new AbortController();
    const answer = await fetch(`${app.url}/api/events`, { signal: abort.signal });
    assert.match(answer.headers.get('content-type'), /^text\/event-stream/);
    const { value } = await answer.body.getReader().read();
    assert.equal(new TextDecoder().decode(value), `data: ${release}\n\n`);
    abort.abort();

    const asked = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' };
    const [response, socket, head] = await once(request(`${app.url}/ws`, { headers: asked }).end(), 'upgrade');
    assert.equal(response.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='); // of RFC 6455, 1.3
    const frame = head.length ? head : (await once(socket, 'data'))[0];
    assert.deepEqual([frame[0], frame[1], frame.subarray(2).toString()], [0x81, release.length, release]);
    socket.destroy();
    const [refused] = await once(request(`${app.url}/other`, { headers: asked }).end(), 'response');
    assert.equal(refused.statusCode, 400);
  });
});
