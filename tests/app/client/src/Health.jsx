import { useEffect, useState } from 'react';
import { health } from './api.js';

const EVERY_MS = 5000;

/** The version that serves, and how it feels. */
export function Health() {
  const [state, setState] = useState({ status: 'asking' });

  useEffect(() => {
    const ask = () => health().then(setState, () => setState({ status: 'no answer' }));
    ask();
    const timer = setInterval(ask, EVERY_MS);
    return () => clearInterval(timer);
  }, []);

  return (
    <div className="health" aria-live="polite">
      <span className={`pill ${state.status === 'ok' ? 'good' : 'bad'}`}>{state.status}</span>
      {state.version && <strong title={`release ${state.release}`}>{state.version}</strong>}
      <ul>
        {Object.entries(state.dependencies ?? {}).map(([name, value]) => (
          <li key={name} className={value === 'ok' ? 'good' : 'bad'} title={`${name}: ${value}`}>{name}</li>
        ))}
      </ul>
    </div>
  );
}
