import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { form, makeRelease, PDF, PNG, start, startNew, until } from './helpers/app.js';

async function render(app, options) {
  const { body } = await app.post('/upload-images', form('images', ['board.png', PNG]));
  const { status, body: job } = await app.post('/api/render', { upload_id: body.files[0].id, ...options });
  assert.equal(status, 202);
  return { id: job.id, state: async () => (await app.get(`/api/render/${job.id}/status`)).body };
}

test('a render yields a clip that plays', async (t) => {
  const app = await startNew(t);
  const job = await render(app, { seconds: 3 });
  const queued = await render(app, {});

  const done = await until(async () => {
    const other = await queued.state();
    const state = await job.state();
    assert.equal(state.error, null);
    if (state.status !== 'done') assert.equal(other.status, 'queued', 'two renders at once');
    return state.status === 'done' && state;
  });
  assert.deepEqual(done, { id: job.id, status: 'done', url: `/out/${job.id}.mp4`, error: null, progress: 100 });
  const served = await app.get(done.url);
  assert.equal(served.headers.get('content-type'), 'video/mp4');
  assert.ok(served.text.indexOf('moov') < served.text.indexOf('mdat'), 'not made for a fast start');

  const probe = JSON.parse(execFileSync('ffprobe', ['-v', 'error', '-of', 'json', '-show_streams', '-show_format',
    path.join(app.root, 'out', `${job.id}.mp4`)]));
  const [video, audio] = probe.streams;
  assert.deepEqual([video.codec_name, video.pix_fmt, audio.codec_name], ['h264', 'yuv420p', 'aac']);
  assert.ok(Math.abs(probe.format.duration - 3) < 0.15, probe.format.duration);
  await until(async () => (await queued.state()).status === 'done');
});

test('only an image of 1 to 60 seconds is rendered; a broken one fails with its reason', async (t) => {
  const app = await startNew(t);
  const pdf = (await app.post('/upload-pdf', form('pdf', ['a.pdf', PDF]))).body.files[0];
  assert.equal((await app.post('/api/render', { upload_id: pdf.id })).status, 400);
  const broken = (await app.post('/upload-images', form('images', ['a.png', PNG.subarray(0, 40)]))).body.files[0];
  for (const seconds of [0, 61, '2', null]) {
    assert.equal((await app.post('/api/render', { upload_id: broken.id, seconds })).status, 400);
  }
  const { id } = (await app.post('/api/render', { upload_id: broken.id })).body;
  const failed = await until(async () => {
    const { body } = await app.get(`/api/render/${id}/status`);
    return body.status === 'failed' && body;
  });
  assert.match(failed.error, /^ffmpeg ended with /);
  assert.equal(failed.url, null);
  assert.deepEqual(readdirSync(path.join(app.root, 'out')), []);
});

test('a cut render is marked, a waiting one is taken over, a running instance keeps its own', async (t) => {
  const root = makeRelease(t);
  const first = await start(t, root);
  const running = await render(first, { seconds: 60, realtime: true });
  const waiting = await render(first, {});
  await until(async () => (await running.state()).status === 'running');
  const partial = path.join(root, 'out', `.${running.id}.part.mp4`);
  await until(() => existsSync(partial));

  const second = await start(t, root);
  const state = async (id) => (await second.get(`/api/render/${id}/status`)).body;
  assert.equal((await state(running.id)).status, 'running');
  await second.stop();
  first.child.kill('SIGTERM');
  await first.exited;
  assert.equal(first.child.signalCode, 'SIGTERM');

  const third = await start(t, root);
  const cut = (await third.get(`/api/render/${running.id}/status`)).body;
  assert.deepEqual([cut.status, cut.error, cut.url], ['failed', 'interrupted', null]);
  await until(async () => (await third.get(`/api/render/${waiting.id}/status`)).body.status === 'done');
  await until(() => !existsSync(partial));
});
