// The two ways in which ffmpeg is run: to see whether it is there, and to make a clip.
import { spawn } from 'node:child_process';

const RENDER_LIMIT_MS = 15 * 60_000;
// Only a hang reaches it: a busy machine takes more than ten seconds.
const VERSION_LIMIT_MS = 120_000;
const FRAME = 'scale=1280:720:force_original_aspect_ratio=decrease,pad=1280:720:-1:-1:color=0x14161c';

/** Resolves to ffmpeg's version, rejects when it cannot be run. */
export async function ffmpegVersion(program) {
  const { stdout } = await run(program, ['-hide_banner', '-version'], { timeout: VERSION_LIMIT_MS });
  return /^ffmpeg version (\S+)/.exec(stdout)?.[1] ?? 'unknown';
}

/**
 * A still image and a sine tone become an H.264/AAC clip. `realtime` takes as long as the clip lasts.
 * Without -xerror ffmpeg would loop over a broken image for ever.
 */
export async function renderClip(program, { image, output, seconds, realtime, onProgress }) {
  await run(program, [
    '-nostdin', '-hide_banner', '-loglevel', 'error', '-xerror', '-progress', 'pipe:1',
    ...(realtime ? ['-re'] : []),
    '-f', 'image2', '-pattern_type', 'none', '-loop', '1', '-framerate', '25', '-i', image,
    '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-t', String(seconds), '-vf', `${FRAME},format=yuv420p`,
    '-c:v', 'libx264', '-preset', 'veryfast', '-tune', 'stillimage',
    '-c:a', 'aac', '-b:a', '128k', '-movflags', '+faststart', '-y', output,
  ], {
    timeout: RENDER_LIMIT_MS,
    onOutput(text) {
      const done = [...text.matchAll(/^out_time_us=(\d+)/gm)].pop();
      if (done) onProgress(Math.min(99, Math.round(done[1] / 1e4 / seconds)));
    },
  });
}

/** Only PATH is handed down: the API's secrets stay with the API. */
function run(program, args, { timeout, onOutput = () => {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout = (stdout + text).slice(-4096);
      onOutput(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text) => { stderr = (stderr + text).slice(-4096); });
    child.on('error', (error) => reject(new Error(`${program} cannot be run: ${error.code}`)));
    child.on('close', (code, signal) => {
      if (code === 0) return resolve({ stdout });
      const last = stderr.trim().split('\n').pop();
      reject(new Error(`ffmpeg ended with ${signal ?? `code ${code}`}${last ? `: ${last}` : ''}`));
    });
  });
}
