import { useState } from 'react';
import { savedKey, saveKey, upload } from './api.js';

export function UploadForm({ onDone }) {
  const [files, setFiles] = useState([]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');

  async function submit(event) {
    event.preventDefault();
    const form = event.currentTarget;
    setBusy(true);
    try {
      await upload(files);
      form.reset();
      setFiles([]);
      setError('');
    } catch (problem) {
      setError(problem.message);
    } finally {
      setBusy(false);
      onDone();
    }
  }

  return (
    <section className="card">
      <h2>Add material</h2>
      <form onSubmit={submit}>
        <label className="grow">
          Images or a rule book (PDF)
          <input
            type="file"
            multiple
            accept="image/png,image/jpeg,image/gif,image/webp,application/pdf"
            onChange={(event) => setFiles([...event.target.files])}
          />
        </label>
        <label>
          API key
          <input
            type="password"
            autoComplete="off"
            placeholder="only if the server asks"
            defaultValue={savedKey()}
            onChange={(event) => saveKey(event.target.value)}
          />
        </label>
        <button disabled={busy || files.length === 0}>{busy ? 'Uploading…' : 'Upload'}</button>
      </form>
      {error && <p className="problem" role="alert">{error}</p>}
    </section>
  );
}
