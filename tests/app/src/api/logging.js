// logs/app.log (also on stdout and stderr) and logs/access.log.
// Each line opens the file anew, so that a log can be rotated or removed at any time.
import { appendFileSync } from 'node:fs';
import path from 'node:path';

export function createLog(folder) {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const write = (level, stream) => (message) => {
    const line = `${new Date().toISOString()} ${level} ${String(message).replace(/\s*\n\s*/g, ' | ')}\n`;
    stream.write(line);
    append(path.join(folder, 'app.log'), line);
  };
  return {
    info: write('INFO', process.stdout),
    warn: write('WARN', process.stdout),
    error: write('ERROR', process.stderr),
  };
}

/** One line a request: time, method, path without its query, status (499: the client left), milliseconds. */
export function accessLog(folder) {
  const file = path.join(folder, 'access.log');
  return (req, res, next) => {
    const started = process.hrtime.bigint();
    const url = req.originalUrl.split('?')[0];
    res.on('close', () => {
      const ms = Number(process.hrtime.bigint() - started) / 1e6;
      const status = res.writableFinished ? res.statusCode : 499;
      append(file, `${new Date().toISOString()} ${req.method} ${url} ${status} ${ms.toFixed(1)}ms\n`);
    });
    next();
  };
}

/** A full disk or a missing folder must not stop the service. */
function append(file, line) {
  try {
    appendFileSync(file, line);
  } catch {
    // The line is on stdout or stderr already, or it is an access line that we can do without.
  }
}
