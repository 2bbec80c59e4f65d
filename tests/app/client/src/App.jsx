import { useCallback, useEffect, useState } from 'react';
import { listUploads } from './api.js';
import { Health } from './Health.jsx';
import { Library } from './Library.jsx';
import { UploadForm } from './UploadForm.jsx';

export function App() {
  const [uploads, setUploads] = useState([]);
  const [error, setError] = useState('');

  const refresh = useCallback(async () => {
    try {
      setUploads(await listUploads());
      setError('');
    } catch (problem) {
      setError(`The library cannot be loaded: ${problem.message}`);
    }
  }, []);

  useEffect(() => void refresh(), [refresh]);

  return (
    <>
      <header>
        <div>
          <h1>MOBIUS</h1>
          <p>Tutorial videos for games</p>
        </div>
        <Health />
      </header>
      <main>
        <UploadForm onDone={refresh} />
        {error && <p className="problem" role="alert">{error}</p>}
        <Library uploads={uploads} />
      </main>
    </>
  );
}
