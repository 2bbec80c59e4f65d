// Starts the API. The working folder is the release.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { createApp } from './app.js';
import { ConfigError, loadConfig } from './config.js';
import { createFaults } from './faults.js';
import { createHealth } from './health.js';
import { createImages } from './images.js';
import { createLog } from './logging.js';
import { createProjects } from './projects.js';
import { createRenders } from './renders.js';
import { openStore } from './store.js';
import { createStreams } from './streams.js';
import { createUploads } from './uploads.js';

const log = createLog(path.join(process.cwd(), 'logs'));
process.on('uncaughtExceptionMonitor', (error) => log.error(`crash: ${error.stack}`));

try {
  await start();
} catch (error) {
  log.error(error instanceof ConfigError || error.code ? error.message : error.stack);
  process.exit(1);
}

async function start() {
  const config = loadConfig();
  const { data, uploads: uploadFolder, logs } = config.folders;
  for (const folder of [data, uploadFolder, logs]) mkdirSync(folder, { recursive: true });

  const faults = createFaults({ ...config, log });
  faults.beforeListen();

  const store = openStore({ ...config, log });
  const projects = createProjects({ config, store });
  const images = createImages({ config, log });
  const uploads = createUploads({ config, store, log });
  const renders = createRenders({ config, store, log });
  const streams = createStreams({ config });
  const health = createHealth({ config, store, faults, log });
  await health.start();

  const server = await listen(createApp({ config, store, projects, images, uploads, renders, health, faults, streams, log }), config);
  server.on('upgrade', streams.upgrade);
  faults.watch();
  log.info(`MOBIUS ${config.version} (release ${config.release}) listens on ${config.host}:${config.port}, `
    + `store ${store.kind}, pid ${process.pid}`);
}

function listen(app, { port, host }) {
  return new Promise((resolve, reject) => {
    const server = app.listen(port, host, (error) => (error ? reject(error) : resolve(server)));
  });
}
