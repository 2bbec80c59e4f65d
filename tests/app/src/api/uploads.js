// POST /upload-images and /upload-pdf, with the answers of the real MOBIUS. Files lie in src/api/uploads. Thumbnails go into uploads/thumbnails,
// which must be there, and the pages of a PDF into uploads/images. Neither of the two is served.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import multer from 'multer';
import { newId } from './ids.js';

const MAX_IMAGES = 10;
// No page is drawn here: each becomes one grey pixel.
const PAGE = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==', 'base64');

/** Takes the files of a form into src/api/uploads. */
export const receiver = ({ folders }) => multer({
  storage: multer.diskStorage({
    destination: folders.uploads,
    filename: (req, { originalname }, done) => done(null, `${Date.now()}_${originalname.replace(/[^\w.]/g, '_')}`),
  }),
  defParamCharset: 'utf8',
});

export function createUploads({ config, store, log }) {
  const { root, folders } = config;
  const receive = receiver(config);

  async function describe({ filename, originalname, path: file, size }) {
    const thumbnail = path.join(folders.thumbnails, `thumb_${Date.now()}_${filename}`);
    await copyFile(file, thumbnail);
    log.info(`stored upload ${filename}, ${size} bytes`);
    return {
      id: `uploaded-${newId()}`,
      name: originalname,
      path: `/uploads/${filename}`,
      preview: `/uploads/thumbnails/${path.basename(thumbnail)}`,
      size,
      uploadedAt: new Date().toISOString(),
    };
  }

  async function images(req, res) {
    const files = req.files ?? [];
    if (files.length === 0) return res.status(400).json({ success: false, error: "no image in the field 'images'" });
    try {
      const stored = await Promise.all(files.map(describe));
      store.addUploads(stored);
      res.json({ success: true, images: stored, count: stored.length });
    } catch (error) {
      log.error(`an upload failed: ${error.message}`);
      res.status(500).json({ success: false, error: error.message });
    }
  }

  /** A picture for each page; their paths below the working folder. The pages of the next PDF take their places. */
  async function draw(file) {
    const text = (await readFile(file)).toString('latin1');
    if (!text.startsWith('%PDF-')) throw new Error('the file is no PDF');
    await mkdir(folders.pages, { recursive: true });
    const pages = (text.match(/\/Type\s*\/Page\b/g) ?? []).map((_page, n) => path.join(folders.pages, `page${n + 1}.png`));
    await Promise.all(pages.map((page) => writeFile(page, PAGE)));
    return pages.map((page) => path.relative(root, page));
  }

  async function pdf(req, res) {
    if (!req.file) return res.status(400).json({ error: "no file in the field 'pdf'" });
    const { path: pdfPath, originalname: originalName, size } = req.file;
    try {
      res.json({ pdfPath, originalName, size, images: await draw(pdfPath) });
    } catch (error) {
      log.error(`a PDF failed: ${error.message}`);
      res.status(500).json({ error: 'the PDF cannot be taken', details: error.message });
    }
  }

  return {
    images: [receive.array('images', MAX_IMAGES), images],
    pdf: [receive.single('pdf'), pdf],
    list: (req, res) => res.json({ uploads: store.uploads() }),
  };
}
