// POST /save-project and GET /load-project/:id, with the answers of the real MOBIUS. Loading asks for API_KEY as X-API-Key too.
import { HttpError } from './errors.js';

export function createProjects({ config, store }) {
  function save(req, res) {
    const { name, metadata, components, images, script, audio, scenes } = req.body ?? {};
    const record = {
      name: String(name ?? ''),
      content: JSON.stringify({
        metadata: metadata ?? {}, components: components ?? [], images: images ?? [], script: script ?? '', audio: audio ?? '', scenes,
      }),
      created_at: new Date().toISOString(),
    };
    res.json({ status: 'success', projectId: store.addProject(record) });
  }

  function load(req, res) {
    if (!config.loadKeyMatches?.(req.get('X-API-Key') ?? '')) {
      throw new HttpError(401, 'this request needs the header X-API-Key with the value of API_KEY');
    }
    const project = store.project(Number(req.params.id));
    if (!project) throw new HttpError(404, 'there is no project with this id');
    const { id, name, content, created_at: createdAt } = project;
    res.json({ id, name, ...JSON.parse(content), created_at: createdAt });
  }

  return { save, load };
}
