import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { form, makeRelease, PNG, start, startNew, until } from './helpers/app.js';

const SMALL = { resolution: { width: 320, height: 180 }, fps: 10 };
const TWO = [{ id: 'one', durationSec: 1 }, { id: 'two', durationSec: 1 }];

async function render(app, scenes = TWO, more = {}) {
  const { status, body } = await app.post('/api/render', { config: { projectId: 'p', video: SMALL, timing: { scenes }, ...more } });
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body), ['ok', 'jobId', 'status', 'progress']);
  return { id: body.jobId, state: async () => (await app.get(`/api/render/${body.jobId}/status`)).body.job };
}

const ended = (job) => until(async () => {
  const state = await job.state();
  return ['completed', 'failed'].includes(state.status) && state;
});

test('a render yields a clip that plays, one at a time', async (t) => {
  const app = await startNew(t);
  const job = await render(app);
  const queued = await render(app, [{ id: 'one', durationSec: 1 }]);
  const done = await until(async () => {
    const other = await queued.state();
    const state = await job.state();
    assert.equal(state.error, null);
    if (state.status !== 'completed') assert.equal(other.status, 'queued', 'two renders at once');
    return state.status === 'completed' && state;
  });
  const folder = `/uploads/render-jobs/${job.id}`;
  assert.deepEqual(done.resultPaths.sort(),
    ['container.json', `${job.id}-config.json`, `${job.id}-preview.mp4`].map((name) => `${folder}/${name}`).sort());
  assert.equal(done.progress, 100);
  assert.ok(done.outputFilePath.endsWith(`/src/api${folder}/${job.id}-preview.mp4`));
  assert.equal(done.manifest.media[0].bytes, readFileSync(done.outputFilePath).length);
  const served = await app.get(`${folder}/${job.id}-preview.mp4`);
  assert.equal(served.headers.get('content-type'), 'video/mp4');
  assert.ok(served.text.indexOf('moov') < served.text.indexOf('mdat'), 'not made for a fast start');

  const probe = JSON.parse(execFileSync('ffprobe', ['-v', 'error', '-of', 'json', '-show_streams', '-show_format', done.outputFilePath]));
  const [video, audio] = probe.streams;
  assert.deepEqual([video.codec_name, video.pix_fmt, video.width, audio.codec_name], ['h264', 'yuv420p', 320, 'aac']);
  assert.ok(Math.abs(probe.format.duration - 2) < 0.15, probe.format.duration);
  assert.equal((await ended(queued)).status, 'completed');
});

test('an uploaded picture can be a scene; a broken one fails with its reason', async (t) => {
  const app = await startNew(t);
  const scene = async (bytes) => {
    const { body } = await app.post('/upload-images', form('images', ['a.png', bytes]));
    return { id: 'picture', durationSec: 1, background: { image: `src/api${body.images[0].path}` } };
  };
  const good = await ended(await render(app, [await scene(PNG)]));
  assert.equal(good.status, 'completed', good.error);
  const bad = await ended(await render(app, [await scene(PNG.subarray(0, 40))]));
  assert.equal(bad.status, 'failed');
  assert.match(bad.error, /^the render process ended with code 1: ffmpeg ended with /);
  assert.equal(bad.outputFilePath, null);
});

test('a render is a node process of its own; a restart forgets it and the queue', async (t) => {
  const root = makeRelease(t);
  const first = await start(t, root);
  const running = await render(first, [{ id: 'long', durationSec: 60 }], { realtime: true });
  const waiting = await render(first);
  const folder = path.join(root, 'src/api/uploads/render-jobs');
  await until(() => existsSync(path.join(folder, running.id, `${running.id}-preview.mp4.0.mp4`)));
  const [child] = readFileSync(`/proc/${first.child.pid}/task/${first.child.pid}/children`, 'utf8').trim().split(' ').map(Number);
  assert.match(readFileSync(`/proc/${child}/cmdline`, 'utf8'), /^node\0scripts\/render-scenes\.mjs\0/);
  assert.equal((await waiting.state()).status, 'queued');
  const [ffmpeg] = readFileSync(`/proc/${child}/task/${child}/children`, 'utf8').trim().split(' ').map(Number);
  first.child.kill('SIGTERM');
  await first.exited;
  assert.equal(first.child.signalCode, 'SIGTERM');
  for (const pid of [child, ffmpeg]) process.kill(pid, 'SIGKILL');

  const second = await start(t, root);
  for (const { id } of [running, waiting]) {
    const { status, body } = await second.get(`/api/render/${id}/status`);
    assert.deepEqual([status, body.ok], [404, false]);
  }
  assert.deepEqual(readdirSync(folder), [running.id]);
});
