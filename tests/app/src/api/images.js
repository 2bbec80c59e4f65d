// The images of a project, as the real MOBIUS keeps them: `data/images.json` is read at the start, held in memory and rewritten whole, and
// names each file by its absolute path below the working folder of that moment. Only files below the present one are listed and served.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { newId } from './ids.js';
import { receiver } from './uploads.js';

const KINDS = ['.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tiff'];
const PROJECT = /^[a-z0-9]+(-[a-z0-9]+)*$/;

export function createImages({ config, log }) {
  const { folders } = config;
  const register = path.join(folders.data, 'images.json');
  const byProject = read(register, log);

  const of = (project) => byProject[project] ?? [];
  const allowed = ({ fileKey }) => [folders.data, folders.uploads].some((folder) => fileKey.startsWith(folder + path.sep));
  const told = ({ fileKey, ...image }) => image;

  async function keep(req, res) {
    const { id: project } = req.params;
    const { path: staged, originalname: name } = req.file ?? {};
    const kind = path.extname(name ?? '').toLowerCase();
    if (!staged || !KINDS.includes(kind) || !PROJECT.test(project)) {
      return res.status(400).json({ error: "send a picture in the field 'file', for a project of small letters, digits and dashes" });
    }
    const id = `manual-${newId()}`;
    const fileKey = path.join(folders.data, project, 'manual-images', id + kind);
    await mkdir(path.dirname(fileKey), { recursive: true });
    await copyFile(staged, fileKey);
    await rm(staged);
    byProject[project] = [...of(project), { id, source: 'manual', name, fileKey }];
    writeFileSync(register, JSON.stringify({ imagesByProject: byProject }));
    log.info(`stored image ${id} of project ${project}: ${fileKey}`);
    res.json({ images: of(project), componentImages: {} });
  }

  function list(req, res) {
    const { id: project } = req.params;
    if (!PROJECT.test(project)) return refuse(res, 400, 'PROJECT_ID_INVALID');
    res.json({ images: of(project).filter((image) => allowed(image) && existsSync(image.fileKey)).map(told), componentImages: {} });
  }

  /** `?variant=thumbnail` too: such an image has no thumbnail of its own. */
  function file(req, res) {
    const image = of(req.params.id).find(({ id }) => id === req.params.imageId);
    if (!image) return refuse(res, 404, 'IMAGE_NOT_FOUND');
    if (!allowed(image)) return refuse(res, 403, 'IMAGE_FILE_FORBIDDEN');
    if (!existsSync(image.fileKey)) return refuse(res, 404, 'IMAGE_FILE_UNAVAILABLE');
    res.set('Cache-Control', 'private').sendFile(image.fileKey, { dotfiles: 'allow' });
  }

  return { keep: [receiver(config).single('file'), keep], list, file };
}

const refuse = (res, status, code) => res.status(status).json({ code, error: 'the image cannot be had' });

/** As MOBIUS does: what cannot be read is taken for none, and overwritten. */
function read(file, log) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).imagesByProject ?? {};
  } catch (error) {
    if (error.code !== 'ENOENT') log.warn(`data/images.json cannot be read, so there are no images: ${error.message}`);
    return {};
  }
}
