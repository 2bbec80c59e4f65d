// The images of a project, as the real MOBIUS keeps them: `data/images.json` names each file by its absolute path below the working
// folder of that moment, is rewritten whole, and only files below the present working folder are listed and served.
// A thumbnail goes into `uploads/thumbnails`, which must be there.
import { readFileSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import multer from 'multer';
import { HttpError } from './errors.js';
import { newId } from './ids.js';

export function createImages({ config, log }) {
  const { root, folders } = config;
  const register = path.join(folders.data, 'images.json');
  const thumbnails = path.join(root, 'uploads/thumbnails');
  const receive = multer({
    storage: multer.diskStorage({ destination: folders.data, filename: (req, file, done) => done(null, `.incoming-${newId()}`) }),
    limits: { fileSize: config.maxUploadBytes, files: 1 },
  });

  const all = () => {
    try {
      return JSON.parse(readFileSync(register, 'utf8'));
    } catch {
      return [];
    }
  };
  const reachable = (image) => image.fileKey.startsWith(folders.data + path.sep);
  const open = ({ id, projectId, name, size }) => ({ id, projectId, name, size });

  async function keep(req, res) {
    if (!req.file) throw new HttpError(400, "send a multipart form with a file in the field 'file'");
    const { id: projectId } = req.params;
    if (!/^[\w-]{1,40}$/.test(projectId)) throw new HttpError(400, 'a project id has letters, digits and hyphens only');
    const folder = path.join(folders.data, projectId, 'manual-images');
    await mkdir(folder, { recursive: true });
    const image = { id: newId(), projectId, name: path.basename(req.file.originalname), size: req.file.size };
    image.fileKey = path.join(folder, image.id);
    await copyFile(req.file.path, path.join(thumbnails, image.id));
    await rename(req.file.path, image.fileKey);
    writeFileSync(register, JSON.stringify([...all(), image]));
    log.info(`stored image ${image.id} of project ${projectId}: ${image.fileKey}`);
    res.status(201).json({ image: open(image) });
  }

  async function file(req, res) {
    const image = all().filter(reachable).find(({ id }) => id === req.params.imageId);
    if (!image || !(await stat(image.fileKey).catch(() => null))) throw new HttpError(404, 'there is no such image');
    res.type('application/octet-stream').sendFile(image.fileKey, { dotfiles: 'allow' });
  }

  return {
    keep: [receive.single('file'), keep],
    list: (req, res) => res.json({ images: all().filter((image) => image.projectId === req.params.id && reachable(image)).map(open) }),
    file,
    thumbnail: (req, res) => res.sendFile(path.join(thumbnails, path.basename(req.params.imageId)), { dotfiles: 'allow' }),
  };
}
