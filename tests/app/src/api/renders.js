// The render queue of the real MOBIUS: in memory, one job at a time. A job is a node process of its own, which starts ffmpeg scene by scene;
// then the API packages what came of it. A restart loses the queue and all that is known of earlier jobs.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { newId } from './ids.js';

const SCRIPT = 'scripts/render-scenes.mjs';
const BACKGROUNDS = ['#1a1a2e', '#16213e'];

export function createRenders({ config, store, log }) {
  const jobs = new Map();
  const queue = [];
  let busy = false;

  function submit(req, res) {
    const { config: asked, projectId, lang } = req.body ?? {};
    if (!asked && !(projectId && lang)) return refuse(res, 400, 'RENDER_REQUEST_INVALID');
    if (!asked) return store.project(Number(projectId)) ? refuse(res, 400, 'RENDER_PROJECT_INCOMPLETE') : refuse(res, 404, 'RENDER_PROJECT_NOT_FOUND');
    const job = {
      id: newId(), status: 'queued', progress: 0, error: null, resultPaths: [], manifest: null, manifestPath: null, zipPath: null,
      packagingError: null, configPath: null, outputFilePath: null,
    };
    jobs.set(job.id, job);
    queue.push([job, scenesOf(asked)]);
    log.info(`queued render ${job.id}`);
    work();
    res.json({ ok: true, jobId: job.id, status: job.status, progress: job.progress });
  }

  function status(req, res) {
    const job = jobs.get(req.params.id);
    if (!job) return res.status(404).json({ ok: false, error: 'there is no render with this id' });
    res.json({ ok: true, job });
  }

  async function work() {
    if (busy) return;
    busy = true;
    for (let next = queue.shift(); next; next = queue.shift()) await render(...next);
    busy = false;
  }

  async function render(job, scenes) {
    const folder = path.join(config.folders.renders, job.id);
    const clip = path.join(folder, `${job.id}-preview.mp4`);
    job.status = 'running';
    try {
      await mkdir(folder, { recursive: true });
      const configPath = path.join(folder, `${job.id}-config.json`);
      await writeFile(configPath, JSON.stringify(scenes));
      await run([SCRIPT, '--config', configPath, '--out', clip], (progress) => { job.progress = progress; });
      await pack(job, folder, clip);
      Object.assign(job, { status: 'completed', progress: 100, configPath, outputFilePath: clip });
      log.info(`finished render ${job.id}`);
    } catch (error) {
      Object.assign(job, { status: 'failed', error: error.message });
      log.error(`render ${job.id} failed: ${error.message}`);
    }
  }

  /** Only what the script needs is handed down: the API's secrets stay with the API. */
  function run(args, onProgress) {
    return new Promise((resolve, reject) => {
      const env = { PATH: process.env.PATH, MOBIUS_FFMPEG: config.ffmpeg };
      const child = spawn('node', args, { cwd: config.root, env, stdio: ['ignore', 'pipe', 'pipe'] });
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (text) => {
        const last = [...text.matchAll(/^progress: (\d+)$/gm)].pop();
        if (last) onProgress(Number(last[1]));
      });
      child.stderr.setEncoding('utf8').on('data', (text) => { stderr = (stderr + text).slice(-4096); });
      child.on('error', reject);
      child.on('close', (code, signal) => (code === 0 ? resolve()
        : reject(new Error(`the render process ended with ${signal ?? `code ${code}`}: ${stderr.trim()}`))));
    });
  }

  async function pack(job, folder, clip) {
    const content = await readFile(clip);
    const sha256 = createHash('sha256').update(content).digest('hex');
    job.manifest = { jobId: job.id, media: [{ file: path.basename(clip), bytes: content.length, sha256 }] };
    await writeFile(path.join(folder, 'container.json'), JSON.stringify(job.manifest));
    const address = (name) => `/uploads/render-jobs/${job.id}/${name}`;
    job.manifestPath = address('container.json');
    job.resultPaths = (await readdir(folder)).map(address);
  }

  return { submit, status };
}

/** What the script is told; without scenes it renders one. */
function scenesOf({ video = {}, timing = {}, realtime = false }) {
  const scenes = timing.scenes?.length ? timing.scenes : [{ id: 'placeholder', durationSec: timing.totalDurationSec ?? 6 }];
  return {
    resolution: { width: 1920, height: 1080, ...video.resolution },
    fps: video.fps ?? 30,
    realtime,
    scenes: scenes.map(({ id, durationSec = 3, background }, n) => ({ id, durationSec, background: background ?? { color: BACKGROUNDS[Math.min(n, 1)] } })),
  };
}

const refuse = (res, status, code) => res.status(status).json({ ok: false, code, error: 'the render cannot be begun' });
