// POST /upload-images and /upload-pdf: what is sent is stored, hashed and recorded.
// A file has a hidden name until it is known to be good, so a cut upload is never served.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import multer from 'multer';
import { HttpError } from './errors.js';
import { newId } from './ids.js';

const MAX_FILES = 20;
const ALLOWED = { image: ['png', 'jpg', 'gif', 'webp'], pdf: ['pdf'] };

export function createUploads({ config, store, log }) {
  const folder = config.folders.uploads;
  const receive = multer({
    storage: multer.diskStorage({
      destination: folder,
      filename: (req, file, done) => done(null, `.incoming-${newId()}`),
    }),
    limits: { fileSize: config.maxUploadBytes, files: MAX_FILES },
    defParamCharset: 'utf8',
  });

  async function keep(kind, received) {
    const uploads = await Promise.all(received.map((file) => describe(kind, file)));
    try {
      await Promise.all(uploads.map((upload, n) => rename(received[n].path, path.join(folder, upload.file))));
      store.addUploads(uploads);
    } catch (error) {
      await Promise.all(uploads.map((upload) => rm(path.join(folder, upload.file), { force: true })));
      throw error;
    }
    for (const { id, file, size } of uploads) log.info(`stored upload ${id}: ${file}, ${size} bytes`);
    return uploads;
  }

  /** The handlers of one upload endpoint. */
  function endpoint(kind, field) {
    const parse = receive.array(field, kind === 'pdf' ? 1 : MAX_FILES);
    const answer = async (req, res) => {
      const received = req.files ?? [];
      try {
        if (received.length === 0) throw new HttpError(400, `send a multipart form with a file in the field '${field}'`);
        const uploads = await keep(kind, received);
        res.status(201).json({ files: uploads.map(publicUpload) });
      } finally {
        await Promise.all(received.map((file) => rm(file.path, { force: true })));
      }
    };
    return [
      (req, res, next) => parse(req, res, (error) => next(error && readable(error, field, config))),
      answer,
    ];
  }

  return {
    images: endpoint('image', 'images'),
    pdf: endpoint('pdf', 'pdf'),
    list: (req, res) => res.json({ uploads: store.uploads().map(publicUpload) }),
  };
}

export const publicUpload = ({ id, kind, name, file, size, sha256, created }) =>
  ({ id, kind, name, url: `/uploads/${file}`, size, sha256, created });

async function describe(kind, file) {
  const name = path.basename(file.originalname).replace(/[\u0000-\u001f\u007f]/g, '').slice(0, 120) || 'unnamed';
  const type = await typeOf(file.path);
  if (!ALLOWED[kind].includes(type)) {
    throw new HttpError(415, `'${name}' is not one of: ${ALLOWED[kind].join(', ')}`);
  }
  const id = newId();
  const stem = slug(path.parse(name).name);
  return {
    id,
    kind,
    name,
    file: `${id}${stem && `-${stem}`}.${type}`,
    size: file.size,
    sha256: await sha256(file.path),
    created: new Date().toISOString(),
  };
}

const slug = (text) => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase()
  .replace(/[^a-z0-9]+/g, '-').slice(0, 40).replace(/^-|-$/g, '');

/** The content decides, not the name. */
async function typeOf(file) {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(12), 0, 12, 0);
    const head = buffer.toString('latin1', 0, bytesRead);
    if (head.startsWith('\x89PNG\r\n')) return 'png';
    if (head.startsWith('\xff\xd8\xff')) return 'jpg';
    if (head.startsWith('GIF8')) return 'gif';
    if (head.startsWith('RIFF') && head.endsWith('WEBP')) return 'webp';
    if (head.startsWith('%PDF-')) return 'pdf';
    return 'unknown';
  } finally {
    await handle.close();
  }
}

async function sha256(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** Multer's errors in words that help; a trouble of the disk stays our own error. */
function readable(error, field, { maxUploadBytes }) {
  switch (error.code) {
    case 'LIMIT_FILE_SIZE':
      return new HttpError(413, `a file may have at most ${maxUploadBytes / 1024 / 1024} MB`);
    case 'LIMIT_FILE_COUNT':
    case 'LIMIT_UNEXPECTED_FILE':
      return new HttpError(400, `only the field '${field}' is taken, with at most ${field === 'pdf' ? 'one file' : `${MAX_FILES} files`}`);
    default:
      return error.syscall ? error : new HttpError(400, `the form cannot be read: ${error.message}`);
  }
}
