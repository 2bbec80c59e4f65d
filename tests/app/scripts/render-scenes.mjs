// Renders a clip, scene by scene: node scripts/render-scenes.mjs --config FILE --out FILE.
// Between two scenes there is a moment without any ffmpeg, as in the real MOBIUS: no ffmpeg does not mean no work.
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_MS = 250;
const FFMPEG = process.env.MOBIUS_FFMPEG || 'ffmpeg';

const option = (name) => process.argv[process.argv.indexOf(name) + 1];
const { resolution: { width, height }, fps, realtime, scenes } = JSON.parse(readFileSync(option('--config'), 'utf8'));
const output = option('--out');
const parts = scenes.map((_scene, n) => `${output}.${n}.mp4`);
const list = `${output}.txt`;

try {
  for (const [n, scene] of scenes.entries()) {
    await ffmpeg(sceneArguments(scene, parts[n]));
    console.log(`progress: ${Math.round((n + 1) / (scenes.length + 1) * 100)}`);
    await sleep(PAUSE_MS);
  }
  writeFileSync(list, parts.map((part) => `file '${part}'\n`).join(''));
  await ffmpeg(['-f', 'concat', '-safe', '0', '-i', list, '-c', 'copy', '-movflags', '+faststart', output]);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  for (const file of [...parts, list]) rmSync(file, { force: true });
}

/** A picture or a colour, and a tone. Without -xerror ffmpeg would loop over a broken picture for ever. */
function sceneArguments({ durationSec, background }, part) {
  const frame = `scale=${width}:${height}:force_original_aspect_ratio=decrease,pad=${width}:${height}:-1:-1:color=0x14161c,format=yuv420p`;
  const input = background.image
    ? ['-f', 'image2', '-pattern_type', 'none', '-loop', '1', '-framerate', String(fps), '-i', background.image]
    : ['-f', 'lavfi', '-i', `color=c=${background.color}:s=${width}x${height}:r=${fps}`];
  return [
    '-xerror', ...(realtime ? ['-re'] : []), ...input, '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-t', String(durationSec), '-vf', frame, '-c:v', 'libx264', '-preset', 'veryfast', '-tune', 'stillimage', '-c:a', 'aac', part,
  ];
}

function ffmpeg(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(FFMPEG, ['-nostdin', '-hide_banner', '-loglevel', 'error', '-y', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text) => { stderr = (stderr + text).slice(-4096); });
    child.on('error', (error) => reject(new Error(`${FFMPEG} cannot be run: ${error.code}`)));
    child.on('close', (code, signal) => {
      if (code === 0) return resolve();
      const last = stderr.trim().split('\n').pop();
      reject(new Error(`ffmpeg ended with ${signal ?? `code ${code}`}${last ? `: ${last}` : ''}`));
    });
  });
}
