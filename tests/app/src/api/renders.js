// The render queue: one clip at a time in each instance, every job recorded in the store.
import { readFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { HttpError } from './errors.js';
import { renderClip } from './ffmpeg.js';
import { newId } from './ids.js';

const RECOVER_EVERY_MS = 5000;

export function createRenders({ config, store, log }) {
  const me = processName(process.pid);
  let busy = false;

  function submit(req, res) {
    const { upload_id: uploadId, seconds = 2, realtime = false } = req.body ?? {};
    const upload = typeof uploadId === 'string' ? store.upload(uploadId) : undefined;
    if (!uploadId) throw new HttpError(400, "send JSON with 'upload_id'");
    if (!upload) throw new HttpError(404, 'there is no upload with this id');
    if (upload.kind !== 'image') throw new HttpError(400, 'only an image can be rendered');
    if (typeof seconds !== 'number' || !(seconds >= 1 && seconds <= 60)) {
      throw new HttpError(400, "'seconds' must be a number from 1 to 60");
    }
    if (typeof realtime !== 'boolean') throw new HttpError(400, "'realtime' must be true or false");
    const id = newId();
    store.addRender({
      id, upload_id: uploadId, seconds, realtime, status: 'queued', progress: 0,
      file: null, error: null, owner: me, created: new Date().toISOString(),
    });
    log.info(`queued render ${id} of upload ${uploadId}, ${seconds} s`);
    work();
    res.status(202).json({ id });
  }

  function status(req, res) {
    const job = store.render(req.params.id);
    if (!job) throw new HttpError(404, 'there is no render with this id');
    const { id, status: state, file, error, progress } = job;
    res.json({ id, status: state, url: file && `/out/${file}`, error, progress });
  }

  /** Runs this instance's jobs until none is queued. */
  async function work() {
    if (busy) return;
    busy = true;
    try {
      for (let job = next(); job; job = next()) await render(job);
    } catch (error) {
      log.error(`the render queue stopped: ${error.stack}`);
    } finally {
      busy = false;
    }
  }

  const next = () => store.renders('queued').find((job) => job.owner === me);

  async function render({ id, upload_id: uploadId, seconds, realtime }) {
    const file = `${id}.mp4`;
    const partial = partialFile(id);
    store.updateRender(id, { status: 'running' });
    try {
      await renderClip(config.ffmpeg, {
        image: path.join(config.folders.uploads, store.upload(uploadId).file),
        output: partial,
        seconds,
        realtime: Boolean(realtime),
        onProgress: (progress) => store.updateRender(id, { progress }),
      });
      await rename(partial, path.join(config.folders.out, file));
      store.updateRender(id, { status: 'done', progress: 100, file });
      log.info(`finished render ${id}: ${file}`);
    } catch (error) {
      await rm(partial, { force: true });
      const reason = error.message.replaceAll(`${config.root}${path.sep}`, '');
      store.updateRender(id, { status: 'failed', error: reason });
      log.error(`render ${id} failed: ${reason}`);
    }
  }

  /** Jobs of an instance that is gone: a running one was cut, a queued one is taken over. */
  function recover() {
    for (const job of store.renders('running').filter(orphaned)) {
      store.updateRender(job.id, { status: 'failed', error: 'interrupted' });
      rm(partialFile(job.id), { force: true }).catch(() => {});
      log.warn(`render ${job.id} was interrupted`);
    }
    for (const job of store.renders('queued').filter(orphaned)) store.updateRender(job.id, { owner: me });
    work();
  }

  const partialFile = (id) => path.join(config.folders.out, `.${id}.part.mp4`);
  const orphaned = ({ owner }) => owner !== me && owner !== processName(Number(owner.split(':')[0]));

  return {
    submit,
    status,
    start() {
      recover();
      setInterval(() => {
        try {
          recover();
        } catch (error) {
          log.error(`cannot look for interrupted renders: ${error.message}`);
        }
      }, RECOVER_EVERY_MS);
    },
  };
}

/** `pid:start time`, which no later process repeats; `pid:` when there is no such process. */
function processName(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop().split(' ');
    return `${pid}:${fields[19]}`;
  } catch {
    return `${pid}:`;
  }
}
