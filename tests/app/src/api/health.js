// GET /health: 200 when every dependency answers, 503 otherwise.
import { accessSync, constants, statSync } from 'node:fs';
import { findFfmpeg } from './ffmpeg.js';

const FFMPEG_EVERY_MS = { ok: 30_000, failing: 5_000 };

export function createHealth({ config, store, faults, log }) {
  const known = {};
  let ffmpegProblem = 'was not looked for yet';

  const checks = {
    database: () => store.check(),
    ffmpeg() {
      if (ffmpegProblem) throw new Error(ffmpegProblem);
    },
    uploads() {
      if (!statSync(config.folders.uploads).isDirectory()) throw new Error('is not a folder');
      accessSync(config.folders.uploads, constants.W_OK | constants.X_OK);
    },
  };

  function state(name) {
    let problem = '';
    try {
      checks[name]();
    } catch (error) {
      problem = error.message;
    }
    if (problem && known[name] !== problem) log.error(`${name} is failing: ${problem}`);
    if (!problem && known[name]) log.info(`${name} is ok again`);
    known[name] = problem;
    return problem ? 'failing' : 'ok';
  }

  /** ffmpeg is run in the background, never for a request. */
  async function watchFfmpeg() {
    try {
      await findFfmpeg(config.ffmpeg);
      ffmpegProblem = '';
    } catch (error) {
      ffmpegProblem = error.message;
    }
    setTimeout(watchFfmpeg, FFMPEG_EVERY_MS[state('ffmpeg')]);
  }

  function answer(req, res) {
    const dependencies = Object.fromEntries(Object.keys(checks).map((name) => [name, state(name)]));
    const ok = Object.values(dependencies).every((value) => value === 'ok') && !faults.active('health');
    res.status(ok ? 200 : 503).json({
      status: ok ? 'ok' : 'failing',
      release: config.release,
      version: config.version,
      uptime_s: Math.round(process.uptime() * 10) / 10,
      pid: process.pid,
      dependencies,
    });
  }

  return { start: watchFfmpeg, answer };
}
