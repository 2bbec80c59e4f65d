// What is served where.
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { cors, requireKey } from './cors.js';
import { errorHandler, HttpError, notFound } from './errors.js';
import { accessLog } from './logging.js';

const MAX_SLOW_MS = 60_000;

export function createApp({ config, store, projects, images, uploads, renders, health, faults, streams, log }) {
  const { folders } = config;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  app.use(accessLog(folders.logs));
  app.use(faults.middleware);
  app.use(cors(config));

  app.get('/health', noStore, health.answer);
  app.use(['/static', '/uploads'], files(folders.uploads));
  app.use(express.static(folders.client, { setHeaders: cacheClient }));

  app.use(requireKey(config)); // of everything but health and the files that are there
  app.use(express.json({ limit: '25mb' }));
  app.post('/save-project', projects.save);
  app.get('/load-project/:id', projects.load);
  app.post('/upload-images', uploads.images);
  app.post('/upload-pdf', uploads.pdf);
  app.use('/api', noStore, api({ store, images, uploads, renders, streams }));
  app.get('/{*any}', (req, res) => res.sendFile(path.join(folders.client, 'index.html'))); // the page, whatever was asked for

  app.use(notFound);
  app.use(errorHandler(log));
  return app;
}

function api({ store, images, uploads, renders, streams }) {
  const router = express.Router();
  router.get('/uploads', uploads.list);
  router.post('/projects/:id/images/manual', images.keep);
  router.get('/projects/:id/images', images.list);
  router.get('/projects/:id/images/:imageId/file', images.file);
  router.post('/render', renders.submit);
  router.get('/render/:id/status', renders.status);
  router.get('/counter', (req, res) => res.json({ value: store.counter() }));
  router.post('/counter', (req, res) => res.json({ value: store.increment() }));
  router.get('/slow', slow);
  router.get('/events', streams.events);
  return router;
}

async function slow(req, res) {
  const ms = Number(req.query.ms ?? 1000);
  if (!(ms >= 0 && ms <= MAX_SLOW_MS)) throw new HttpError(400, `'ms' must be a number from 0 to ${MAX_SLOW_MS}`);
  await sleep(ms);
  res.json({ waited_ms: ms });
}

function noStore(req, res, next) {
  res.set('Cache-Control', 'no-store');
  next();
}

/** Stored files never change; a browser must not take one for a page. */
const files = (folder) => express.static(folder, {
  index: false,
  redirect: false,
  maxAge: '1h',
  setHeaders: (res) => res.set('X-Content-Type-Options', 'nosniff'),
});

function cacheClient(res, file) {
  const hashed = /[\\/]assets[\\/]/.test(file);
  res.set('Cache-Control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache');
}
