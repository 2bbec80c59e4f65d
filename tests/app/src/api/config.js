// Settings: the real environment, then `.env` in the working folder, then the defaults.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';

export class ConfigError extends Error {}

/** Whatever PORT is. */
const DEFAULT_ORIGINS = ['http://localhost:3000', 'http://localhost:5001', 'http://localhost:8000'];

export function loadConfig(root = process.cwd(), environment = process.env) {
  const env = { ...readDotEnv(path.join(root, '.env')), ...environment };
  const production = env.NODE_ENV === 'production';
  const port = integer(env.PORT || '5001', 'PORT', 1, 65535);
  const keys = list(env.MOBIUS_API_KEYS);
  if (production && keys.length === 0) {
    throw new ConfigError('refusing to start: NODE_ENV=production needs MOBIUS_API_KEYS, which is empty or not set');
  }
  return Object.freeze({
    root,
    production,
    port,
    host: env.HOST || '127.0.0.1',
    keyMatches: keyMatcher(keys),
    loadKeyMatches: keyMatcher(env.API_KEY ? [env.API_KEY] : []),
    origins: originList(env.MOBIUS_CORS_ORIGINS),
    store: oneOf(env.MOBIUS_STORE || 'sqlite', 'MOBIUS_STORE', ['sqlite', 'json']),
    ffmpeg: env.MOBIUS_FFMPEG || 'ffmpeg',
    faultFile: path.resolve(root, env.MOBIUS_FAULT_FILE || 'fault.json'),
    faultInline: env.MOBIUS_FAULT || '',
    version: firstLine(path.join(root, 'VERSION')) || 'unknown',
    release: releaseId(path.join(root, '.release.json')),
    folders: {
      data: path.join(root, 'data'),
      uploads: path.join(root, 'src/api/uploads'),
      renders: path.join(root, 'src/api/uploads/render-jobs'),
      thumbnails: path.join(root, 'uploads/thumbnails'),
      pages: path.join(root, 'uploads/images'),
      logs: path.join(root, 'logs'),
      client: path.join(root, 'client/build'),
    },
  });
}

/** KEY=value lines; `export`, quotes, and comments after a space are understood. */
export function parseDotEnv(text) {
  const values = {};
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line);
    if (!match) continue;
    const quoted = /^(["'])(.*)\1(?:\s+#.*)?$/.exec(match[2]);
    values[match[1]] = quoted ? quoted[2] : match[2].replace(/(^|\s+)#.*$/, '');
  }
  return values;
}

function readDotEnv(file) {
  try {
    return parseDotEnv(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw new ConfigError(`cannot read .env: ${error.code}`);
  }
}

/** Only digests are kept, so that no later mistake can print a key. Null when no key is set. */
function keyMatcher(keys) {
  if (keys.length === 0) return null;
  const digests = keys.map(digest);
  return (key) => digests.filter((known) => timingSafeEqual(known, digest(key))).length > 0;
}

const digest = (text) => createHash('sha256').update(String(text)).digest();

function originList(text) {
  const origins = list(text);
  return new Set(origins.length > 0 ? origins : DEFAULT_ORIGINS);
}

const list = (text) => (text || '').split(',').map((item) => item.trim()).filter(Boolean);

function integer(text, name, min, max) {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new ConfigError(`${name} must be a whole number from ${min} to ${max}, found '${text}'`);
}

function oneOf(value, name, choices) {
  if (choices.includes(value)) return value;
  throw new ConfigError(`${name} must be one of ${choices.join(', ')}, found '${value}'`);
}

function firstLine(file) {
  try {
    return readFileSync(file, 'utf8').split('\n')[0].trim();
  } catch {
    return '';
  }
}

function releaseId(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).id || 'dev';
  } catch {
    return 'dev';
  }
}
