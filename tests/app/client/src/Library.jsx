import { Clip } from './Clip.jsx';

export function Library({ uploads }) {
  if (uploads.length === 0) return <p className="empty">Nothing here yet. Upload a picture to make the first clip.</p>;
  return (
    <section className="library" aria-label="Library">
      {uploads.map((upload) => (
        <article className="card" key={upload.id}>
          <img src={upload.path} alt={upload.name} loading="lazy" />
          <h3 title={upload.name}>{upload.name}</h3>
          <p className="quiet">{size(upload.size)} · {new Date(upload.uploadedAt).toLocaleString()}</p>
          <Clip picture={upload.path} />
        </article>
      ))}
    </section>
  );
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(0)} kB` : `${(bytes / 1024 ** 2).toFixed(1)} MB`;
}
