// Calls to the API. The key stays in this browser tab.
const KEY = 'mobius-api-key';

export const savedKey = () => sessionStorage.getItem(KEY) ?? '';
export const saveKey = (key) => sessionStorage.setItem(KEY, key);

async function call(path, { headers = {}, ...options } = {}) {
  const key = savedKey();
  const response = await fetch(path, { ...options, headers: key ? { ...headers, 'X-Mobius-API-Key': key } : headers });
  const body = await response.json().catch(() => ({}));
  if (!response.ok && !body.status) throw new Error(body.error ?? `the server answered ${response.status}`);
  return body;
}

export const health = () => call('/health');
export const listUploads = async () => (await call('/api/uploads')).uploads;
export const renderStatus = async (id) => (await call(`/api/render/${id}/status`)).job;

/** A clip of one scene: an uploaded picture. */
export const startRender = async (picture, durationSec) => (await call('/api/render', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({
    config: {
      projectId: 'library',
      video: { resolution: { width: 1280, height: 720 }, fps: 25 },
      timing: { scenes: [{ id: 'picture', durationSec, background: { image: `src/api${picture}` } }] },
    },
  }),
})).jobId;

export const clipOf = (id) => `/uploads/render-jobs/${id}/${id}-preview.mp4`;

export async function upload(files) {
  const isPdf = (file) => file.type === 'application/pdf';
  const images = files.filter((file) => !isPdf(file));
  if (images.length > 0) await send('/upload-images', 'images', images);
  for (const pdf of files.filter(isPdf)) await send('/upload-pdf', 'pdf', [pdf]);
}

function send(path, field, files) {
  const body = new FormData();
  for (const file of files) body.append(field, file);
  return call(path, { method: 'POST', body });
}
