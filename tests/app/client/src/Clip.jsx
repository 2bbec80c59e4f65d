import { useEffect, useState } from 'react';
import { clipOf, renderStatus, startRender } from './api.js';

const EVERY_MS = 500;

/** Renders one picture: length, progress, the finished video. */
export function Clip({ picture }) {
  const [seconds, setSeconds] = useState(2);
  const [job, setJob] = useState(null);
  const [error, setError] = useState('');
  const running = job?.status === 'queued' || job?.status === 'running';

  useEffect(() => {
    if (!running) return undefined;
    const ask = () => renderStatus(job.id).then(setJob, (problem) => setError(problem.message));
    const timer = setTimeout(ask, EVERY_MS);
    return () => clearTimeout(timer);
  }, [job, running]);

  async function render() {
    setError('');
    try {
      setJob({ id: await startRender(picture, seconds), status: 'queued', progress: 0 });
    } catch (problem) {
      setError(problem.message);
    }
  }

  return (
    <div className="clip">
      <div className="row">
        <label>
          <input
            type="number"
            min="1"
            max="60"
            value={seconds}
            aria-label="Length in seconds"
            onChange={(event) => setSeconds(Number(event.target.value))}
          /> s
        </label>
        <button type="button" disabled={running} onClick={render}>{running ? job.status : 'Render'}</button>
      </div>
      {running && <progress max="100" value={job.progress} />}
      {job?.status === 'completed' && <video src={clipOf(job.id)} controls playsInline preload="metadata" />}
      {(error || job?.error) && <p className="problem" role="alert">{error || job.error}</p>}
    </div>
  );
}
