// To see whether ffmpeg is there. Clips are made by scripts/render-scenes.mjs.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

// Only a hang reaches it: a busy machine takes more than ten seconds.
const VERSION_LIMIT_MS = 120_000;

/** Resolves when ffmpeg can be run, else rejects. */
export async function findFfmpeg(program) {
  try {
    await promisify(execFile)(program, ['-hide_banner', '-version'], { env: { PATH: process.env.PATH }, timeout: VERSION_LIMIT_MS });
  } catch (error) {
    throw new Error(`${program} cannot be run: ${error.code ?? error.message}`);
  }
}
